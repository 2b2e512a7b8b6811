"""Audit of weight and array files: whether reading them unpickles, which can run any code."""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import IO

from torch._weights_only_unpickler import _get_allowed_globals

from scripts.audit.allowed import harm_of
from scripts.audit.bundle_files import BundleFiles
from scripts.audit.exported_programs import audit_program, examples_of, is_program
from scripts.audit.findings import HIGH, LOW, MEDIUM, Sign
from scripts.audit.static_values import path_sign

PICKLED = (".pkl", ".pickle", ".pck", ".p", ".dill", ".joblib")
PROGRAM = ".pt2"  # of torch.export
WEIGHTS = (".pt", ".pth", ".ts", ".ckpt", ".bin", ".mar", ".jit", ".torchscript", PROGRAM)
ARRAYS = (".npy", ".npz")
PLAIN = (".safetensors", ".onnx", ".h5", ".hdf5")
SUFFIXES = (*PICKLED, *WEIGHTS, *ARRAYS, *PLAIN)
MOST_PICKLES = 8  # a file in torch's old format contains five in a row
COMPUTED = ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4")
UNKNOWN = "(a name that tensors do not need)"
# created by TorchScript's reader, which runs no Python
OF_TORCHSCRIPT = ("__torch__.", "torch.jit._pickle.")
MOST_PICKLE = 64 << 20
MOST_MODEL = 8 << 30
EXTERNAL = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])([^\x00]{1,127})")  # an entry in protobuf
SCRIPTED = re.compile(rb"torch\.(save|load|from_file)\(|ops\.(?!aten|prim|quantized)\w+\.\w+")


def audit_model_file(files: BundleFiles, name: str) -> list[Sign]:
    """Examine a model file without loading it.

    Returns:
        Signs of code that loading it would import or run; one low sign when there are none.
    """
    if files.size(name) > MOST_MODEL:
        return [Sign(HIGH, "file", name, f"larger than {MOST_MODEL >> 30} GB: not examined")]
    try:
        with files.open(name) as file:
            signs = list(_audit(file, name.lower()))
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        return [Sign(HIGH, "file", name, f"cannot be examined: {error}")]
    return signs or [Sign(LOW, "file", name, "weights or arrays only, no pickled objects")]


def _audit(file: IO[bytes], name: str) -> Iterator[Sign]:
    """Choose the format by content, because a pickle can have any name."""
    start = file.read(8)
    file.seek(0)
    if start[:4] == b"PK\x03\x04":
        yield from _audit_zip(file, is_pt2=name.endswith(PROGRAM))
    elif start[:6] == b"\x93NUMPY":
        yield from _audit_array(file.read(MOST_PICKLE))
    elif name.endswith(".onnx"):
        yield from _audit_onnx(file)
    elif not name.endswith(PLAIN):
        yield from _audit_pickle("pickle", file.read(MOST_PICKLE), torchscript=False)


def _audit_onnx(file: IO[bytes]) -> Iterator[Sign]:
    """Find weights of an ONNX model that are in another file, which is read with it."""
    tail = b""
    while block := file.read(1 << 24):
        for match in EXTERNAL.finditer(tail + block):
            path = match[2][: match[1][0]].decode("utf-8", "replace")
            sign = path_sign(path, written=False)
            yield Sign(sign.level, sign.kind, path, f"weights in another file: {sign.why}")
        tail = block[-300:]


def _audit_pickled_zip(content: bytes) -> Iterator[Sign]:
    """Examine what ``torch.save`` wrote into another file."""
    if content[:4] == b"PK\x03\x04":
        yield from _audit_zip(BytesIO(content))
    else:
        yield from _audit_pickle("pickle", content, torchscript=False)


def _audit_zip(file: IO[bytes], *, is_pt2: bool = False) -> Iterator[Sign]:
    """Examine a zip with pickles, arrays or a program, as saved by torch and NumPy."""
    with zipfile.ZipFile(file) as archive:
        if is_program(archive):
            yield from audit_program(archive)
            for name in examples_of(archive):
                yield from _audit_pickled_zip(archive.read(name))
            return
        if is_pt2:
            yield Sign(HIGH, "file", "pt2", "of an earlier format of torch: not examined")
            return
        members = {info.filename: info for info in archive.infolist()}
        scripted = any("/code/" in f"/{name}" for name in members)
        for name, info in members.items():
            inner = name.rpartition("/")[2]
            pickled = inner.endswith(PICKLED)
            coded = scripted and inner.endswith(".py")
            if not (pickled or coded or inner.endswith((".npy", ".py"))):
                continue
            if info.file_size > MOST_PICKLE and not inner.endswith(".npy"):
                yield Sign(HIGH, "file", name, "too large to be examined")
                continue
            with archive.open(name) as member:
                content = member.read(MOST_PICKLE)
            if pickled:
                yield from _audit_pickle(name, content, torchscript=scripted)
            elif inner.endswith(".npy"):
                yield from _audit_array(content)
            elif coded:
                yield from _audit_script(name, content)
            else:
                yield Sign(MEDIUM, "code", name, "Python inside a model file")


def _audit_pickle(name: str, content: bytes, *, torchscript: bool) -> Iterator[Sign]:
    """Yield a sign for each import of a pickle that tensors do not need."""
    for unsafe in unsafe_globals(content, torchscript=torchscript):
        effect = harm_of(unsafe)[1] or "runs code that is not on the list"
        yield Sign(HIGH, "pickle", name, f"a pickle that imports {unsafe}: {effect}")


def _audit_array(content: bytes) -> Iterator[Sign]:
    """Examine the dtype in the header of a ``.npy`` file: arrays of objects are pickled."""
    wide = content[6:7] != b"\x01"
    (length,) = struct.unpack("<I" if wide else "<H", content[8 : 12 if wide else 10])
    header = content[10 + 2 * wide :][:length]
    if re.search(rb"['\"]descr['\"]\s*:[^,}]*\|?O", header) or b"'O'" in header:
        yield Sign(HIGH, "pickle", "array of objects", "a pickle: reading it can run any code")


def _audit_script(name: str, content: bytes) -> Iterator[Sign]:
    """Find operations of TorchScript other than computing."""
    for match in SCRIPTED.finditer(content):
        call = match.group().decode("ascii", "replace").rstrip("(")
        yield Sign(MEDIUM, "code", name, f"TorchScript that calls {call}")


def globals_in(content: bytes) -> list[str]:
    """List the names that loading pickles would import.

    Args:
        content: one or more pickles in a row; bytes after them are ignored.

    Returns:
        ``module.name`` in order, each once; :data:`UNKNOWN` for an import other than the kind that
        ``torch.save`` writes.

    Raises:
        ValueError: when the first pickle is damaged.

    Example:
        >>> globals_in(b"cos\\nsystem\\n(S'ls'\\ntR.")
        ['os.system']
    """
    stream = BytesIO(content)
    imported: dict[str, None] = {}
    for number in range(MOST_PICKLES):
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    imported[str(argument).replace(" ", ".", 1)] = None
                elif opcode.name in COMPUTED:
                    imported[UNKNOWN] = None
        except (ValueError, UnicodeDecodeError) as error:
            if number == 0:
                raise ValueError(f"cannot be read as a pickle: {error}") from error
            break
        if stream.tell() >= len(content):
            break
    return list(imported)


def unsafe_globals(content: bytes, *, torchscript: bool = False) -> list[str]:
    """List the imports of pickles that ``torch.load(weights_only=True)`` refuses.

    Args and errors as for :func:`globals_in`; TorchScript's reader knows classes of its own.
    """
    allowed = _get_allowed_globals()
    unsafe = [name for name in globals_in(content) if name not in allowed]
    return [name for name in unsafe if not (torchscript and name.startswith(OF_TORCHSCRIPT))]
