"""The registry of data sets by name; each is imported only when it is needed."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from scripts.datasets.contract import DataSet


class Known(NamedTuple):
    """One entry of the registry.

    Args:
        target: class of the data set, as ``module:class``.
        summary: what ``prepare`` does with it, in one line.
    """

    target: str
    summary: str


# a new data set needs its own module and one entry here
KNOWN: dict[str, Known] = {
    "luna16": Known(
        "scripts.datasets.luna16.luna16_dataset:Luna16",
        "turn LUNA16 into slices, labels, partitions and a datalist",
    ),
    "ircadb": Known(
        "scripts.datasets.ircadb.ircadb_dataset:Ircadb",
        "turn 3D-IRCADb-01 into slices, labels, partitions and a datalist",
    ),
    "folder": Known(
        "scripts.datasets.folder.dataset:FolderDataSet",
        "turn any CTs with label maps into slices, labels, partitions and a datalist",
    ),
    "lidc_nodules": Known(
        "scripts.datasets.lidc_nodules:LidcNodules",
        "turn crops of LIDC nodules into slices, labels, partitions and a datalist",
    ),
}


def data_set_class(name: str) -> type[DataSet]:
    """Return the class of a data set.

    Raises:
        ValueError: for an unknown name, with the most similar name and all known names.
    """
    if name not in KNOWN:
        near = difflib.get_close_matches(str(name), KNOWN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"data set: must be one of {', '.join(KNOWN)}, got {name!r}{hint}")
    module, _, attribute = KNOWN[name].target.partition(":")
    known: type[DataSet] = getattr(import_module(module), attribute)
    return known
