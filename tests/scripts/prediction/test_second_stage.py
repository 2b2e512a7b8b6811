import numpy as np
import pytest

from scripts.datasets.candidates import Candidate
from scripts.prediction.result import SECOND_STAGE, Prediction, Segment
from scripts.prediction.second_stage import new_numbers, reduced

AFFINE = np.diag([0.7, 0.7, 2.0, 1.0])


class Fixed:
    """A second stage that gives each position a known probability."""

    name, class_name, threshold = "reducer.pt", "nodule", 0.5

    def __init__(self, scores):
        self.scores = scores

    def probabilities(self, volume, centres):
        assert volume.hu.shape == (4, 10, 10)
        return [self.scores[tuple(centre)] for centre in centres]

    def keeps(self, probability):
        return probability >= self.threshold

    def record(self):
        return {"name": self.name, "threshold": self.threshold}


def candidate(number, segment, probability=0.9):
    return Candidate("study", (float(number), 0.0, 0.0), probability, 0.6, 5.0, segment)


@pytest.fixture
def prediction():
    """Three nodules and an organ in the mask, and a candidate too faint for it."""
    mask = np.zeros((4, 10, 10), np.uint8)
    mask[1, 1, 1:5] = [1, 2, 3, 4]
    lesions = [Segment(n, "nodule", f"nodule {n}", lesion=True) for n in (1, 2, 3)]
    return Prediction(
        hu=np.zeros(mask.shape, np.int16),
        mask=mask,
        affine=AFFINE,
        segments=(*lesions, Segment(4, "liver", "liver")),
        study="study",
        candidates=(*(candidate(n, n) for n in (1, 2, 3)), candidate(9, 0, 0.2)),
        facts={"warnings": ["one before"]},
    )


def reduce(prediction, *scores):
    places = [one.centre_lps_mm for one in prediction.candidates]
    return reduced(prediction, Fixed(dict(zip(places, scores, strict=True))))


def test_removed_lesion_then_gone_from_mask_segments_and_candidates(prediction):
    result = reduce(prediction, 0.8, 0.3, 0.5, 0.1)
    assert result.mask[1, 1, 1:5].tolist() == [1, 0, 2, 3]
    assert result.mask.dtype == np.uint8
    assert [(s.number, s.name) for s in result.segments] == [
        *[(1, "nodule 1"), (2, "nodule 2"), (3, "liver")]
    ]
    assert [(c.segment, c.probability) for c in result.candidates] == [(1, 0.8), (2, 0.5)]
    assert [s.probability for s in result.segments] == [0.8, 0.5, None]


def test_removed_lesion_then_listed_and_remarked(prediction):
    facts = reduce(prediction, 0.8, 0.3, 0.5, 0.1).facts
    assert facts is prediction.facts  # which the manifest and the page read
    assert facts[SECOND_STAGE]["name"] == "reducer.pt"
    assert facts[SECOND_STAGE]["removed"] == [
        {
            "segment_before": "nodule 2",
            "centre_lps_mm": [2.0, 0.0, 0.0],
            "diameter_mm": 5.0,
            "probability_first_stage": 0.9,
            "probability": 0.3,
        },
        {
            "segment_before": None,
            "centre_lps_mm": [9.0, 0.0, 0.0],
            "diameter_mm": 5.0,
            "probability_first_stage": 0.2,
            "probability": 0.1,
        },
    ]
    kept = [(one["segment_before"], one["probability"]) for one in facts[SECOND_STAGE]["kept"]]
    assert kept == [("nodule 1", 0.8), ("nodule 3", 0.5)]
    assert facts["warnings"][0] == "one before"
    assert "removed 1 candidate of the mask with a probability below 0.5000" in facts["warnings"][1]


def test_nothing_removed_from_the_mask_then_no_remark(prediction):
    result = reduce(prediction, 0.8, 0.9, 0.7, 0.1)
    assert result.facts["warnings"] == ["one before"]
    np.testing.assert_array_equal(result.mask, prediction.mask)


def test_all_removed_then_an_empty_mask_and_the_organ(prediction):
    result = reduce(prediction, 0.1, 0.1, 0.1, 0.1)
    assert np.unique(result.mask).tolist() == [0, 1]
    assert [segment.name for segment in result.segments] == ["liver"]
    assert result.candidates == ()


def test_new_numbers_then_in_the_old_order():
    segments = [Segment(n, "nodule", "") for n in range(1, 6)]
    assert new_numbers(segments, {0, 1, 4}).tolist() == [0, 0, 1, 2, 0, 3]
