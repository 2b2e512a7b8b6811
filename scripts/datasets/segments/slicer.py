"""Segmentations of 3D Slicer (.seg.nrrd): named segments, cropped to their extent, in layers.

Segments that overlap lie in layers, the first axis of a 4D file. The keys ``Segment0_Name``,
``Segment0_Layer`` and ``Segment0_LabelValue`` say where each segment is. Format:
https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from scripts.datasets.segments.placement import Placement, place_grid
from scripts.datasets.segments.segment_file import CtGrid, Drawn, Segment, SegmentFile
from scripts.volumes.formats.nrrd import keys_of, read_nrrd_header
from scripts.volumes.formats.stored_voxels import StoredVolume, read_voxels

_TAG = "Segmentation.TerminologyEntry"


@dataclass(frozen=True)
class SlicerFile(SegmentFile):
    """A .seg.nrrd with its header.

    Args:
        places: of each segment, by its number: layer and value.
    """

    kind: ClassVar[str] = "3D Slicer segmentation"
    dicom: ClassVar[bool] = False
    places: Mapping[int, tuple[int, int]] = field(kw_only=True, repr=False)

    @classmethod
    def read(cls, path: Path) -> SlicerFile | None:
        """Read the header; None for a file that names no segments, which is a plain label map.

        Raises:
            ValueError, OSError: naming a file whose header is invalid.
        """
        keys = keys_of(path)
        found = (re.fullmatch(r"Segment(\d+)_ID", key) for key in keys)
        numbers = sorted(int(match[1]) for match in found if match)
        if not numbers:
            return None
        layers = read_nrrd_header(path, layered=True).values
        segments = [
            Segment(
                number,
                keys.get(f"Segment{number}_Name") or keys[f"Segment{number}_ID"],
                *_codes(keys.get(f"Segment{number}_Tags", "")),
            )
            for number in numbers
        ]
        places = {number: _place(path, keys, number, layers, len(numbers)) for number in numbers}
        return cls(path, segments, places=places)

    def draw(self, numbers: Sequence[int], ct: CtGrid) -> Drawn:
        """See :meth:`~scripts.datasets.segments.segment_file.SegmentFile.draw`."""
        stored = read_nrrd_header(self.path, layered=True)
        try:
            placed = _placed(stored, ct)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error
        layers = read_voxels(stored).reshape(*stored.shape, stored.values)
        self._check_described(layers)
        voxels = {}
        for number in numbers:
            layer, value = self.places[number]
            index = np.argwhere(layers[..., layer] == value)[:, ::-1]
            voxels[number], outside = placed.flat(index, ct)
            if outside:
                raise ValueError(f"{self.path}: {outside} voxels of a segment lie outside the CT")
        return Drawn(voxels)

    def _check_described(self, layers: NDArray[Any]) -> None:
        """Refuse values that no segment describes: their voxels would count as background."""
        for layer in range(layers.shape[-1]):
            known = {value for own, value in self.places.values() if own == layer}
            if unknown := set(np.unique(layers[..., layer]).tolist()) - known - {0}:
                raise ValueError(
                    f"{self.path}: layer {layer} holds the value {min(unknown)}, which no segment "
                    "has by the header"
                )


def _placed(stored: StoredVolume, ct: CtGrid) -> Placement:
    affine, (z, y, x) = stored.affine_lps, stored.shape
    return place_grid(affine[:3, 3], affine[:3, :3].T, (x, y, z), ct)


def _place(
    path: Path, keys: Mapping[str, str], number: int, layers: int, count: int
) -> tuple[int, int]:
    """Return layer and value of a segment; files of 3D Slicer before 4.11 have a layer for each."""
    alone = layers > 1 or count == 1
    layer = keys.get(f"Segment{number}_Layer", str(number) if layers > 1 else "0")
    value = keys.get(f"Segment{number}_LabelValue", "1" if alone else "")
    if not layer.isdecimal() or not value.isdecimal() or int(layer) >= layers:
        raise ValueError(
            f"{path}: Segment{number} must have a layer from 0 to {layers - 1} and a value, got "
            f"{layer or 'none'} and {value or 'none'}"
        )
    return int(layer), int(value)


def _codes(tags: str) -> tuple[Code | None, Code | None, Code | None]:
    """Return type, region and side in the tags of a segment.

    A terminology entry is: context ~ category ~ type ~ its modifier ~ context ~ region ~ its
    modifier, each of scheme ^ value ^ meaning.

    Example:
        >>> entry = "~SCT^123037004^A~SCT^64033007^Kidney~SCT^7771000^Left~~^^~^^"
        >>> [code and code.meaning for code in _codes(f"Segmentation.TerminologyEntry:{entry}|")]
        ['Kidney', None, 'Left']
    """
    entries = (tag.partition(":") for tag in tags.split("|"))
    parts = next((text.split("~") for name, _, text in entries if name == _TAG), [])
    codes = [_code(part) for part in parts] + [None] * 7
    return codes[2], codes[5], codes[3] or codes[6]


def _code(text: str) -> Code | None:
    scheme, value, meaning = [*text.split("^"), "", ""][:3]
    return Code(value, scheme, meaning) if scheme and value else None
