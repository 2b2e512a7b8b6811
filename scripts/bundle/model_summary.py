"""What a file of trained weights says of itself, read in milliseconds and without torch.

A file of ``torch.save`` is a zip with a pickle of names, numbers and words, in which the tensors
are references to other members. Here the references are left open, so no tensor is read, and
nothing that the pickle names is imported or called.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

CONTENT = "data.pkl"
MOST_BYTES = 64 << 20  # of the pickle: names and shapes of the tensors
ENTRIES = ("settings", "data", "versions")
CASES = {"training": "cases", "validation": "validation_cases", "test": "test_cases"}
"""Partition -> the entry of ``data`` with the hashes of its cases."""


class _Left:
    """Stands for everything that is not a plain value, such as a tensor."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Ignore the content."""


class _PlainValues(pickle.Unpickler):
    """Unpickles dictionaries, lists, numbers and words only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class that a pickle names: OrderedDict, or a stand-in that does nothing."""
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _Left

    def persistent_load(self, pid: Any) -> Any:
        """Leave a tensor's values unread."""
        return None


def read_summary(path: Path) -> dict[str, Any]:
    """Return the settings, the training data and the versions that a model file records.

    Args:
        path: ``model.pt`` of a training or of a package.

    Returns:
        Those of ``settings``, ``data`` and ``versions`` that it has; empty for weights of another
        program.

    Raises:
        ValueError: when it is not a file of ``torch.save`` or damaged, or holds no weights by name.
        OSError: when it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == CONTENT]
            if len(names) != 1 or archive.getinfo(names[0]).file_size > MOST_BYTES:
                raise ValueError(f"holds no {CONTENT} of usual size")
            content = _PlainValues(io.BytesIO(archive.read(names[0]))).load()
    except OSError:
        raise
    except Exception as error:  # a damaged pickle leads to many exceptions
        raise ValueError(
            f"bundle: {path} cannot be read as a file of torch.save: {error}"
        ) from error
    record = getattr(content, "record", content)
    entries = record if isinstance(record, dict) else {}
    summary = {name: entries[name] for name in ENTRIES if isinstance(entries.get(name), dict)}
    if not summary and not _has_weights(content):
        raise ValueError(
            f"bundle: {path} holds no weights by name; a model file is a dictionary of tensors, as "
            "model.pt of a training"
        )
    return summary


def _has_weights(content: object, deep: int = 2) -> bool:
    """Whether tensors are in a dictionary, or in dictionaries within it."""
    if not isinstance(content, dict):
        return False
    return any(
        isinstance(value, _Left) or (deep > 0 and _has_weights(value, deep - 1))
        for value in content.values()
    )
