import pytest
import torch
from monai.data import Dataset, MetaTensor

from scripts.training.operating_point import ChosenOperatingPoint, choose_threshold


@pytest.mark.parametrize(
    ("keep", "kept", "threshold"),
    [(1.0, 4, 0.15), (0.76, 4, 0.15), (0.75, 3, 0.45), (0.5, 2, 0.75), (0.01, 1, 0.85)],
)
def test_threshold_then_the_highest_that_keeps_the_share(keep, kept, threshold):
    nodules = dict(enumerate([0.9, 0.8, 0.5, 0.2]))
    point = choose_threshold(nodules, [0.7, 0.4, 0.1], keep=keep)
    assert point.nodules_kept == kept
    assert point.threshold == pytest.approx(threshold)
    assert point.false_removed == sum(p < threshold for p in (0.7, 0.4, 0.1))


def test_equal_probabilities_then_all_of_them_are_kept():
    point = choose_threshold({1: 0.6, 2: 0.6, 3: 0.6}, [0.6, 0.2], keep=0.5)
    assert (point.nodules_kept, point.false_removed) == (3, 1)


def test_no_nodule_or_another_share_then_refused():
    with pytest.raises(ValueError, match="validation: has no nodule"):
        choose_threshold({}, [0.5], keep=0.9)
    with pytest.raises(ValueError, match="keep_nodules: must be above 0 and at most 1, got 0"):
        choose_threshold({1: 0.5}, [], keep=0)


def sample(logit, target, *, origin="candidate", nodule=None, uid="a"):
    image = MetaTensor(torch.full((1, 1, 1), float(logit)))
    known = {"origin": origin, "nodule": nodule, "series_uid": uid}
    return {"image": image, "target": [float(target)], **known}


def choose(samples, **options):
    dataset = Dataset(samples, lambda one: {"image": one["image"]})
    return ChosenOperatingPoint(torch.nn.Flatten(), dataset, "unused", **options).choose()


def test_nodule_with_several_candidates_then_its_best_counts():
    samples = [sample(3, 1, nodule=1), sample(-3, 1, nodule=1), sample(2, 1, nodule=1, uid="b")]
    samples += [sample(0, 0), sample(9, 1, origin="annotation", nodule=5)]
    point = choose(samples, keep=1.0)
    probability = torch.sigmoid(torch.tensor([2.0, 0.0])).mean().item()
    assert point.threshold == pytest.approx(probability)
    assert (point.nodules, point.false_candidates, point.false_removed) == (2, 1, 1)
    assert point.chosen_on == "validation (candidates)"


def test_random_positions_then_no_false_candidates():
    samples = [sample(3, 1, nodule=1), sample(5, 0, origin="random")]
    assert choose(samples).false_candidates == 0


def test_no_nodule_found_by_the_first_stage_then_the_annotated_ones_and_it_says_so():
    point = choose([sample(3, 1, origin="annotation", nodule=1), sample(0, 0)])
    assert point.nodules == 1
    assert "annotated nodules, none was a candidate" in point.chosen_on
