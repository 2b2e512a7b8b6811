"""The project's own ``bundles/`` and ``configs/``, found from any folder.

Configs name each other by paths that are relative to the repository's root
(``%configs/networks/unet.json::network_def``). An installation has the same layout, so a path below
one of these folders that does not exist in the current folder is looked for there. What a run
writes stays relative to the current folder.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("bundles", "configs")


def shipped(path: str | Path) -> Path:
    """Return a path as it is, or the one in the installation if only that exists.

    Args:
        path: any path; only a relative one below ``bundles/`` or ``configs/`` is ever replaced.

    Example:
        >>> shipped("configs/losses/none.json"), shipped("scans").is_absolute()
        (PosixPath('configs/losses/none.json'), False)
    """
    given = Path(path)
    if given.parts[:1] not in [(folder,) for folder in FOLDERS] or given.exists():
        return given
    own = ROOT / given
    return own if own.exists() else given


def shipped_below(folder: str, pattern: str) -> list[Path]:
    """List files below a folder, of ``bundles/`` and ``configs/`` also those of the installation.

    Returns:
        Sorted paths that begin with ``folder``, for :func:`shipped`.
    """
    own = Path(folder)
    roots = [Path(), ROOT] if own.parts[:1] in [(name,) for name in FOLDERS] else [Path()]
    found = {own / path.relative_to(r / own) for r in roots for path in (r / own).glob(pattern)}
    return sorted(found)
