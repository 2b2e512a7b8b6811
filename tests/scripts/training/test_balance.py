from collections import Counter

import pytest
import torch

from scripts.training.balance import balanced_sampler


def samples_of(*targets):
    return [{"target": [float(target)]} for target in targets]


def test_rare_target_then_drawn_as_often_as_the_other():
    samples = samples_of(*[1] * 40, *[0] * 960)
    sampler = balanced_sampler(samples)
    sampler.generator = torch.Generator().manual_seed(0)
    drawn = Counter(samples[index]["target"][0] for _ in range(25) for index in sampler)
    assert drawn.total() == 25 * 80
    assert drawn[1.0] == pytest.approx(1000, abs=100)


def test_few_of_one_kind_then_the_other_kind_changes_from_epoch_to_epoch():
    sampler = balanced_sampler(samples_of(1, 1, *[0] * 500))
    sampler.generator = torch.Generator().manual_seed(0)
    first, second = set(sampler) - {0, 1}, set(sampler) - {0, 1}
    assert first.isdisjoint(second)


def test_draws_then_a_longer_epoch():
    samples = samples_of(1, 0, 0, 0)
    assert len(balanced_sampler(samples, draws=5)) == 5 * len(balanced_sampler(samples)) == 10


def test_only_one_target_then_refused():
    with pytest.raises(ValueError, match=r"all 3 samples have the target \[1.0\]"):
        balanced_sampler(samples_of(1, 1, 1))


def test_sample_without_target_then_refused():
    with pytest.raises(ValueError, match="1 of 2 samples have no target, the first is number 1"):
        balanced_sampler([{"target": [1.0]}, {}])


def test_no_data_then_no_sampler():
    assert balanced_sampler([]) is None
