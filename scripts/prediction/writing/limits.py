"""What DICOM objects and the page can hold of a prediction with very many findings.

A network that is not trained well finds hundreds of lesions, with outlines of millions of points.
The mask and the statistics hold them all; DICOM objects hold those of the highest confidence, and a
product beyond what programs can use is left out with a warning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scripts.prediction.result import Prediction, Segment

# A scan of LUNA16 with nodules has two on average, and its score allows 8 false ones: 50 leave room
# for both several times over. At 8 slices each they fill the 400 frames that Weasis reads.
USUAL_LESIONS = 50
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


def surest_segments(segments: Sequence[Segment], most: int) -> tuple[Segment, ...]:
    """Return all organs and at most ``most`` lesions, in their order.

    Of each kind those of the highest confidence are kept; without a confidence, and of equal ones,
    the largest, which have the lowest numbers. Kinds take turns, as confidences of different kinds
    cannot be compared.
    """
    kinds: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        if segment.lesion:
            kinds[segment.kind].append(segment)
    turns = [
        (turn, lesion.number)
        for lesions in kinds.values()
        for turn, lesion in enumerate(sorted(lesions, key=_doubt))
    ]
    kept = {number for _, number in sorted(turns)[:most]}
    return tuple(each for each in segments if not each.lesion or each.number in kept)


def _doubt(lesion: Segment) -> tuple[float, int]:
    return -(lesion.probability or 0.0), lesion.number


def only_segments(prediction: Prediction, kept: Sequence[Segment]) -> Prediction:
    """Return a prediction with some of its segments, numbered without a gap as DICOM requires.

    They keep their names.
    """
    if len(kept) == len(prediction.segments):
        return prediction
    table = np.zeros(max(segment.number for segment in prediction.segments) + 1, np.uint16)
    for number, segment in enumerate(kept, start=1):
        table[segment.number] = number
    segments = tuple(replace(each, number=number) for number, each in enumerate(kept, start=1))
    return replace(prediction, mask=table[prediction.mask], segments=segments)
