"""The studies at a path as samples of a MONAI data set, and the names of their results.

For the bundles' own configs, which take a folder of DICOM files as one study. The ``predict``
command lists CTs by their content instead: see :mod:`scripts.prediction.sources.ct_sources`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import ImageMetaKey

from scripts.datasets.missing_data import MissingData
from scripts.running.reasons import listed
from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.geometry import Floats
from scripts.volumes.hounsfield import why_not_hounsfield
from scripts.volumes.volume_files import VOLUME_SUFFIXES, read_header, read_volume_file

logger = logging.getLogger(__name__)

SAME_GRID_MM = 0.01


def _is_volume(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(VOLUME_SUFFIXES)


def _is_dicom_folder(path: Path) -> bool:
    return _series_of(path) is not None


def _series_of(folder: Path) -> str | None:
    """Return the SeriesInstanceUID of the first DICOM file in a folder; None if it has none."""
    if not folder.is_dir():
        return None
    # MONAI Label, with pydicom 2, builds what names results, and reads volume files
    from scripts.volumes.dicom.slice import DamagedFileError, read_slice

    with ArchiveReader() as reader:
        for path in sorted(folder.iterdir()):
            if not path.is_file():
                continue
            try:
                each = read_slice(reader, Location(path))
            except DamagedFileError:
                return ""  # named when the folder is read
            if each is not None:
                return str(each.header.get("SeriesInstanceUID") or "")
    return None


def find_studies(source: str | Path) -> list[dict[str, str]]:
    """List the studies at a path, for a MONAI data set.

    Label maps are left out, with a warning: volumes whose values cannot be HU, on the grid of one
    whose values can.

    Args:
        source: a volume file, a folder of DICOM files, or a folder that holds either at any depth.

    Returns:
        One ``{"image": path}`` per study, sorted by path.

    Raises:
        FileNotFoundError: when the path does not exist or holds no readable CT.
        ValueError: when the results of two studies would have one name, so that one would replace
            the other; or when one series lies in several folders.

    Example:
        >>> find_studies("nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: dataset_dir: no such file or folder: nowhere
    """
    root = Path(source)
    if not root.exists():
        raise FileNotFoundError(f"dataset_dir: no such file or folder: {root}")
    if _is_volume(root) or _is_dicom_folder(root):
        return [{"image": str(root)}]
    below = sorted(root.rglob("*")) if root.is_dir() else []
    found = [path for path in below if _is_volume(path) or _is_dicom_folder(path)]
    studies = [{"image": str(path)} for path in _without_label_maps(found)]
    if not studies:
        raise FileNotFoundError(
            f"dataset_dir: no CT at {root}: expected a file ending in "
            f"{', '.join(VOLUME_SUFFIXES)}, a folder of DICOM files, or a folder of these"
        )
    _refuse_same_names([study["image"] for study in studies])
    _refuse_scattered([Path(study["image"]) for study in studies])
    return studies


def _without_label_maps(paths: Sequence[Path]) -> list[Path]:
    """Leave out label maps. Voxels are read of volumes on one grid only: few have the same."""
    grids = [(path, grid) for path in paths if (grid := _grid_of(path)) is not None]
    left_out: set[Path] = set()
    for path, grid in grids:
        others = [one for one, other in grids if one != path and _are_same(grid, other)]
        if others and (reason := _why_no_ct(path)) and not all(map(_why_no_ct, others)):
            logger.warning("dataset_dir: left out: %s: values must be HU, %s", path, reason)
            left_out.add(path)
    _why_no_ct.cache_clear()
    return [path for path in paths if path not in left_out]


Grid = tuple[tuple[int, int, int], Floats]
"""Shape (Z, Y, X), and affine (4, 4) to LPS mm."""


def _grid_of(path: Path) -> Grid | None:
    """Return the grid of a volume file; None for a folder, or a header that cannot be read."""
    if path.is_dir():
        return None
    with suppress(ValueError, OSError):
        header = read_header(path)
        return header.shape, header.affine_lps
    return None


def _are_same(one: Grid, other: Grid) -> bool:
    return one[0] == other[0] and np.allclose(one[1], other[1], atol=SAME_GRID_MM)


@cache
def _why_no_ct(path: Path) -> str:
    """Say why values cannot be HU; empty if they can, or if the file cannot be read."""
    with suppress(ValueError, OSError):
        return why_not_hounsfield(read_volume_file(path).hu)
    return ""  # named when it is predicted


def _refuse_scattered(paths: list[Path]) -> None:
    """Refuse folders with parts of one series, each of which would pass for a CT."""
    folders: dict[str, Path] = {}
    for path in paths:
        uid = _series_of(path)
        if uid and uid in folders:
            raise ValueError(
                f"dataset_dir: {Location(folders[uid])} and {Location(path)} hold one series; "
                "put its files into one folder, or use python -m scripts predict, which joins them"
            )
        if uid:
            folders[uid] = path


def declared_studies(source: str | Path) -> list[dict[str, str]]:
    """List the studies at a path, for a config: see :func:`find_studies`.

    Without data it returns :class:`~scripts.datasets.missing_data.MissingData`: the bundle can be
    built, a run is refused.

    Raises:
        ValueError: see :func:`find_studies`.
    """
    try:
        return find_studies(source)
    except FileNotFoundError as reason:
        return MissingData(reason)


def root_of(source: str | Path) -> str:
    """Return the ``data_root_dir`` for ``SaveImaged``, which repeats the folders below it.

    It is the path itself, or the parent folder of a single study. So the results of patients whose
    series are all called PATIENT_DICOM do not overwrite each other.
    """
    root = Path(source)
    return str(root.parent if _is_volume(root) or _is_dicom_folder(root) else root)


def name_result(metadata: Mapping[Any, Any], saver: object) -> dict[str, Any]:
    """Name a result after its study, for ``SaveImaged`` as ``output_name_formatter``.

    MONAI cuts a name at its last dot, for folders too: of folders named by DICOM UID only the
    common part would remain.

    Args:
        metadata: of the image, with its path.
        saver: unused; part of MONAI's interface.

    Example:
        >>> name_result({"filename_or_obj": "studies/scan.nii.gz"}, None)["subject"]
        'studies/scan.nii.gz'
    """
    path = Path(str(metadata[ImageMetaKey.FILENAME_OR_OBJ]))
    return {"subject": _with_suffix(path), "idx": metadata.get(ImageMetaKey.PATCH_INDEX)}


def _with_suffix(path: Path) -> str:
    """Append to a folder the suffix that MONAI will remove."""
    return f"{path}.dcm" if path.is_dir() else str(path)


def _without_suffix(path: str) -> str:
    """Remove the suffix as MONAI does when it names a result."""
    return str(Path(path.removesuffix(".gz")).with_suffix(""))


def _refuse_same_names(paths: list[str]) -> None:
    results = {path: _without_suffix(_with_suffix(Path(path))) for path in paths}
    times = Counter(results.values())
    shared = [path for path in paths if times[results[path]] > 1]
    if shared:
        raise ValueError(
            f"dataset_dir: results are named after studies, and those of {listed(shared, most=4)} "
            "would have one name; rename the studies, or pass them one at a time"
        )
