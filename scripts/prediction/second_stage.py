"""The second stage of a prediction: false candidates are removed and listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.candidates import Candidate
from scripts.prediction.network.reducer import Reducer
from scripts.prediction.result import SECOND_STAGE, Prediction, Segment
from scripts.volumes.volume import Volume

DECIMALS = 6

Scored = tuple[Candidate, float]
"""A candidate of the first stage with the probability of the second."""


def reduced(prediction: Prediction, reducer: Reducer) -> Prediction:
    """Return a prediction without the candidates that the second stage does not keep.

    The kept lesions are numbered anew, in the same order. Their confidence, and that of the fainter
    candidates, is the probability of the second stage. ``facts["second_stage"]`` states its file,
    its threshold and each removed candidate.

    Args:
        prediction: of the first stage, with its candidates; its facts are completed.
        reducer: the second stage.
    """
    volume = Volume(prediction.hu, prediction.affine)
    candidates = prediction.candidates
    scores = reducer.probabilities(volume, [one.centre_lps_mm for one in candidates])
    pairs = list(zip(candidates, scores, strict=True))
    kept = [pair for pair in pairs if reducer.keeps(pair[1])]
    removed = [pair for pair in pairs if not reducer.keeps(pair[1])]
    numbers = new_numbers(prediction.segments, {one.segment for one, _ in removed})
    prediction.facts[SECOND_STAGE] = {
        **reducer.record(),
        "kept": _listed(kept, prediction.segments),
        "removed": _listed(removed, prediction.segments),
    }
    prediction.facts.setdefault("warnings", []).extend(_remark(removed, reducer))
    return replace(
        prediction,
        mask=numbers.astype(prediction.mask.dtype)[prediction.mask],
        segments=tuple(_renamed(prediction.segments, numbers, kept)),
        candidates=tuple(_rescored(one, score, numbers) for one, score in kept),
    )


def new_numbers(segments: Sequence[Segment], removed: set[int]) -> NDArray[np.int64]:
    """Return the new number of each number in the mask: 0 for a removed segment and background.

    Args:
        segments: with the numbers 1, 2, 3 ...
        removed: numbers of the segments that are removed; 0 for none is ignored.
    """
    kept = np.array([False, *(segment.number not in removed for segment in segments)])
    return np.where(kept, np.cumsum(kept), 0)


def _renamed(
    segments: Sequence[Segment], numbers: NDArray[np.int64], kept: Sequence[Scored]
) -> list[Segment]:
    """Return the kept segments; lesions of a kind are counted from 1 again."""
    scores = {candidate.segment: score for candidate, score in kept}
    counts: dict[str, int] = {}
    renamed = []
    for segment in segments:
        number = int(numbers[segment.number])
        if not number:
            continue
        if not segment.lesion:
            renamed.append(replace(segment, number=number))
            continue
        counts[segment.kind] = counts.get(segment.kind, 0) + 1
        renamed.append(
            replace(
                segment,
                number=number,
                name=f"{segment.kind} {counts[segment.kind]}",
                probability=scores[segment.number],
                mean_probability=None,
            )
        )
    return renamed


def _rescored(candidate: Candidate, score: float, numbers: NDArray[np.int64]) -> Candidate:
    number = int(numbers[candidate.segment])
    return replace(candidate, segment=number, probability=score, mean_probability=None)


def _listed(pairs: Sequence[Scored], segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Describe candidates, in their order: those of the mask first, by their names there."""
    names = {segment.number: segment.name for segment in segments}
    return [
        {
            "segment_before": names.get(candidate.segment),
            "centre_lps_mm": [round(mm, DECIMALS) + 0.0 for mm in candidate.centre_lps_mm],
            "diameter_mm": _rounded(candidate.diameter_mm),
            "probability_first_stage": _rounded(candidate.probability),
            "probability": _rounded(score),
        }
        for candidate, score in pairs
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _remark(removed: Sequence[Scored], reducer: Reducer) -> list[str]:
    """Return a remark for the reader of the results, if a lesion of the mask was removed."""
    count = sum(candidate.segment > 0 for candidate, _ in removed)
    if not count:
        return []
    return [
        f"the second stage removed {count} candidate{'s' * (count > 1)} of the mask with a "
        f"probability below {reducer.threshold:.4f}; statistics.json lists them"
    ]
