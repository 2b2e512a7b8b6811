"""The second stage of a prediction: false candidates are removed and listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.candidates import Candidate
from scripts.prediction.network.reducer import Reducer
from scripts.prediction.result import Prediction, Segment
from scripts.volumes.volume import Volume

FACT = "second_stage"
"""Entry of the prediction's facts, the manifest and the statistics."""
DECIMALS = 6


def reduced(prediction: Prediction, reducer: Reducer) -> Prediction:
    """Return a prediction without the candidates that the second stage does not keep.

    The kept lesions are numbered anew, in the same order. Their confidence, and that of the fainter
    candidates, is the probability of the second stage. ``facts["second_stage"]`` states its file,
    its threshold and each removed candidate.

    Args:
        prediction: of the first stage, with its candidates.
        reducer: the second stage.

    Raises:
        ValueError: when the bundle has lesions of another class than the second stage knows.
    """
    _check_kinds(prediction, reducer)
    volume = Volume(prediction.hu, prediction.affine)
    candidates = prediction.candidates
    scores = reducer.probabilities(volume, [one.centre_lps_mm for one in candidates])
    pairs = list(zip(candidates, scores, strict=True))
    removed = [pair for pair in pairs if not reducer.keeps(pair[1])]
    numbers = new_numbers(prediction.segments, {one.segment for one, _ in removed})
    kept = {int(numbers[one.segment]): score for one, score in pairs if reducer.keeps(score)}
    return replace(
        prediction,
        mask=numbers.astype(prediction.mask.dtype)[prediction.mask],
        segments=tuple(_renamed(prediction.segments, numbers, kept)),
        candidates=tuple(
            replace(
                one, segment=int(numbers[one.segment]), probability=score, mean_probability=None
            )
            for one, score in pairs
            if reducer.keeps(score)
        ),
        facts={
            **prediction.facts,
            FACT: {**reducer.record(), "removed": _listed(removed, prediction.segments)},
            "warnings": [*prediction.facts.get("warnings", ()), *_remark(removed, reducer)],
        },
    )


def _check_kinds(prediction: Prediction, reducer: Reducer) -> None:
    kinds = {segment.kind for segment in prediction.segments if segment.lesion}
    others = sorted(kinds - {reducer.class_name})
    if others:
        raise ValueError(
            f"reduce: {reducer.name} tells a {reducer.class_name} from other candidates, this "
            f"bundle also finds {', '.join(others)}; give a second stage for it, or leave it out"
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
    segments: Sequence[Segment], numbers: NDArray[np.int64], scores: Mapping[int, float]
) -> list[Segment]:
    """Return the kept segments; lesions of a kind are counted from 1 again."""
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
                probability=scores[number],
                mean_probability=None,
            )
        )
    return renamed


def _listed(
    removed: Sequence[tuple[Candidate, float]], segments: Sequence[Segment]
) -> list[dict[str, Any]]:
    """Describe the removed candidates, those of the mask first."""
    names = {segment.number: segment.name for segment in segments}
    return [
        {
            "segment_before": names.get(candidate.segment),
            "centre_lps_mm": [round(mm, DECIMALS) + 0.0 for mm in candidate.centre_lps_mm],
            "diameter_mm": _rounded(candidate.diameter_mm),
            "probability_first_stage": _rounded(candidate.probability),
            "probability": _rounded(score),
        }
        for candidate, score in removed
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _remark(removed: Sequence[tuple[Candidate, float]], reducer: Reducer) -> list[str]:
    """Return a remark for the reader of the results, if a lesion of the mask was removed."""
    count = sum(candidate.segment > 0 for candidate, _ in removed)
    if not count:
        return []
    return [
        f"the second stage removed {count} {reducer.class_name}{'s' * (count > 1)} of the mask "
        f"with a probability below {reducer.threshold:.4f}; statistics.json lists them"
    ]
