"""Files of weights from any tool: read without running code, and freed of wrappings."""

from __future__ import annotations

import argparse
import importlib
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that DataParallel, torch.compile and FSDP add, also inside a name."""

_SCALAR = np.float64(0).__reduce__()[0]
PLAIN_TYPES: list[Any] = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(code)) for code in "?bhilqpBHILQPefd"),
    (_SCALAR, "numpy.core.multiarray.scalar"),  # of numpy 1
    (_SCALAR, "numpy._core.multiarray.scalar"),
]
"""Types besides torch's own that are read: numbers and options that trainings keep."""

EXAMPLES = 3
PICKLE = "data.pkl"  # in every zip of torch.save
SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin")  # of weights
CHUNK = 2**20  # bytes


class UnreadableError(ValueError):
    """A file from which no weights can be read without running code in it."""


def read_content(path: Path) -> Any:
    """Read a file of ``torch.save`` or safetensors to the CPU, without running code in it.

    Raises:
        UnreadableError: with the reason in a few words.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        if zipfile.is_zipfile(path):
            _compare_checksums(path)
        with torch.serialization.safe_globals(PLAIN_TYPES):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch have no common error
        raise UnreadableError(_reason(path, error)) from error


def _compare_checksums(path: Path) -> None:
    """Read each entry of a zip of ``torch.save`` once; ``torch.load`` ignores their checksums.

    Raises:
        zipfile.BadZipFile: when a byte of an entry has changed since it was written.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.CRC:  # after torch.serialization.set_crc32_options(False)
                continue
            with archive.open(entry) as content:
                while content.read(CHUNK):
                    pass


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of https://github.com/huggingface/safetensors."""
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise UnreadableError(
            "the package safetensors is not installed: pip install safetensors"
        ) from error
    try:
        tensors: dict[str, Tensor] = safetensors.load_file(path)
    except Exception as error:  # of the package's own type, not of Python's
        raise UnreadableError(_reason(path, error)) from error
    return tensors


def _reason(path: Path, error: Exception) -> str:
    """Say in a few words why a file cannot be read; torch's own advice is to run it as code."""
    forbidden = re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", str(error))
    if forbidden:
        return f"it holds an object of type {forbidden.group(1)}, not only tensors and plain values"
    if not path.is_file() or path.stat().st_size == 0:
        return "it is empty" if path.is_file() else "there is no such file"
    if zipfile.is_zipfile(path) and (advice := _archive_of_others(path)):
        return advice
    with path.open("rb") as file:
        whole = file.read(2) != b"PK" and path.suffix != ".safetensors"
    return "it is no file of torch.save" if whole else "it is damaged or was not written completely"


def _archive_of_others(path: Path) -> str:
    """Say what to do with a zip of files, such as a bundle; empty for one of ``torch.save``."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    if any(PurePosixPath(name).name == PICKLE for name in names):
        return ""
    weights = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not weights:
        return "it is a zip without a file of weights"
    shown = ", ".join(sorted(weights)[:EXAMPLES])
    return f"it is a zip that holds {shown}; unpack it and name that file"


def flattened(content: Any, prefix: str = "") -> dict[str, Tensor]:
    """List the tensors of nested dictionaries, their keys joined by dots; ignore all else.

    >>> list(flattened({"state_dict": {"fc.bias": torch.zeros(1)}, "epoch": 3}))
    ['state_dict.fc.bias']
    """
    tensors: dict[str, Tensor] = {}
    for key, value in content.items() if isinstance(content, Mapping) else ():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, Mapping):
            tensors.update(flattened(value, f"{name}."))
    return tensors


@dataclass(frozen=True)
class Unwrapped:
    """Tensors of a network.

    Attributes:
        tensors: name in the network -> tensor.
        prefix: that was removed from the names of the file, such as ``state_dict.module.``.
        others: names in the file that do not begin with it.
    """

    tensors: dict[str, Tensor]
    prefix: str
    others: tuple[str, ...]


def unwrap(tensors: Mapping[str, Tensor], wanted: Collection[str]) -> Unwrapped:
    """Remove from the names of a file what its tool added before or inside a network's names.

    Args:
        tensors: see :func:`flattened`.
        wanted: names in the network; the prefix under which most of them are found is removed.

    Raises:
        ValueError: when all of them are found under several prefixes, with different values.

    >>> unwrap({"model.module.fc.bias": torch.zeros(1)}, ["fc.bias"]).prefix
    'model.module.'
    """
    wanted = set(wanted)
    found = Counter(prefix for name in tensors for prefix in _prefixes(name, wanted))
    most = max(found.values(), default=0)
    chosen, *rivals = sorted((p for p, n in found.items() if n == most), key=len) or [""]
    result = _below(chosen, tensors, wanted)
    for rival in rivals if most == len(wanted) else ():  # else the network's own check refuses
        other = _below(rival, tensors, wanted).tensors
        if any(not _same(other.get(name), result.tensors.get(name)) for name in wanted):
            raise ValueError(
                f"holds {len(rivals) + 1} sets of these weights, under "
                f"{', '.join(repr(prefix) for prefix in (chosen, *rivals))}; save the one to use "
                "as a state_dict of its own"
            )
    return result


def _prefixes(name: str, wanted: Collection[str]) -> Iterator[str]:
    """Yield each start of a name after which a wanted name follows."""
    parts = name.split(".")
    for start in range(len(parts)):
        rest = ".".join(parts[start:])
        own = rest in wanted or parts[start] not in WRAPPERS
        if own and _plain(rest, wanted) in wanted:
            yield name[: len(name) - len(rest)]


def _plain(name: str, wanted: Collection[str]) -> str:
    if name in wanted:
        return name
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _below(prefix: str, tensors: Mapping[str, Tensor], wanted: Collection[str]) -> Unwrapped:
    inside = {
        _plain(name.removeprefix(prefix), wanted): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    return Unwrapped(inside, prefix, tuple(n for n in tensors if not n.startswith(prefix)))


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one, other)


def refuse_non_finite(tensors: Mapping[str, Tensor], place: object) -> None:
    """Refuse weights with values that are not numbers, which would give an empty mask.

    Raises:
        ValueError: naming the tensors.
    """
    wrong = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if wrong:
        count = int((~torch.isfinite(tensors[wrong[0]])).sum())
        raise ValueError(
            f"{place} holds values that are not finite in {len(wrong)} of {len(tensors)} tensors: "
            f"{in_short(wrong)} ({count} of {tensors[wrong[0]].numel()} values of the first are "
            "NaN or infinite); the training that wrote it diverged, use an earlier file"
        )


def in_short(names: Sequence[str]) -> str:
    """List a few names and the number of the rest.

    >>> in_short(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return f"{', '.join(names[:EXAMPLES])}{more}"


@contextmanager
def naming(place: object) -> Iterator[None]:
    """Put the name of a file before the messages of the checks in a block."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place} {error}") from error
