"""What there is to predict at a path: volume files and DICOM series folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.utils import ImageMetaKey
from pydicom.misc import is_dicom

from scripts.volumes.volume_files import VOLUME_SUFFIXES


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
        ValueError: when two studies are named alike, so that one's mask would replace the other's.

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
    _refuse_same_names([study["image"] for study in found])
    return found


def root_of(source: str | Path) -> str:
    """Give the folder below which results repeat the folders of a path's studies.

    That is what ``SaveImaged`` takes as ``data_root_dir``: the path itself, or the folder that a
    single study lies in. Patients whose series are all called PATIENT_DICOM stay apart.
    """
    root = Path(source)
    return str(root.parent if is_volume(root) or is_dicom_folder(root) else root)


def name_result(metadata: Mapping[Any, Any], saver: object) -> dict[str, Any]:
    """Name a result after its study, for ``SaveImaged`` as ``output_name_formatter``.

    MONAI cuts a name at its last dot, folders' too: of folders named by DICOM UID only the part
    that all of them share would be left.

    Args:
        metadata: of the image, with its path.
        saver: not needed; part of MONAI's interface.

    Example:
        >>> name_result({"filename_or_obj": "studies/scan.nii.gz"}, None)["subject"]
        'studies/scan.nii.gz'
    """
    path = Path(str(metadata[ImageMetaKey.FILENAME_OR_OBJ]))
    return {"subject": _with_suffix(path), "idx": metadata.get(ImageMetaKey.PATCH_INDEX)}


def _with_suffix(path: Path) -> str:
    """Give a folder the suffix that MONAI is going to cut off."""
    return f"{path}.dcm" if path.is_dir() else str(path)


def _without_suffix(path: str) -> str:
    """Cut as MONAI does when it names a result."""
    return str(Path(path.removesuffix(".gz")).with_suffix(""))


def _refuse_same_names(paths: list[str]) -> None:
    results = {path: _without_suffix(_with_suffix(Path(path))) for path in paths}
    times = Counter(results.values())
    alike = [path for path in paths if times[results[path]] > 1]
    if alike:
        raise ValueError(
            f"dataset_dir: results are named after studies, and {', '.join(alike[:4])} "
            "would share one; rename them, or give one of them at a time"
        )
