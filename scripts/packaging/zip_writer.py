"""Reproducible zips of a folder: equal content gives equal bytes."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from scripts.storage.files import atomic_path

EARLIEST = (1980, 1, 1, 0, 0, 0)  # smallest time stamp of the zip format
READABLE = 0o100644 << 16
COMPRESSED = (".pt", ".ts", ".onnx", ".png", ".gz")


def write_zip(folder: Path, path: Path) -> None:
    """Zip a folder, itself included, atomically, with sorted names and fixed times.

    Args:
        folder: folder to zip; its name is the only top-level folder of the zip.
        path: zip to write.

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
    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder.parent).as_posix(), date_time=EARLIEST)
            is_compressed = file.suffix in COMPRESSED
            entry.compress_type = zipfile.ZIP_STORED if is_compressed else zipfile.ZIP_DEFLATED
            entry.external_attr = READABLE
            entry.create_system = 3  # the same on all operating systems
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
