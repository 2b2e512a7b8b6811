"""What DICOM objects and the page can hold of a prediction with very many findings.

A network that is not trained well finds thousands of lesions, and outlines without end. The mask
and the statistics hold them all; these products hold the largest, or are left out with a warning.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from scripts.prediction.result import Prediction, Segment

MOST_LESIONS = 1000
MOST_FRAME_BYTES = 600 << 20  # of a SEG; highdicom needs four times as much
MOST_CONTOURS = 200_000  # of a structure set, 3 kB each
MOST_CHARACTERS = 100_000_000  # of the page's masks


class LimitError(ValueError):
    """A product would be larger than any program can use; the others are written."""


def check_limit(what: str, count: int, most: int) -> None:
    """Refuse a product beyond a limit.

    Raises:
        LimitError: naming what there are too many of.
    """
    if count > most:
        raise LimitError(f"{count:,} {what} are more than {most:,}, probably noise")


def with_largest_lesions(prediction: Prediction) -> tuple[Prediction, str]:
    """Return a prediction with at most :data:`MOST_LESIONS` lesions, and a warning if some lack.

    Of each kind the largest are kept, which have the lowest numbers. They keep their names and are
    numbered without a gap, as DICOM requires.
    """
    kinds = Counter(segment.kind for segment in prediction.segments if segment.lesion)
    if sum(kinds.values()) <= MOST_LESIONS:
        return prediction, ""
    of_each = MOST_LESIONS // len(kinds)
    seen: Counter[str] = Counter()
    kept: list[Segment] = []
    table = np.zeros(max(segment.number for segment in prediction.segments) + 1, np.uint16)
    for segment in prediction.segments:
        seen[segment.kind] += 1
        if not segment.lesion or seen[segment.kind] <= of_each:
            table[segment.number] = len(kept) + 1
            kept.append(replace(segment, number=len(kept) + 1))
    lesions = ", ".join(f"{min(n, of_each)} of {n} {kind}" for kind, n in sorted(kinds.items()))
    note = f"DICOM objects hold the largest lesions only ({lesions}); the mask holds all"
    return replace(prediction, mask=table[prediction.mask], segments=tuple(kept)), note
