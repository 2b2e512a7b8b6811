"""Prepared slices as training samples: arrays that are memory-mapped.

Loading a sample copies a few memory-mapped rows instead of decoding a volume
(``tests/benchmarks/bench_samples.py`` measures the difference).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils.enums import MetaKeys, SpaceKeys

from scripts.transforms.partial_labels import UNKNOWN_VOXEL

ARRAYS = ("image", "label", "lung")
WITH_NEIGHBOURS = ("image", "lung")
OPTIONAL_ARRAYS = ("lung",)  # not every data set has a lung field
CONTEXT = "context"  # probability maps of an earlier network, a list of files, one for each class
CERTAIN = 255  # stored value of the probability 1
ADVICE = {
    "lung": "train and evaluate with --lung_masking False; where the lung field is an input of its "
    "own (luna16_window_and_lung.json), prepare data that have one, such as luna16",
    CONTEXT: "make the maps with python -m scripts context_maps",
}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class LoadSlicesd(MapTransform):
    """Read one prepared slice with its neighbours as tensors that can be collated.

    Memory-maps the arrays of a sample of a datalist and copies only its rows. The result holds each
    key as :class:`~monai.data.MetaTensor`, and ``case``, which leads back to the
    sample's other entries. Arrays are (y, x): H runs to posterior, W to the patient's left. The
    affine (RAS, mm) maps (h, w, 0) of this slice to the patient.

    Args:
        keys: one or more of ``image``, ``label``, ``lung``, ``context``.
        neighbours: whether image and lung are (2n + 1, H, W), lowest slice first, or the slice
            alone, (1, H, W).

    Returns:
        image float32 HU; lung uint8 0/1, each slice's own, so that neighbours are masked as in a
        whole CT; label uint8 (1, H, W), value k is nodule k of the scan, or class k; context
        float32 (number of classes, H, W), probabilities. A sample with an ``unknown_value`` has an
        int16 label, in which that value is replaced by
        :data:`~scripts.transforms.partial_labels.UNKNOWN_VOXEL`. If the sample lists which classes
        are annotated in its patient, also ``class_known``: bool (number of classes,); an unknown
        class is labelled background. If it states a ``target`` for the whole image, also that:
        float32 (K,), 1, 0 or :data:`~scripts.transforms.class_presence.UNKNOWN` for each class.

    Raises:
        FileNotFoundError: when an array does not exist.
        ValueError: for an unknown key, a sample without lung field, and an array that is damaged
            or has fewer rows than the sample needs.
    """

    def __init__(self, keys: KeysCollection = ARRAYS, *, neighbours: bool = True) -> None:
        super().__init__(keys)
        valid = (*ARRAYS, CONTEXT)
        unknown = [key for key in self.keys if key not in valid]
        if unknown:
            raise ValueError(f"keys: must be of {', '.join(valid)}, got {unknown}")
        self.neighbours = neighbours

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read the rows of each key."""
        rows = list(data["rows"])
        affine = slice_affine_ras(data["affine_lps"], data["slice"])
        loaded: dict[Hashable, Any] = {}
        for key in self.keys:
            if key not in data:
                raise ValueError(
                    f"{key}: scan {data.get('series_uid')} was prepared without one; "
                    f"{ADVICE.get(key, 'it is for classification (configs/classifiers)')}"
                )
            array = self._read(key, data, rows)
            meta = {
                MetaKeys.SPACE: SpaceKeys.RAS,
                MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
                "filename_or_obj": str(data[key][0] if key == CONTEXT else data[key]),
            }
            loaded[key] = MetaTensor(torch.from_numpy(array), affine=affine, meta=meta)
        if "case" in data:
            loaded["case"] = data["case"]
        if "class_known" in data:
            loaded["class_known"] = torch.tensor(data["class_known"], dtype=torch.bool)
        if "target" in data:
            loaded["target"] = torch.tensor(data["target"], dtype=torch.float32)
        return loaded

    def _read(
        self, key: Hashable, data: Mapping[Hashable, Any], rows: Sequence[int]
    ) -> np.ndarray[Any, Any]:
        """Return the array (C, H, W) of one key."""
        centre = [rows[len(rows) // 2]]
        if key == CONTEXT:
            return _context(data[key], centre)
        if key in WITH_NEIGHBOURS:
            kind = np.float32 if key == "image" else np.uint8
            return read_rows(data[key], rows if self.neighbours else centre, kind)
        array = read_rows(data[key], centre, np.uint8)
        if key == "label" and "unknown_value" in data:
            unknown = array == data["unknown_value"]
            array = np.where(unknown, np.int16(UNKNOWN_VOXEL), array)
        return array


def _context(paths: Sequence[str], row: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return the probabilities (number of classes, H, W) of one slice."""
    maps = [read_rows(path, row, np.float32) for path in paths]
    return np.asarray(np.concatenate(maps) / np.float32(CERTAIN))


def read_rows(path: str | Path, rows: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """Copy rows of a stack (S, H, W) from a memory-mapped ``.npy`` file.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when the file is damaged or lacks a row.
    """
    try:
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: not found; was the prepared folder moved?") from None
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: damaged, delete its folder and prepare again: {error}") from None
    if stack.ndim != 3 or not 0 <= min(rows) <= max(rows) < len(stack):
        raise ValueError(
            f"{path}: must be (S, H, W) with rows {list(rows)}, got shape {stack.shape}"
        )
    if list(rows) == list(range(rows[0], rows[-1] + 1)):
        return np.array(stack[rows[0] : rows[-1] + 1], dtype=dtype)  # one contiguous copy
    return np.array(stack[list(rows)], dtype=dtype)


def slice_affine_ras(affine_lps: Any, number: int) -> torch.Tensor:
    """Return the affine of one slice as an array (y, x), from (h, w, 0) to RAS mm.

    Args:
        affine_lps: (4, 4), index (i, j, k) of the volume to LPS mm.
        number: the slice's index k.

    Example:
        >>> slice_affine_ras([[2, 0, 0, 5], [0, 3, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]], 10)
        tensor([[ 0., -2.,  0., -5.],
                [-3.,  0.,  0., -6.],
                [ 0.,  0.,  4., 47.],
                [ 0.,  0.,  0.,  1.]], dtype=torch.float64)
    """
    affine = np.asarray(affine_lps, dtype=np.float64)
    moved = affine[:, [1, 0, 2, 3]].copy()
    moved[:, 3] = affine @ [0.0, 0.0, number, 1.0]
    return torch.from_numpy(LPS_TO_RAS @ moved)
