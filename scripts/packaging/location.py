"""Where an unpacked bundle lies; part of every package."""

from __future__ import annotations

from pathlib import Path


def bundle_root() -> str:
    """Return the folder that holds ``scripts``: the bundle's own, wherever the user stands.

    A config cannot say where it lies, and MONAI resolves a relative ``bundle_root`` against the
    current directory. So packaged configs name this function instead; whoever sets ``bundle_root``
    (MONAI Label does) replaces it.

    Example:
        >>> Path(bundle_root(), "scripts", "packaging", "location.py").is_file()
        True
    """
    return str(Path(__file__).resolve().parents[2])
