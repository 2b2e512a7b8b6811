"""Samples of several domains: their transforms, labels, masks and batches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from monai.transforms import MapTransform, RandFlipd

from scripts.transforms.domains import (
    OTHER,
    ByDomaind,
    DomainBatches,
    DomainLabeld,
    OwnChannelsd,
)

DOMAINS = {"nodules": 1, "organs": 3}


class Add(MapTransform):
    def __init__(self, number):
        super().__init__("image")
        self.number = number

    def __call__(self, data):
        return {"image": data["image"] + self.number}  # other keys are lost, as in a loader


def test_sample_then_the_transforms_of_its_domain_and_the_domain_stays():
    by = ByDomaind({"nodules": [Add(1)], "organs": [Add(10), Add(10)]})
    image = torch.zeros(1)
    assert by({"image": image, "domain": "organs"}) == {"image": 20, "domain": "organs"}
    assert by({"image": image, "domain": "nodules"})["image"] == 1
    with pytest.raises(ValueError, match="domain: must be one of nodules, organs, got 'liver'"):
        by({"image": image, "domain": "liver"})
    with pytest.raises(ValueError, match="got None for 1.2"):
        by({"image": image, "series_uid": "1.2"})


def test_random_transforms_of_a_domain_then_seeded():
    image = torch.arange(8.0)[None]

    def drawn(seed):
        by = ByDomaind({"a": [RandFlipd("image", prob=0.5, spatial_axis=0)], "b": []})
        by.set_random_state(seed)
        return [float(by({"image": image, "domain": "a"})["image"][0, 0]) for _ in range(12)]

    assert drawn(0) == drawn(0)
    assert len(set(drawn(0))) == 2


def test_label_then_in_its_channels_only():
    convert = DomainLabeld("label", DOMAINS)
    label = torch.tensor([[1, 0], [0, 1], [1, 0]], dtype=torch.uint8)
    wide = convert({"label": label, "domain": "organs"})["label"]
    assert wide.tolist() == [[OTHER, OTHER], [1, 0], [0, 1], [1, 0]]
    nodule = convert({"label": label[:1], "domain": "nodules"})["label"]
    assert nodule.tolist() == [[1, 0], *[[OTHER, OTHER]] * 3]
    with pytest.raises(ValueError, match="label: must have 1 channels in the domain nodules"):
        convert({"label": label, "domain": "nodules"})


def test_masks_then_of_the_own_channels_without_background_and_unknown_voxels():
    convert = DomainLabeld("label", DOMAINS)
    logits = torch.tensor([[9.0, -9, 9], [0, 0, 5], [1, 4, 0], [3, 1, 1]])
    sets = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 1]], dtype=torch.uint8)
    organs = convert({"label": sets, "domain": "organs"})
    found = OwnChannelsd("pred", "label", DOMAINS)({"pred": logits, **organs})
    assert found["pred"].tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert found["label"].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    nodules = convert({"label": torch.tensor([[1, 0, 0]]), "domain": "nodules"})
    found = OwnChannelsd("pred", "label", DOMAINS)({"pred": logits, **nodules})
    assert found["pred"].tolist() == [[1, 0, 1], *[[0, 0, 0]] * 3]
    assert found["label"].tolist() == [[1, 0, 0], *[[0, 0, 0]] * 3]


def samples_of(**counts):
    return [{"domain": name} for name, count in counts.items() for _ in range(count)]


def test_batches_then_each_half_of_each_domain_and_every_sample_seen():
    batches = DomainBatches(samples_of(nodules=3, organs=10), 4)
    torch.manual_seed(0)
    drawn = list(batches)
    assert len(drawn) == len(batches) == 5
    for batch in drawn:
        assert Counter(index < 3 for index in batch) == {True: 2, False: 2}
    times = Counter(np.concatenate(drawn).tolist())
    assert [times[index] for index in range(3, 13)] == [1] * 10
    assert sorted(times[index] for index in range(3)) == [3, 3, 4]
    torch.manual_seed(0)
    assert list(batches) == drawn
    assert list(batches) != drawn


@pytest.mark.parametrize(
    ("counts", "size", "told"),
    [
        ({"nodules": 2, "organs": 2}, 3, "batch_size: must be a multiple of 2"),
        ({"nodules": 2}, 2, "samples: must be of two domains or more, got nodules"),
    ],
)
def test_batches_that_cannot_be_then_refused(counts, size, told):
    with pytest.raises(ValueError, match=told):
        DomainBatches(samples_of(**counts), size)
