import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from scripts.transforms.class_presence import UNKNOWN, ClassPresenced, PresenceLoss, class_presence

ALL = torch.tensor([True] * 4)
NO_KIDNEY = torch.tensor([True, True, True, False])


def test_presence_then_of_every_class_that_any_voxel_is_of():
    label = torch.zeros(1, 4, 5, dtype=torch.uint8)
    label[0, 3, 4], label[0, 0, 0] = 2, 3
    assert class_presence(label, ALL).tolist() == [0, 1, 1]


def test_class_that_nobody_outlined_then_unknown_not_absent():
    label = torch.tensor([[[0, 1], [0, 1]]])
    assert class_presence(label, NO_KIDNEY).tolist() == [1, 0, UNKNOWN]
    full = torch.ones(1, 2, 2, dtype=torch.uint8)  # without any background
    assert class_presence(full, NO_KIDNEY).tolist() == [1, 0, UNKNOWN]


def test_label_of_a_class_said_to_be_unknown_then_refused():
    with pytest.raises(ValueError, match="must be of the known classes"):
        class_presence(torch.tensor([[0, 3]]), NO_KIDNEY)


def test_dictionary_form_then_gives_plain_numbers_that_collate():
    label = MetaTensor(torch.ones(1, 2, 2, dtype=torch.uint8))
    found = ClassPresenced("label", 3)({"label": label, "class_known": NO_KIDNEY, "case": 1})
    assert type(found["label"]) is torch.Tensor
    assert found["label"].tolist() == [1, 0, UNKNOWN]
    assert found["case"] == 1
    other = ClassPresenced("label", 3, known_key="told")({"label": label, "told": ALL})
    assert other["label"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("sample", [{}, {"class_known": torch.tensor([True] * 5)}])
def test_sample_of_other_classes_then_refused(sample):
    with pytest.raises(ValueError, match="class_known: must be 4 times true or false"):
        ClassPresenced("label", 3)({"label": torch.zeros(1, 2, 2), **sample})


def test_no_class_to_tell_of_then_refused():
    with pytest.raises(ValueError, match="classes: must be at least 1, got 0"):
        ClassPresenced("label", 0)


@pytest.fixture
def logits():
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)


def test_loss_when_all_is_known_then_binary_cross_entropy(logits):
    presence = torch.tensor([[1.0, 0.0, 1.0]] * 4)
    expected = nn.functional.binary_cross_entropy_with_logits(logits, presence)
    torch.testing.assert_close(PresenceLoss()(logits, presence), expected)


def test_loss_then_unknown_ones_have_no_gradient_and_no_weight_in_the_mean(logits):
    presence = torch.tensor([[1.0, 0.0, UNKNOWN]] * 3 + [[UNKNOWN, 1.0, 0.0]])
    loss = PresenceLoss()(logits, presence)
    loss.backward()
    assert torch.equal(logits.grad != 0, presence != UNKNOWN)
    known = presence != UNKNOWN
    expected = nn.functional.binary_cross_entropy_with_logits(logits[known], presence[known])
    torch.testing.assert_close(loss, expected)


def test_loss_when_nothing_is_known_then_zero_and_still_backward(logits):
    loss = PresenceLoss()(logits, torch.full((4, 3), UNKNOWN))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_loss_of_maps_then_the_network_for_it_named():
    with pytest.raises(ValueError, match="TransferClassifier"):
        PresenceLoss()(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3))
