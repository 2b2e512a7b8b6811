"""The data sets by name, each imported only when it is asked for."""

from __future__ import annotations

import difflib
from importlib import import_module

from scripts.datasets.contract import DataSet

# name -> "module:class"; a new data set needs this one line outside its own module
KNOWN: dict[str, str] = {
    "folder": "scripts.datasets.folder:FolderDataSet",
    "lidc_nodules": "scripts.datasets.lidc_nodules:LidcNodules",
}


def data_set_class(name: str) -> type[DataSet]:
    """Return the class of a data set.

    Raises:
        ValueError: for an unknown name, with the nearest one and all that are known.
    """
    if name not in KNOWN:
        near = difflib.get_close_matches(str(name), KNOWN, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"data set: must be one of {', '.join(KNOWN)}, got {name!r}{hint}")
    module, _, attribute = KNOWN[name].partition(":")
    known: type[DataSet] = getattr(import_module(module), attribute)
    return known
