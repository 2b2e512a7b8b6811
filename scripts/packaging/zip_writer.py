"""One zip of a folder: equal content, equal bytes."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from scripts.storage.files import atomic_path

THEN = (1980, 1, 1, 0, 0, 0)  # the earliest time that zip files can tell
READABLE = 0o100644 << 16
PACKED_ALREADY = (".pt", ".ts", ".onnx", ".png", ".gz")


def write_zip(folder: Path, path: Path) -> None:
    """Zip a folder, itself included, whole or not at all; names sorted, times fixed.

    Args:
        folder: what to zip; its name is the zip's only top folder.
        path: the zip.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as work:
        ...     Path(work, "bundle").mkdir()
        ...     _ = Path(work, "bundle", "LICENSE").write_text("free")
        ...     write_zip(Path(work, "bundle"), Path(work, "bundle.zip"))
        ...     zipfile.ZipFile(Path(work, "bundle.zip")).namelist()
        ['bundle/LICENSE']
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with atomic_path(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder.parent).as_posix(), date_time=THEN)
            packed = file.suffix in PACKED_ALREADY
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            entry.external_attr = READABLE
            entry.create_system = 3  # what made it must not show either
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
