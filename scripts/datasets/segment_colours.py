"""Colours of classes and of single lesions that can be told apart on a CT's greys."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

# Okabe and Ito's colours, which colour-blind readers can distinguish.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
LESION_COLOUR = COLOURS[1]  # of a class of lesions, and of its first lesion
# Without the colour of lesions and the last one, which is too dark on a CT's greys.
ORGAN_COLOURS = tuple(colour for colour in COLOURS[:-1] if colour != LESION_COLOUR)
MOST_COLOURS = 1000  # further colours repeat the first
_FEW = 64  # computed at once, in no time
_LEVELS = range(0, 256, 15)  # of red, green and blue
_LIGHTNESS = (45.0, 92.0)  # CIELAB L*: neither lost in black nor in white
_LEAST_CHROMA = 35.0  # no grey


def deal_colours(names: Sequence[str], lesions: Collection[str] = ()) -> dict[str, str]:
    """Give classes their colours: all classes of lesions one, organs each their own.

    Example:
        >>> deal_colours(["nodule", "bone"], ["nodule"])
        {'nodule': '#56B4E9', 'bone': '#E69F00'}
    """
    organs = [name for name in names if name not in lesions]
    own = list(ORGAN_COLOURS)
    if len(organs) > len(own):
        own += distinct_colours(len(organs) - len(own), COLOURS)
    return {**dict.fromkeys(names, LESION_COLOUR), **dict(zip(organs, own, strict=False))}


def distinct_colours(count: int, taken: Collection[str] = ()) -> list[str]:
    """Return colours that differ from each other and from those taken, the most distinct first.

    Each is the farthest, in CIELAB, from all before it and from those taken (farthest-point
    sampling). More colours never change the first ones.

    Args:
        count: how many; from :data:`MOST_COLOURS` on they repeat.
        taken: ``#RRGGBB`` that are in use.

    Example:
        >>> distinct_colours(3, ["#56B4E9"])
        ['#00FF00', '#FF0000', '#FF00FF']
    """
    known = tuple(sorted({colour.upper() for colour in taken}))
    series = _series(known, _FEW if count <= _FEW else MOST_COLOURS)
    return [series[k % len(series)] for k in range(count)]


@lru_cache(maxsize=8)
def _series(taken: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Choose colours of a grid in RGB, one after another."""
    rgb = np.array(list(product(_LEVELS, repeat=3)))
    lab = _lab(rgb)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    visible = (lab[:, 0] > _LIGHTNESS[0]) & (lab[:, 0] < _LIGHTNESS[1]) & (chroma > _LEAST_CHROMA)
    rgb, lab = rgb[visible], lab[visible]
    nearest = np.full(len(rgb), np.inf)
    for colour in _lab(np.array([rgb_of(each) for each in taken]).reshape(-1, 3)):
        nearest = np.minimum(nearest, np.linalg.norm(lab - colour, axis=1))
    chosen = []
    for _ in range(min(count, len(rgb))):
        best = int(nearest.argmax())
        chosen.append("#{:02X}{:02X}{:02X}".format(*rgb[best].tolist()))
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[best], axis=1))
    return tuple(chosen)


def _lab(rgb: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (N, 3) CIELAB of (N, 3) sRGB from 0 to 255."""
    from skimage.color import rgb2lab  # not above: few results need it, and it takes a while

    return np.asarray(rgb2lab(rgb.astype(np.float64) / 255), np.float64)


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return a colour ``#RRGGBB`` as three numbers from 0 to 255.

    >>> rgb_of("#E69F00")
    (230, 159, 0)
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
