"""Audit of weight and array files: whether reading them unpickles, which can run any code."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from typing import IO

from scripts.audit.bundle_files import BundleFiles
from scripts.audit.findings import HIGH, LOW, MEDIUM, Sign
from scripts.audit.pickles import unsafe_globals, why_of

PICKLED = (".pkl", ".pickle", ".pck", ".p", ".dill", ".joblib")
WEIGHTS = (".pt", ".pth", ".ts", ".ckpt", ".bin", ".mar", ".jit", ".torchscript")
ARRAYS = (".npy", ".npz")
PLAIN = (".safetensors", ".onnx", ".h5", ".hdf5")
SUFFIXES = (*PICKLED, *WEIGHTS, *ARRAYS, *PLAIN)
MOST_PICKLE = 64 << 20
MOST_MODEL = 8 << 30
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
        yield from _audit_zip(file)
    elif start[:6] == b"\x93NUMPY":
        yield from _audit_array(file.read(MOST_PICKLE))
    elif name.endswith(PLAIN):
        return
    else:
        yield from _audit_pickle("pickle", file.read(MOST_PICKLE), torchscript=False)


def _audit_zip(file: IO[bytes]) -> Iterator[Sign]:
    """Examine a zip with pickles or arrays, as saved by torch and NumPy."""
    with zipfile.ZipFile(file) as archive:
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
        why = f"a pickle that imports {unsafe}: {why_of(unsafe)}"
        yield Sign(HIGH, "pickle", name, why)


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
