"""Location of an unpacked bundle; part of every package."""

from __future__ import annotations

from pathlib import Path


def bundle_root() -> str:
    """Return the folder that contains ``scripts``: the bundle's, independent of the current one.

    A config cannot refer to its own location, and MONAI resolves a relative ``bundle_root`` against
    the current directory. Packaged configs therefore use this function. Setting ``bundle_root``, as
    MONAI Label does, replaces it.

    Example:
        >>> Path(bundle_root(), "scripts", "packaging", "location.py").is_file()
        True
    """
    return str(Path(__file__).resolve().parents[2])
