import numpy as np
import pytest

from scripts.prediction import limits
from scripts.prediction.dicom.segmentation_object import write_segmentation
from scripts.prediction.dicom.structure_set import write_structure_set
from scripts.prediction.limits import LimitError, with_largest_lesions
from scripts.prediction.report.page_images import encode_masks
from scripts.prediction.result import Prediction, Segment
from tests.scripts.prediction.dicom_source import predicted, two_organs, write_series


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


def test_lesions_when_few_then_the_same_prediction():
    prediction = many({"tumour": 1000})
    assert with_largest_lesions(prediction) == (prediction, "")


def test_lesions_when_too_many_then_the_largest_of_each_kind_and_every_organ():
    prediction = many({"tumour": 900, "cyst": 700})
    kept, note = with_largest_lesions(prediction)
    assert [s.number for s in kept.segments] == list(range(1, 1002))
    assert [kept.segments[k].name for k in (0, 1, 500, 501, 1000)] == [
        *("liver", "tumour 1", "tumour 500", "cyst 1", "cyst 500")
    ]
    assert (kept.mask == 1).sum() == 2
    assert kept.mask[0].flat[1 + 900] == 502  # cyst 1
    assert kept.mask[0].flat[1 + 500] == 0  # tumour 501
    assert "500 of 700 cyst, 500 of 900 tumour" in note
    assert "the mask holds all" in note


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
    prediction = predicted(write_series(tmp_path / "ct"), two_organs())
    write(prediction, tmp_path / "a.dcm")
    monkeypatch.setattr(f"scripts.prediction.dicom.{module}.{limit}", 1)
    with pytest.raises(LimitError, match="are more than .*, probably noise"):
        write(prediction, tmp_path / "b.dcm")
    assert not (tmp_path / "b.dcm").exists()


def test_page_when_its_outlines_are_beyond_the_limit_then_refused(monkeypatch):
    mask = np.indices((2, 9, 9)).sum(axis=0) % 2
    assert all(encode_masks(mask))
    monkeypatch.setattr("scripts.prediction.report.page_images.MOST_CHARACTERS", 20)
    with pytest.raises(LimitError, match="characters of outlines are more than 20"):
        encode_masks(mask)


def test_limits_then_within_four_gigabytes():
    assert limits.MOST_FRAME_BYTES * 4 + limits.MOST_CONTOURS * 3000 < 4 << 30
