"""A bundle adapted for one patient: its copies of the weights, the drawing in the result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom_nets.freezing import Freezable
from scripts.retraining.adapt.adapted_model import (
    BOTH,
    DEEP,
    NONE,
    AdaptedModel,
    with_drawing,
)
from scripts.retraining.adapt.drawn_slice import Drawing, DrawnSlice
from scripts.retraining.adapt.sequence_tuning import copied
from scripts.retraining.adapt.tuning_steps import Tuning
from scripts.volumes.geometry import lps_to_ras
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import LIVER
from tests.scripts.retraining.adaptable import bundle_options, step, tiny_unet

NAMES = ("background", "liver", "bone", "kidney")


@pytest.fixture
def model(monkeypatch, tmp_path):
    monkeypatch.chdir(LIVER.parents[1])
    options = bundle_options(LIVER, tmp_path, tiny_unet(monkeypatch, 4))
    tuning = Tuning(step("deep", ["all"], 60, 0.03), step("shallow", ["decoder"], 1, 0.01))
    return AdaptedModel(options, tuning)


def image_of(model, drawn):
    """The network's input: three equal channels of a window, rows to the back."""
    affine = lps_to_ras(drawn.affine)[:, [1, 0, 2, 3]]
    values = np.clip((drawn.hu.astype(np.float32) + 150) / 400, 0, 1).transpose(1, 2, 0)
    stacked = torch.from_numpy(np.stack([values] * 3))
    size = np.array(drawn.hu.shape[::-1])
    meta = {"original_affine": lps_to_ras(drawn.affine), "spatial_shape": size}
    return MetaTensor(stacked, affine=affine, meta=meta)


def drawing_of(drawn, row):
    only = np.zeros_like(drawn.mask, np.uint8)
    only[row] = drawn.mask[row]
    return Drawing(only, drawn.affine, None, NAMES)


def test_tunings_in_turn_then_each_begins_with_its_own_weights(model):
    drawn = abdomen()
    image, (network,) = image_of(model, drawn), model.networks
    start = copied(network)
    model.begin(drawing_of(drawn, 12))
    results = {}
    for arm in (NONE, BOTH, DEEP, BOTH):
        model.arm = arm
        found = model.probabilities(image).as_tensor()
        assert torch.equal(results.setdefault(arm, found), found), "the same, whatever was before"
    assert not torch.equal(results[NONE], results[DEEP])
    assert not torch.equal(results[BOTH], results[DEEP])
    model.arm = NONE
    model.probabilities(image)
    assert all(torch.equal(copied(network)[name], start[name]) for name in start)


def test_drawing_then_in_the_result_and_in_the_notes(model):
    drawn = abdomen()
    model.begin(drawing_of(drawn, 12))
    labels = model.probabilities(image_of(model, drawn)).argmax(dim=0)[..., 12]
    np.testing.assert_array_equal(labels == 1, drawn.mask[12] == 1)
    assert "slice 12, " in model.notes[-1]
    assert [row["slice"] for row in model.rows()] == list(range(24))
    assert model.record()["drawn_voxels"] == (drawn.mask[12] > 0).sum()


def test_next_patient_then_as_if_it_were_the_first(model):
    drawn = abdomen()
    image = image_of(model, drawn)
    model.tuning = replace(model.tuning, deep=step("deep", ["all"], 3, 0.03))
    model.begin(drawing_of(drawn, 12))
    first = model.probabilities(image).as_tensor()
    model.begin(drawing_of(drawn, 8))
    model.probabilities(image)
    model.begin(drawing_of(drawn, 12))
    assert torch.equal(model.probabilities(image).as_tensor(), first)


def test_follow_up_then_begins_with_the_deep_weights(model):
    drawn = abdomen()
    image = image_of(model, drawn)
    model.begin(drawing_of(drawn, 12))
    model.probabilities(image)
    model.go_on()
    model.arm = DEEP
    deep = model.probabilities(image)
    model.arm = BOTH
    model.probabilities(image)
    areas = torch.isin(deep.argmax(dim=0), torch.tensor([1, 2])).sum(dim=(0, 1))
    (first,) = [row for row in model.rows() if row["step"] == "start"]
    assert first["slice"] == int(areas.argmax())
    assert "of an earlier scan" in model.notes[-1]
    assert len([note for note in model.notes if "hand-drawn" in note]) == 1


def test_first_scan_without_a_drawing_then_refused(model):
    with pytest.raises(ValueError, match="the first CT needs the hand-drawn slice"):
        model.probabilities(image_of(model, abdomen()))


class Volumes(Freezable):
    """A network of volumes."""

    def __init__(self) -> None:
        super().__init__()
        self.only = torch.nn.Conv3d(1, 1, 1)
        self.name_parts({"decoder": {"decoder": ["only"]}})


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (torch.nn.Conv2d(3, 4, 1), "a Conv2d has no named parts"),
        (Volumes(), "a Volumes is one of volumes"),
    ],
    ids=["plain", "3D"],
)
def test_network_that_cannot_be_tuned_so_then_refused(model, network, told):
    model.__dict__["networks"] = (network,)
    with pytest.raises(ValueError, match=told):
        _ = model.sequence


def test_class_that_was_not_drawn_then_stays_where_it_is_most_probable():
    probable = MetaTensor(torch.tensor([[0.1, 0.6, 0.2], [0.2, 0.3, 0.5], [0.7, 0.1, 0.3]]))
    result = with_drawing(
        probable.reshape(3, 1, 3, 1),
        DrawnSlice(
            index=0,
            number=0,
            label=torch.tensor([[[0, 1, 0]]]),
            known=torch.tensor([True, True, False]),
            voxels=1,
            outside=0,
        ),
    )
    expected = torch.tensor([[0.1, 0.0, 1.0], [0.2, 1.0, 0.0], [0.7, 0.0, 0.0]])
    torch.testing.assert_close(result.as_tensor()[:, 0, :, 0], expected)
