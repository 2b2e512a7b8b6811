"""Compact encoding of a volume for the page: slices as JPEG, masks as runs of voxels."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.prediction.writing.limits import MOST_CHARACTERS, check_limit

# HU and its grey level, linear in between: soft tissue has four HU per level, lung ten, bone
# thirty, so that eight bits suffice for each window
CURVE = ((-1024, 0), (-200, 80), (300, 210), (1600, 255))
JPEG_QUALITY = 88
LARGEST_SIDE = 512
# of a whole page, about 15 MB; the slices of longer series are reduced further
LARGEST_PIXELS = 75e6


def encode_slices(hu: NDArray[np.int16]) -> tuple[list[str], tuple[int, int]]:
    """Encode slices as JPEG in base64, with grey levels from HU by :data:`CURVE`.

    Larger slices are reduced to 512 pixels, those of long series further, by averaging areas.

    Args:
        hu: (slice, row, column).

    Returns:
        One text per slice, and height and width of the pictures.
    """
    count, rows, columns = hu.shape
    side = min(LARGEST_SIDE, (LARGEST_PIXELS / count) ** 0.5)
    share = min(1.0, side / max(rows, columns))
    size = max(1, round(rows * share)), max(1, round(columns * share))
    return [_jpeg(one, size) for one in hu], size


def _jpeg(hu: NDArray[np.int16], size: tuple[int, int]) -> str:
    values = np.clip(hu, CURVE[0][0], CURVE[-1][0]).astype(np.float32)
    if values.shape != size:
        reduced = Image.fromarray(values).resize(size[::-1], Image.Resampling.BOX)
        values = np.asarray(reduced)
    curve = np.array(CURVE, np.float64)
    levels = np.rint(np.interp(values, curve[:, 0], curve[:, 1])).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def encode_masks(mask: NDArray[Any]) -> list[str]:
    """Encode the slices of a mask as runs of voxels, at full resolution.

    Args:
        mask: (slice, row, column), numbers of segments, 0 background.

    Returns:
        One text per slice, empty without a segment: base64 of triples (voxels skipped since the
        end of the last run, length, segment number), row by row, each in little-endian base 128
        (LEB128).

    Raises:
        LimitError: for a mask so ragged that no browser would open the page.
    """
    texts, size = [], 0
    for one in mask:
        texts.append(_runs(np.ascontiguousarray(one).ravel()) if one.any() else "")
        size += len(texts[-1])
        check_limit("characters of outlines", size, MOST_CHARACTERS)
    return texts


def _runs(values: NDArray[Any]) -> str:
    changes = np.flatnonzero(np.diff(values)) + 1
    starts, stops = np.append(0, changes), np.append(changes, len(values))
    numbers = values[starts].astype(np.int64)
    inside = numbers > 0
    starts, stops, numbers = starts[inside], stops[inside], numbers[inside]
    skipped = starts - np.append(0, stops[:-1])
    triples = np.stack([skipped, stops - starts, numbers], axis=1)
    return base64.b64encode(leb128(triples.ravel())).decode("ascii")


def leb128(numbers: NDArray[np.int64]) -> bytes:
    """Encode numbers below 2**28 in LEB128: seven bits per byte, lowest first, high bit if more.

    Example:
        >>> leb128(np.array([5, 300])).hex()
        '05ac02'
    """
    groups = numbers[:, None] >> np.array([0, 7, 14, 21])
    kept = groups > 0
    kept[:, 0] = True
    more = np.pad(kept[:, 1:], ((0, 0), (0, 1)))
    return bytes(((groups & 127) | (more << 7))[kept].astype(np.uint8))
