"""What is kept of an evaluated slice until its series is complete, in little memory."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]
IN_SLICE = np.ones((3, 3), bool)  # voxels of a slice are joined by edge or corner


@dataclass(frozen=True)
class PackedArray:
    """A compressed uint8 array; masks of small objects shrink a hundredfold."""

    data: bytes
    shape: tuple[int, ...]

    @classmethod
    def pack(cls, array: npt.NDArray[Any]) -> PackedArray:
        """Compress an array of whole numbers 0..255.

        Raises:
            ValueError: for any other value.
        """
        small = np.ascontiguousarray(array, dtype=np.uint8)
        if small.dtype != array.dtype and not np.array_equal(small, array):
            raise ValueError(
                f"array: must hold whole numbers 0..255, got {array.min()} to {array.max()}"
            )
        return cls(zlib.compress(small.tobytes(), 1), small.shape)

    def unpack(self) -> npt.NDArray[np.uint8]:
        """Return the array."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape)


@dataclass(frozen=True)
class PackedConfidence:
    """The probabilities of one slice, as far as candidates need them.

    Components of a volume consist of components of its slices, so that the highest probability of
    each of these is enough: a network that sees nodules everywhere would need gigabytes else.

    Args:
        fainter: packed (Y, X): the mask, and all voxels at or above the candidates' threshold.
        of_mask: highest probability of each component of the slice's mask, in scipy's order.
        of_fainter: likewise of ``fainter``.
    """

    fainter: PackedArray
    of_mask: Floats
    of_fainter: Floats

    @classmethod
    def pack(
        cls, mask: npt.NDArray[np.bool_], probability: Floats, threshold: float
    ) -> PackedConfidence:
        """Reduce a slice (Y, X) with its mask to the candidates' part.

        Args:
            mask: the prediction.
            probability: of each voxel.
            threshold: least probability of a voxel of a candidate.
        """
        fainter = mask | (probability >= threshold)
        return cls(
            PackedArray.pack(fainter.astype(np.uint8)),
            highest_of_components(mask, probability),
            highest_of_components(fainter, probability),
        )


def highest_of_components(mask: npt.NDArray[np.bool_], probability: Floats) -> Floats:
    """Return the highest probability of each component of a slice, in scipy's order.

    Example:
        >>> mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool)
        >>> highest_of_components(mask, np.array([[0.5, 0, 0, 0.25], [0, 0.75, 0, 0]])).tolist()
        [0.75, 0.25]
    """
    components, count = ndimage.label(mask, IN_SLICE)
    highest = np.zeros(count + 1, np.float32)
    np.maximum.at(highest, components[mask], probability[mask])
    return highest[1:]
