"""Deep and shallow tuning: what is trained, in which order, and when it stops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scripts.retraining.adapt import sequence_tuning
from scripts.retraining.adapt.drawn_slice import DrawnSlice
from scripts.retraining.adapt.sequence_tuning import (
    DRAWN,
    PREDICTED,
    START,
    STOPPED,
    TUNED,
    SequenceTuning,
    SliceStep,
    as_classes,
    copied,
)
from scripts.retraining.adapt.tuning_steps import Tuning
from scripts.training.inferers import SlicewiseInferer
from tests.scripts.retraining.adaptable import OneFilter, step

DEEP, SHALLOW = step("deep", ["all"], 60, 0.02), step("shallow", ["decoder"], 3, 0.01)


def volume_of(*areas, value=0.5):
    """(1, 8, 8, D): in each slice, so many voxels of a value in a background of 0.1."""
    image = torch.full((1, 8, 8, len(areas)), 0.1)
    for d, area in enumerate(areas):
        plane = image[0, ..., d].clone().flatten()
        plane[:area] = value
        image[0, ..., d] = plane.view(8, 8)
    return image


def drawn_on(image, index):
    label = (image[..., index] > 0.3).long()
    known = torch.tensor([True, True])
    voxels = int(label.sum())
    return DrawnSlice(index, index, label, known, voxels, 0)


def sequence_of(network, **changes):
    tuning = replace(Tuning(DEEP, SHALLOW), **changes)
    return SequenceTuning(network.eval(), SlicewiseInferer(), tuning, torch.device("cpu"))


def areas_of(logits):
    return (logits > 0).sum(dim=(0, 1, 2)).tolist()


def test_deep_tuning_when_intensities_are_shifted_then_the_other_slices_are_found():
    image, network = volume_of(10, 12, 14, 12), OneFilter(bound=0.6)
    sequence = sequence_of(network)
    with torch.no_grad():
        assert areas_of(sequence.inferer(image[None], network)[0]) == [0, 0, 0, 0]
    statistics = {k: v for k, v in copied(network).items() if "running" in k or "tracked" in k}
    first = sequence.deep(image, drawn_on(image, 2))
    assert (first.index, first.step, first.area) == (2, DRAWN, 14)
    assert first.last_loss < first.first_loss / 3
    with torch.no_grad():
        assert areas_of(sequence.inferer(image[None], network)[0]) == [10, 12, 14, 12]
    after = copied(network)
    assert all(torch.equal(after[name], value) for name, value in statistics.items())


def test_drawing_on_finer_pixels_than_the_input_then_its_area_is_compared_on_the_input():
    image, network = volume_of(12, 12, 12), OneFilter(bound=0.3)
    drawn = replace(drawn_on(image, 1), voxels=48, outside=3)  # as drawn, at half the spacing
    sequence = sequence_of(network)
    _, steps = sequence.follow(image, sequence.deep(image, drawn), drawn.classes)
    assert [(one.step, one.area) for one in steps] == [(TUNED, 12), (DRAWN, 12), (TUNED, 12)]


def test_deep_tuning_then_every_part_changes_and_the_seed_decides():
    image, results = volume_of(10, 12), []
    for seed in (0, 0, 1):
        network = OneFilter()
        before = copied(network)
        sequence_of(network, seed=seed).deep(image, drawn_on(image, 1))
        results.append(copied(network))
        learnt = dict(network.named_parameters())
        assert all(not torch.equal(before[name], results[-1][name]) for name in learnt)
    same = [torch.equal(results[0][k], results[1][k]) for k in results[0]]
    other = [torch.equal(results[0][k], results[2][k]) for k in results[0]]
    assert all(same)
    assert not all(other)


def test_follow_then_only_the_shallow_parts_change_from_slice_to_slice(monkeypatch):
    image, network = volume_of(10, 12, 14, 16, 14), OneFilter(bound=0.4)
    sequence, seen = sequence_of(network), []
    predicted = sequence._predicted

    def noted(image, low, high):
        seen.append((low, copied(network)))
        return predicted(image, low, high)

    monkeypatch.setattr(sequence, "_predicted", noted)
    before = copied(network)
    logits, steps = sequence.follow(image, SliceStep(2, DRAWN, 14), [1])
    assert areas_of(logits) == [10, 12, 14, 16, 14]
    assert [(s.index, s.step) for s in steps] == [(d, DRAWN if d == 2 else TUNED) for d in range(5)]
    assert [low for low, _ in seen] == [2, 3, 4, 1, 0]
    weights = dict(seen[1:])
    same = all(torch.equal(weights[3][name], before[name]) for name in before)
    assert same, "the first slice is predicted before a shallow step"
    assert torch.equal(weights[1]["decide.bias"], before["decide.bias"]), "both ways begin alike"
    assert not torch.equal(weights[4]["decide.bias"], before["decide.bias"])
    assert torch.equal(weights[4]["scale.0.weight"], before["scale.0.weight"])
    assert all(torch.equal(copied(network)[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("areas", "stop", "reason"),
    [
        ((20, 20, 20, 31, 20), 3, "the area changes by 55 %"),
        ((20, 20, 20, 9, 20), 3, "the area changes by 55 %"),
        ((4, 4, 4, 2, 2), 3, "fewer than 3 voxels predicted"),
    ],
    ids=["grows", "shrinks", "vanishes"],
)
def test_follow_when_the_area_jumps_then_tuning_stops_that_way_only(areas, stop, reason):
    image, network = volume_of(*areas), OneFilter(bound=0.4)
    sequence = sequence_of(network)
    logits, steps = sequence.follow(image, SliceStep(1, START, areas[1]), [1])
    assert [s.step for s in steps] == [TUNED, START, TUNED, STOPPED, PREDICTED]
    assert (steps[stop].reason, steps[stop].area) == (reason, areas[stop])
    assert areas_of(logits) == list(areas)


def test_shallow_tuning_then_on_sure_voxels_only(monkeypatch):
    image, network = volume_of(12, 12), OneFilter(bound=0.4, slope=1.0)
    sets = []
    found = sequence_tuning.sure_candidates
    monkeypatch.setattr(
        sequence_tuning, "sure_candidates", lambda p, s: sets.append(found(p, s)) or sets[-1]
    )
    before = copied(network)
    _, steps = sequence_of(network).follow(image, SliceStep(0, DRAWN, 12), [1])
    assert steps[1].sure == 0.0, "probabilities of 0.4 to 0.53 are not sure"
    assert bool((sets[0] == 1).all())
    assert torch.equal(copied(network)["decide.bias"], before["decide.bias"])


def test_start_when_there_is_no_drawing_then_the_slice_of_the_largest_area():
    sequence = sequence_of(OneFilter(bound=0.4))
    logits = sequence.inferer(volume_of(5, 9, 7)[None], sequence.network)[0]
    assert sequence.start_at(logits, [1]) == SliceStep(1, START, 9)
    empty = sequence.inferer(volume_of(1, 2, 0)[None], sequence.network)[0]
    assert sequence.start_at(empty, [1]) is None


def test_parts_that_the_network_does_not_have_then_refused():
    with pytest.raises(ValueError, match="block9"):
        sequence_of(OneFilter(), shallow=step("shallow", ["block9"], 1, 0.1))


def test_logits_of_one_output_then_softmax_of_two_classes_is_their_sigmoid():
    logits = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(as_classes(logits).softmax(dim=1)[:, 1:], logits.sigmoid())
    several = torch.zeros(2, 3, 1)
    assert as_classes(several) is several
