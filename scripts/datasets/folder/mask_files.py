"""Labels as a folder of masks, one volume file for each structure, as TotalSegmentator has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.folder.case_files import volumes_in
from scripts.datasets.folder.case_table import stem_of
from scripts.datasets.segments.segment_file import CtGrid, Drawn, Segment, SegmentFile, Voxels
from scripts.running.reasons import listed
from scripts.volumes.geometry import lps_to_ras
from scripts.volumes.grids import Grid, difference_of_grids, grid_in_lps
from scripts.volumes.readers import read_volume
from scripts.volumes.volume import turned


@dataclass(frozen=True)
class MaskFolder(SegmentFile):
    """A folder with the mask of each structure of one CT; the names are those of the files.

    An empty mask says that there is nothing of the structure in the CT.
    """

    kind: ClassVar[str] = "a mask for each structure"
    dicom: ClassVar[bool] = False
    empty_is_absent: ClassVar[bool] = True

    @classmethod
    def read(cls, folder: Path) -> MaskFolder | None:
        """List the masks of a folder; None if it holds no volume files.

        Raises:
            ValueError: for two files of one name.
        """
        files = volumes_in(folder)
        if not files:
            return None
        names = [stem_of(path) for path in files]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{folder}: several files have the name {listed(twice)}")
        return cls(folder, [Segment(number, name) for number, name in enumerate(names)])

    def files(self, segments: Sequence[Segment]) -> tuple[Path, ...]:
        """Return the files of some of the structures."""
        volumes = volumes_in(self.path)
        return tuple(volumes[segment.number] for segment in segments)

    def draw(self, numbers: Sequence[int], ct: CtGrid) -> Drawn:
        """See :meth:`~scripts.datasets.segments.segment_file.SegmentFile.draw`.

        The masks must be on the grid of the CT; the order of their axes may be another.
        """
        files = volumes_in(self.path)
        return Drawn({number: _voxels(files[number], ct) for number in numbers})


def _voxels(path: Path, ct: CtGrid) -> Voxels:
    name = f"{path.parent.name}/{path.name}"
    stored = read_volume(path)
    own = grid_in_lps(Grid(stored.size, lps_to_ras(stored.affine_lps)))
    wanted = grid_in_lps(Grid(ct.shape[::-1], lps_to_ras(ct.affine_lps)))
    if difference := difference_of_grids(wanted, own):
        raise ValueError(
            f"{name}: must be on the grid of its image {ct.name}: {difference} (image first)"
        )
    inside = stored.hu != 0
    _check_binary(stored.hu[inside], name)
    in_order = turned(inside.astype(np.uint8), stored.affine_lps, ct.affine_lps)
    return np.flatnonzero(in_order)


def _check_binary(values: NDArray[np.generic], name: str) -> None:
    """Refuse a label map or probabilities, which are no mask of one structure."""
    if values.size and (values[0] < 0 or (values != values[0]).any()):
        raise ValueError(
            f"{name}: must be a mask of 0 and one value above it, "
            f"got {listed(np.unique(values).tolist())} beside 0"
        )
