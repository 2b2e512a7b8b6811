"""Readers of CT volumes and masks: MetaImage, NRRD, NIfTI and DICOM series, checked.

All code of this project reads volumes with :func:`read_volume` or :func:`read_image`, MONAI's
pipelines through :class:`SimpleITKReader`: one reader, one geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray

from scripts.volumes.geometry import grid_difference, lps_to_ras, reverse_axes
from scripts.volumes.hounsfield import why_not_hounsfield
from scripts.volumes.volume import Volume
from scripts.volumes.volume_files import VOLUME_SUFFIXES, read_volume_file

NOTES = "notes"  # in the metadata: assumptions made in reading


def read_volume(path: str | Path, *, series_uid: str | None = None) -> Volume:
    """Read one 3D volume of any values, in its own orientation and number type.

    Args:
        path: a file ending in .mhd (with .raw or .zraw), .mha, .nrrd, .nhdr, .nii or .nii.gz, or a
            folder with the files of a DICOM CT series directly in it (then HU).
        series_uid: SeriesInstanceUID; required if a DICOM folder holds several CT series.

    Raises:
        FileNotFoundError: for a path that does not exist, or a header whose data file is missing.
        ValueError: naming the file: of an unsupported format, truncated or damaged, not one 3D
            volume with one value per voxel, without sizes or positions in mm, or of a geometry that
            :func:`scripts.volumes.geometry.check_affine` refuses.
    """
    source = Path(path)
    if source.is_dir():
        # Only DICOM needs pydicom 3. MONAI Label, which needs pydicom 2, reads volume files.
        from scripts.volumes.dicom.pixels import read_volume_of
        from scripts.volumes.dicom.series_volume import read_series

        return read_volume_of(read_series(source, series_uid=series_uid))
    if not source.exists():
        raise FileNotFoundError(f"path: no such file or folder: {source}")
    if not source.name.lower().endswith(VOLUME_SUFFIXES):
        raise ValueError(
            f"path: must end in {', '.join(VOLUME_SUFFIXES)} or be a folder of DICOM files, "
            f"got {source}"
        )
    return read_volume_file(source)


def read_image(path: str | Path) -> sitk.Image:
    """Read one 3D volume of any values as a SimpleITK image, in its own orientation.

    Args:
        path: see :func:`read_volume`.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_volume`.
    """
    return read_volume(path).to_image()


@dataclass(frozen=True)
class Refusal:
    """The error of a volume that could not be read.

    ``LoadImage`` tries MONAI's other readers when the named one raises in ``read``; the next might
    silently average over a missing DICOM slice. Therefore :class:`SimpleITKReader` returns this
    instead, and ``get_data``, whose errors are not caught, raises it.
    """

    error: Exception


class SimpleITKReader(ImageReader):
    """MONAI reader of the formats of :func:`read_volume`, to be named in configs.

    ``{"_target_": "LoadImaged", "keys": "image",
    "reader": "scripts.volumes.readers.SimpleITKReader"}``

    Like MONAI's other medical readers it returns arrays with axes (x, y, z) and a RAS affine, as
    Orientationd, Spacingd, Invertd and SaveImaged expect. If it refuses a volume, no other reader
    is tried (see :class:`Refusal`).

    Args:
        series_uid: SeriesInstanceUID; required for DICOM folders with several CT series.
    """

    def __init__(self, *, series_uid: str | None = None) -> None:
        super().__init__()
        self.series_uid = series_uid

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """Return whether every path is a folder or has the suffix of a volume file."""
        paths = [Path(name) for name in ensure_tuple(filename)]
        return all(p.is_dir() or p.name.lower().endswith(VOLUME_SUFFIXES) for p in paths)

    def read(
        self, data: Sequence[str | Path] | str | Path, **kwargs: Any
    ) -> list[Volume | Refusal]:
        """Read one volume, or several that become channels; errors are raised by ``get_data``.

        Args:
            data: one path or several.
            kwargs: part of MONAI's interface; refused.
        """
        if kwargs:
            return [Refusal(TypeError(f"kwargs: read accepts none, got {sorted(kwargs)}"))]
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
            0-based index to RAS mm, spatial_shape, spacing (mm), space, original_channel_dim; and,
            if assumptions were made in reading, notes.

        Raises:
            ValueError: see :func:`read_volume`; for volumes on different grids.
            OSError: see :func:`read_volume`.
            TypeError: for keyword arguments given to ``read``.
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
        if notes := [note for volume in volumes for note in volume.notes]:
            meta[NOTES] = notes
        if len(arrays) == 1:
            return arrays[0], meta
        return np.stack(arrays), {**meta, str(MetaKeys.ORIGINAL_CHANNEL_DIM): 0}


class CTReader(SimpleITKReader):
    """MONAI reader of CTs: refuses values that cannot be HU; to be named in configs.

    Where the values are known to be right, name :class:`SimpleITKReader` instead.
    """

    def _read_or_refuse(self, path: Path) -> Volume | Refusal:
        read = super()._read_or_refuse(path)
        if isinstance(read, Volume) and (reason := why_not_hounsfield(read.hu)):
            return Refusal(ValueError(f"{path}: values must be HU, {reason}"))
        return read


class VolumeReader(SimpleITKReader):
    """MONAI reader of a volume that was read already; the path is only its name.

    Passed to ``LoadImaged`` at run time:
    ``load({"image": "ct-1"}, reader=VolumeReader(volume))``.
    """

    def __init__(self, volume: Volume) -> None:
        super().__init__()
        self.volume = volume

    def _read_or_refuse(self, path: Path) -> Volume | Refusal:
        return self.volume


def _metadata(volume: Volume) -> dict[str, Any]:
    """Return the entries that MONAI's spatial transforms and writers need, no patient data."""
    affine = lps_to_ras(volume.affine_lps)
    return {
        str(MetaKeys.ORIGINAL_AFFINE): affine,
        str(MetaKeys.AFFINE): affine.copy(),
        str(MetaKeys.SPACE): SpaceKeys.RAS,
        str(MetaKeys.SPATIAL_SHAPE): np.array(volume.size),
        str(MetaKeys.ORIGINAL_CHANNEL_DIM): float("nan"),  # MONAI's "no_channel"
        "spacing": np.array(volume.spacing_mm),
    }
