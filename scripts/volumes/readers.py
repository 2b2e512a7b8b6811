"""Reading CT volumes and masks: MetaImage, NRRD, NIfTI and DICOM series, refused when unsound.

Everything in this project that opens a volume comes through :func:`read_image`, preparation as
well as the MONAI pipelines (through :class:`SimpleITKReader`): one reader, one geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray

from scripts.storage.archive import Limits
from scripts.volumes.dicom_pixels import read_volume_of
from scripts.volumes.dicom_series import Series, read_series
from scripts.volumes.geometry import (
    SAME_GRID_TOLERANCE_VOXELS,
    affine_of,
    check_affine,
    check_image,
    grid_difference,
    index_to_world,
    lps_to_ras,
    reverse_axes,
    spacing_of,
)
from scripts.volumes.volume import Volume
from scripts.volumes.volume_files import VOLUME_SUFFIXES, check_bytes


def read_image(path: str | Path, *, series_uid: str | None = None) -> sitk.Image:
    """Read one 3D volume, in its own orientation and number type.

    Args:
        path: a file ending in .mhd (with .raw or .zraw), .mha, .nrrd, .nii or .nii.gz, or a folder
            that directly holds the files of a DICOM CT series (then HU).
        series_uid: which series of a DICOM folder that holds several.

    Raises:
        FileNotFoundError: when there is nothing at ``path``, or a header's data file is missing.
        ValueError: for another kind of file, one cut short or damaged (SimpleITK would return
            noise as HU without a word), anything but one 3D volume with one value a voxel, and
            geometry that :func:`scripts.volumes.geometry.check_image` refuses; always with
            the file's name.
    """
    source = Path(path)
    if source.is_dir():
        return read_volume_of(read_series(source, series_uid=series_uid)).to_image()
    if not source.exists():
        raise FileNotFoundError(f"path: no such file or folder: {source}")
    if not source.name.lower().endswith(VOLUME_SUFFIXES):
        raise ValueError(
            f"path: must end in {', '.join(VOLUME_SUFFIXES)} or be a folder of DICOM files, "
            f"got {source}"
        )
    check_bytes(source)
    if source.name.lower().endswith((".nii", ".nii.gz")):
        _check_nifti_affine(source)
    image = _read_file(source)
    if source.name.lower().endswith((".nii", ".nii.gz")):
        _check_itk_took_affine(source, image)
    return check_image(image, str(source))


def read_volume(path: str | Path, *, series_uid: str | None = None) -> Volume:
    """Read one 3D volume as :func:`read_image` does, as array and affine."""
    if Path(path).is_dir():
        return read_volume_of(read_series(path, series_uid=series_uid))
    return Volume.from_image(read_image(path))


def _read_file(path: Path) -> sitk.Image:
    """Read a checked file with SimpleITK; its long errors become one line with the file's name."""
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path}: SimpleITK cannot read it: {reason}") from error
    if image.GetDimension() != 3:
        raise ValueError(f"{path}: must be one 3D volume, got size {image.GetSize()}")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(
            f"{path}: must have one value a voxel, got {image.GetNumberOfComponentsPerPixel()}"
        )
    return image


def _check_nifti_affine(path: Path) -> None:
    """Refuse sheared NIfTI affines, which ITK would straighten with no more than a warning."""
    check_affine(nibabel.load(path).affine, str(path))


def _check_itk_took_affine(path: Path, image: sitk.Image) -> None:
    """Refuse a NIfTI file whose two affines differ so that ITK and nibabel place it apart."""
    theirs = lps_to_ras(nibabel.load(path).affine)
    ours = affine_of(image)
    ends = np.vstack([np.zeros(3), np.diag(np.array(image.GetSize()) - 1.0)])
    apart = np.abs(index_to_world(ends, ours) - index_to_world(ends, theirs)).max()
    if apart > SAME_GRID_TOLERANCE_VOXELS * spacing_of(ours).min():
        raise ValueError(
            f"{path}: its qform and sform place voxels up to {apart:.3f} mm apart; "
            "keep the right one of them in the file"
        )


@dataclass(frozen=True)
class Refusal:
    """A volume that could not be read, and why.

    ``LoadImage`` goes on with MONAI's other readers when the named one raises in ``read``; the
    next might average over a missing DICOM slice without a word. So :class:`SimpleITKReader` hands
    this on, and ``get_data``, where nothing is caught, raises.
    """

    error: Exception


class SimpleITKReader(ImageReader):
    """MONAI reader for what :func:`read_image` reads; name it in configs.

    ``{"_target_": "LoadImaged", "keys": "image",
    "reader": "scripts.volumes.readers.SimpleITKReader"}``

    As MONAI's other medical readers it gives arrays with axes (x, y, z) and a RAS affine, so that
    Orientationd, Spacingd, Invertd and SaveImaged work on them. A volume that is refused stays
    refused: no other reader gets to guess at it (see :class:`Refusal`).

    Args:
        series_uid: which series to take from DICOM folders that hold several.
    """

    def __init__(self, *, series_uid: str | None = None) -> None:
        super().__init__()
        self.series_uid = series_uid

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Say whether every path is a folder or ends like a volume file."""
        paths = [Path(name) for name in ensure_tuple(filename)]
        return all(p.is_dir() or p.name.lower().endswith(VOLUME_SUFFIXES) for p in paths)

    def read(
        self, data: Sequence[str | Path] | str | Path, **kwargs: Any
    ) -> list[Volume | Refusal]:
        """Read one volume, or several that become channels; raises nothing, see ``get_data``.

        Args:
            data: one path or several.
            kwargs: refused; MONAI's interface has them.
        """
        if kwargs:
            return [Refusal(TypeError(f"kwargs: read takes none, got {sorted(kwargs)}"))]
        return [self._read_or_refuse(Path(path)) for path in ensure_tuple(data)]

    def _read_or_refuse(self, path: Path) -> Volume | Refusal:
        try:
            return read_volume(path, series_uid=self.series_uid)
        except (OSError, ValueError) as error:
            return Refusal(error)

    def get_data(
        self, img: Sequence[Volume | Refusal] | Volume | Refusal
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return the voxels and MONAI's metadata.

        Returns:
            (X, Y, Z), or (C, X, Y, Z) for C volumes; and affine and original_affine (4, 4) from
            0-based index to RAS mm, spatial_shape, spacing (mm), space, original_channel_dim.

        Raises:
            ValueError, FileNotFoundError: what :func:`read_image` raised; several volumes on
                different grids.
        """
        volumes: list[Volume] = []
        for item in ensure_tuple(img):
            if isinstance(item, Refusal):
                raise item.error
            volumes.append(item)
        for other in volumes[1:]:
            if difference := grid_difference(volumes[0].to_image(), other.to_image()):
                raise ValueError(f"img: volumes read as channels must share a grid: {difference}")
        arrays = [reverse_axes(volume.hu) for volume in volumes]
        meta = _metadata(volumes[0])
        if len(arrays) == 1:
            return arrays[0], meta
        return np.stack(arrays), {**meta, str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0}


class SeriesReader(SimpleITKReader):
    """MONAI reader of one DICOM series whose headers were read before; the path only names it.

    ``LoadImaged`` takes it at run time: ``load({"image": "ct-1"}, reader=SeriesReader(series))``.

    Args:
        series: sorted.
        limits: of what is read from zips.
    """

    def __init__(self, series: Series, *, limits: Limits | None = None) -> None:
        super().__init__()
        self.series, self.limits = series, limits

    def _read_or_refuse(self, path: Path) -> Volume | Refusal:
        try:
            return read_volume_of(self.series, limits=self.limits)
        except (OSError, ValueError) as error:
            return Refusal(error)


def _metadata(volume: Volume) -> dict[str, Any]:
    """Return what MONAI's spatial transforms and writers need; nothing about the patient."""
    affine = lps_to_ras(volume.affine_lps)
    return {
        str(MetaKeys.ORIGINAL_AFFINE): affine,
        str(MetaKeys.AFFINE): affine.copy(),
        str(MetaKeys.SPACE): SpaceKeys.RAS,
        str(MetaKeys.SPATIAL_SHAPE): np.array(volume.size),
        str(MetaKeys.ORIGINAL_CHANNEL_DIM): float("nan"),  # MONAI's "no_channel"
        "spacing": np.array(volume.spacing_mm),
    }
