from dataclasses import replace

import numpy as np
import pytest

from scripts.prediction.dicom.segmentation_object import write_segmentation
from scripts.prediction.dicom.structure_set import write_structure_set
from scripts.prediction.report.page_images import encode_masks
from scripts.prediction.result import Prediction, Segment
from scripts.prediction.writing import limits
from scripts.prediction.writing.limits import LimitError, only_segments, surest_segments
from tests.scripts.prediction.dicom_source import content_of, predicted, two_organs, write_series


def many(kinds):
    """One voxel for each lesion, after one organ of two voxels; kinds: name -> lesions."""
    segments = [Segment(1, "liver", "liver")]
    for kind, count in kinds.items():
        first = len(segments) + 1
        segments += [Segment(first + n, kind, f"{kind} {n + 1}", lesion=True) for n in range(count)]
    mask = np.zeros((2, 60, 60), np.uint16)
    mask[0].flat[: len(segments)] = np.arange(1, len(segments) + 1)
    mask[1].flat[0] = 1
    hu = np.zeros(mask.shape, np.int16)
    return Prediction(hu, mask, np.eye(4), tuple(segments), "s", facts={"warnings": []})


def with_confidence(prediction, of):
    return replace(
        prediction,
        segments=tuple(
            replace(each, probability=of(each.number)) if each.lesion else each
            for each in prediction.segments
        ),
    )


def test_lesions_when_few_then_the_same_prediction():
    prediction = many({"tumour": 50})
    kept = surest_segments(prediction.segments, 50)
    assert kept == prediction.segments
    assert only_segments(prediction, kept) is prediction


def test_lesions_when_too_many_then_the_surest_of_each_kind_and_every_organ():
    prediction = with_confidence(many({"tumour": 900, "cyst": 700}), lambda n: n / 2000)
    kept = surest_segments(prediction.segments, 101)
    assert [segment.name for segment in kept] == [
        "liver",
        *(f"tumour {n}" for n in range(900 - 50, 901)),
        *(f"cyst {n}" for n in range(700 - 49, 701)),
    ]
    limited = only_segments(prediction, kept)
    assert [segment.number for segment in limited.segments] == list(range(1, 103))
    assert [segment.name for segment in limited.segments] == [segment.name for segment in kept]
    assert (limited.mask == 1).sum() == 2
    assert limited.mask[0].flat[900] == 52  # tumour 900
    assert limited.mask[0].flat[1] == 0  # tumour 1


def test_lesions_of_equal_or_no_confidence_then_the_largest():
    for confidence in (0.5, None):
        prediction = with_confidence(many({"tumour": 60}), lambda _, same=confidence: same)
        names = [segment.name for segment in surest_segments(prediction.segments, 3)]
        assert names == ["liver", "tumour 1", "tumour 2", "tumour 3"]


def test_kind_with_few_lesions_then_the_others_take_its_place():
    kept = surest_segments(many({"tumour": 60, "cyst": 2}).segments, 10)
    assert [segment.kind for segment in kept].count("tumour") == 8


@pytest.mark.parametrize(
    ("limit", "module", "write"),
    [
        ("MOST_FRAME_BYTES", "segmentation_object", write_segmentation),
        ("MOST_CONTOURS", "structure_set", write_structure_set),
    ],
)
def test_dicom_object_when_beyond_its_limit_then_refused_and_nothing_written(
    tmp_path, monkeypatch, limit, module, write
):
    content = content_of(predicted(write_series(tmp_path / "ct"), two_organs()))
    write(content, tmp_path / "a.dcm")
    monkeypatch.setattr(f"scripts.prediction.dicom.{module}.{limit}", 1)
    with pytest.raises(LimitError, match="are more than .*, probably noise"):
        write(content, tmp_path / "b.dcm")
    assert not (tmp_path / "b.dcm").exists()


def test_page_when_its_outlines_are_beyond_the_limit_then_refused(monkeypatch):
    mask = np.indices((2, 9, 9)).sum(axis=0) % 2
    assert all(encode_masks(mask))
    monkeypatch.setattr("scripts.prediction.report.page_images.MOST_CHARACTERS", 20)
    with pytest.raises(LimitError, match="characters of outlines are more than 20"):
        encode_masks(mask)


def test_limits_then_within_four_gigabytes():
    assert limits.MOST_FRAME_BYTES * 4 + limits.MOST_CONTOURS * 3000 < 4 << 30
