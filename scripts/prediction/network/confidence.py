"""The confidence of lesions, and fainter lesions that the mask does not show.

A bundle that segments by a threshold is cleaned a second time, at a lower threshold. Components
there without a voxel of the mask are candidates too: a score such as LUNA16's also counts what the
mask's threshold leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.datasets.candidates import Candidate, measure_candidates
from scripts.prediction.network.segments import SegmentRule
from scripts.prediction.result import Segment
from scripts.volumes.geometry import Floats, index_to_world

Volume = NDArray[Any]


def lesion_candidates(
    mask: Volume, lesions: Sequence[Segment], probability: Volume, affine: Floats, study: str
) -> Iterator[Candidate]:
    """Yield each lesion of a mask as a candidate.

    Args:
        mask: (Z, Y, X), the number of the segment in each voxel.
        lesions: the segments of one kind.
        probability: (Z, Y, X), of this kind in each voxel.
        affine: (4, 4), index to LPS mm.
        study: name of the results, the candidates' ``series_uid``.
    """
    numbers = {segment.number for segment in lesions}
    yield from measure_candidates(mask, probability, affine, study, numbers=numbers)


def faint_candidates(
    fainter: Volume,
    mask: Volume,
    rule: SegmentRule,
    probability: Volume,
    affine: Floats,
    study: str,
) -> Iterator[Candidate]:
    """Yield the components at a lower threshold that have no voxel of the mask; segment 0.

    Args:
        fainter: (Z, Y, X), labels at the lower threshold.
        mask: (Z, Y, X), not 0 where the prediction's mask is.
        rule: of the lesions.
        probability: (Z, Y, X), of a lesion in each voxel.
        affine: (4, 4), index to LPS mm.
        study: name of the results, the candidates' ``series_uid``.
    """
    boxes = ndimage.find_objects(fainter, rule.label)
    box = boxes[rule.label - 1] if boxes else None
    if box is None:
        return
    structure = ndimage.generate_binary_structure(3, rule.connectivity)
    components, count = ndimage.label(fainter[box] == rule.label, structure)
    shown = np.zeros(count + 1, bool)
    shown[components[mask[box] > 0]] = True
    components[shown[components]] = 0
    shifted = affine.copy()
    shifted[:3, 3] = index_to_world([part.start for part in reversed(box)], affine)
    for candidate in measure_candidates(components, probability[box], shifted, study):
        yield replace(candidate, segment=0)


def with_confidence(
    segments: Sequence[Segment], candidates: Sequence[Candidate]
) -> tuple[Segment, ...]:
    """Return the segments, lesions with the probabilities of their candidates."""
    known = {candidate.segment: candidate for candidate in candidates if candidate.segment}
    return tuple(
        segment
        if segment.number not in known
        else replace(
            segment,
            probability=known[segment.number].probability,
            mean_probability=known[segment.number].mean_probability,
        )
        for segment in segments
    )
