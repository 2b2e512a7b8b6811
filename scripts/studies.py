"""What there is to predict at a path: volume files and DICOM series folders."""

from __future__ import annotations

from pathlib import Path

from pydicom.misc import is_dicom

VOLUME_SUFFIXES = (".mhd", ".mha", ".nrrd", ".nii", ".nii.gz")


def is_volume(path: Path) -> bool:
    """Say whether a file is a CT volume by its name."""
    return path.is_file() and path.name.lower().endswith(VOLUME_SUFFIXES)


def is_dicom_folder(path: Path) -> bool:
    """Say whether a folder directly holds DICOM files, whatever their names."""
    return path.is_dir() and any(is_dicom(f) for f in sorted(path.iterdir()) if f.is_file())


def find_studies(source: str | Path) -> list[dict[str, str]]:
    """List the studies at a path, for a MONAI data set.

    Args:
        source: a volume file, a folder of DICOM files, or a folder that holds either at any depth.

    Returns:
        One ``{"image": path}`` per study, sorted by path.

    Raises:
        FileNotFoundError: when the path does not exist or holds nothing that can be read as a CT.

    Example:
        >>> find_studies("nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: dataset_dir: no such file or folder: nowhere
    """
    root = Path(source)
    if not root.exists():
        raise FileNotFoundError(f"dataset_dir: no such file or folder: {root}")
    if is_volume(root) or is_dicom_folder(root):
        return [{"image": str(root)}]
    below = sorted(root.rglob("*")) if root.is_dir() else []
    found = [{"image": str(path)} for path in below if is_volume(path) or is_dicom_folder(path)]
    if not found:
        raise FileNotFoundError(
            f"dataset_dir: nothing to read at {root}: expected a file ending in "
            f"{', '.join(VOLUME_SUFFIXES)}, a folder of DICOM files, or a folder of these"
        )
    return found
