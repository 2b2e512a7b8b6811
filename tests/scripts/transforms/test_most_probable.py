import pytest
import torch
from monai.data import MetaTensor

from scripts.transforms.most_probable import MostProbableClassd, most_probable


def test_labels_then_those_of_argmax_also_where_classes_are_equal():
    probabilities = torch.randint(0, 4, (5, 6, 7, 8)).float()
    labels = most_probable(probabilities)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), probabilities.argmax(0, keepdim=True))


def test_labels_of_dictionary_then_affine_and_history_are_kept_and_input_unchanged():
    affine = torch.diag(torch.tensor([0.7, 0.7, 2.5, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.rand(3, 4, 5, 6), affine=affine)
    image.push_applied_operation({"class": "Earlier"})
    before = image.clone()
    result = MostProbableClassd("pred")({"pred": image})["pred"]
    assert torch.equal(result.affine, affine)
    assert result.applied_operations == image.applied_operations
    assert torch.equal(image.as_tensor(), before.as_tensor())


def test_labels_when_more_classes_than_8_bits_then_refused():
    with pytest.raises(ValueError, match="at most 256 classes, got 257"):
        most_probable(torch.zeros(257, 1))
