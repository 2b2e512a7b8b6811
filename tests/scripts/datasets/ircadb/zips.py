"""Small archives in memory and on the disk, hostile ones too."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path


def zip_bytes(members: Mapping[str | zipfile.ZipInfo, bytes]) -> bytes:
    """A zip with these members; a ZipInfo as a name keeps its flags and attributes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write_files(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def section(names: list[str], *, folder: str = "") -> dict[str, bytes]:
    """Files of a section whose content is their own name."""
    return {f"{folder}{name}": name.encode() for name in names}
