import pytest
import torch
from monai.data import MetaTensor

from scripts.transforms.partial_labels import (
    UNKNOWN_VOXEL,
    CandidateClassesd,
    LesionLabeld,
    candidate_classes,
    known_classes,
)

ALL = torch.tensor([True] * 4)
NO_KIDNEY = torch.tensor([True, True, True, False])


def test_candidates_when_every_class_is_known_then_are_one_hot():
    label = torch.tensor([[[0, 1], [2, 3]]], dtype=torch.uint8)
    found = candidate_classes(label, ALL)
    expected = torch.nn.functional.one_hot(label[0].long(), 4).permute(2, 0, 1)
    assert found.dtype == torch.uint8
    assert torch.equal(found.long(), expected)


def test_background_when_a_class_is_unknown_then_may_be_either():
    found = candidate_classes(torch.tensor([[[0, 1, 2]]]), NO_KIDNEY)
    assert found[:, 0, 0].tolist() == [1, 0, 0, 1]
    assert found[:, 0, 1].tolist() == [0, 1, 0, 0]
    assert found[:, 0, 2].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("known", [ALL, NO_KIDNEY, torch.tensor([True, False, True, False])])
def test_known_classes_then_are_found_again_in_the_candidates(known):
    label = torch.tensor([[[0, 2], [0, 2]]])
    assert torch.equal(known_classes(candidate_classes(label, known)), known)


@pytest.mark.parametrize("value", [3, 4, -2])
def test_label_of_an_unknown_class_or_of_none_then_is_refused(value):
    with pytest.raises(ValueError, match=rf"label: must be of the known .* \[0, {value}\]|\[-2, 0"):
        candidate_classes(torch.tensor([[0, value]]), NO_KIDNEY)


def test_label_of_several_channels_or_unknown_background_then_is_refused():
    with pytest.raises(ValueError, match=r"must be \(1, ...\)"):
        candidate_classes(torch.zeros(2, 3), ALL)
    with pytest.raises(ValueError, match="known background"):
        candidate_classes(torch.zeros(1, 3), ~ALL)


def test_dictionary_form_then_keeps_affine_and_takes_the_samples_own_classes():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    label = MetaTensor(torch.zeros(1, 2, 2, dtype=torch.uint8), affine=affine)
    sample = {"label": label, "class_known": NO_KIDNEY}
    found = CandidateClassesd("label", 4)(sample)["label"]
    assert tuple(found.shape) == (4, 2, 2)
    assert torch.equal(found.affine, affine)
    assert found[:, 0, 0].tolist() == [1, 0, 0, 1]
    other = CandidateClassesd("label", 4, known_key="told")({"label": label, "told": ALL})
    assert other["label"][:, 0, 0].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("sample", [{}, {"class_known": torch.tensor([True] * 5)}])
def test_sample_of_other_classes_then_is_refused(sample):
    with pytest.raises(ValueError, match="class_known: must be 4 times true or false"):
        CandidateClassesd("label", 4)({"label": torch.zeros(1, 2, 2), **sample})


def test_one_class_then_is_refused():
    with pytest.raises(ValueError, match="classes: must be at least 2"):
        CandidateClassesd("label", 1)


def test_voxel_of_which_nothing_is_known_then_may_be_any_class():
    label = torch.tensor([[UNKNOWN_VOXEL, 0, 2]])
    assert candidate_classes(label, ALL).T.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert candidate_classes(label, NO_KIDNEY)[:, 0].tolist() == [1, 1, 1, 1]
    assert candidate_classes(label[:, :1], NO_KIDNEY)[:, 0].tolist() == [1, 1, 1, 1]


def test_label_of_lesions_then_one_inside_any_and_unknown_voxels_stay_unknown():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    label = MetaTensor(torch.tensor([[[0, 1], [7, UNKNOWN_VOXEL]]], dtype=torch.int16), affine)
    sample = {"label": label, "instances": label}
    found = LesionLabeld("label")(sample)
    assert found["label"].tolist() == [[[0.0, 1.0], [1.0, float(UNKNOWN_VOXEL)]]]
    assert found["label"].dtype == torch.float32
    assert torch.equal(found["label"].affine, affine)
    assert found["instances"] is label


def test_label_of_lesions_when_the_largest_number_then_inside_one():
    label = torch.tensor([[0, 254, 255]], dtype=torch.uint8)
    assert LesionLabeld("label")({"label": label})["label"].tolist() == [[0.0, 1.0, 1.0]]
