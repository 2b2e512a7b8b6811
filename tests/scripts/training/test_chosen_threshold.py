"""The threshold of the highest Dice on the training data, and its place in the model file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.data import Dataset
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from scripts.bundle.model_file import content_of, trained_settings
from scripts.training.chosen_threshold import (
    BINS,
    LARGEST_LOGIT,
    BestDice,
    ChosenThreshold,
    best_threshold,
)
from scripts.training.engine_events import StageEvents
from scripts.training.tensor_files import MODEL_FILE


class Offset(nn.Module):
    """Network whose logits are its input plus a number."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.offset, self.outputs = nn.Parameter(torch.tensor(2.0)), outputs

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.offset).expand(-1, self.outputs, -1, -1)


def samples() -> list[dict[str, Tensor]]:
    """Make images whose lesion has values about 3, and whose background reaches 2.5 in spots."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(3):
        label = torch.zeros(1, 20, 20)
        label[:, 5:9, 5:9] = 1
        noise = 0.3 * torch.randn(1, 20, 20, generator=generator)
        made.append({"image": 3 * label + noise, "label": label})
    return made


def chosen(folder: Path, network: nn.Module) -> ChosenThreshold:
    data = Dataset(samples())
    return ChosenThreshold(network, data, SimpleInferer(), folder)


def dice(threshold: float, network: nn.Module) -> float:
    with torch.no_grad():
        pairs = [
            (network(one["image"][None])[0].sigmoid() >= threshold, one["label"])
            for one in samples()
        ]
    found = torch.stack([mask for mask, _ in pairs]).float()
    label = torch.stack([label for _, label in pairs])
    return float(2 * (found * label).sum() / (found.sum() + label.sum()))


def test_threshold_then_the_one_of_the_highest_dice_over_all_voxels(tmp_path: Path) -> None:
    network = Offset()
    threshold, reached = chosen(tmp_path, network).choose()
    assert reached == pytest.approx(dice(threshold, network))
    others = [torch.sigmoid(torch.tensor(logit / 4)).item() for logit in range(-20, 40)]
    assert reached >= max(dice(other, network) for other in others)
    assert dice(0.5, network) < 0.5 < reached
    assert threshold > 0.9


def test_threshold_when_several_are_equally_good_then_in_the_middle() -> None:
    lesion, other = torch.zeros(BINS), torch.zeros(BINS)
    width = 2 * LARGEST_LOGIT / BINS
    lesion[-1], other[0] = 5, 7
    threshold, reached = best_threshold(lesion, other)
    assert reached == 1
    assert threshold == pytest.approx(0.5, abs=width)


def test_training_when_complete_then_its_file_has_the_threshold_and_nothing_else_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = Offset()
    settings = {"threshold": 0.5, "in_channels": 1}
    path = tmp_path / MODEL_FILE
    torch.save(content_of(network.state_dict(), settings, {"training": ["a"]}), path)
    before = torch.load(path, weights_only=True)
    engine = Engine(lambda *_: None)
    handler = chosen(tmp_path, network)
    handler.attach(engine)
    with caplog.at_level("INFO"):
        engine.fire_event(StageEvents.RUN_COMPLETED)
    after = torch.load(path, weights_only=True)
    expected, _ = handler.choose()
    assert after["settings"] == {"threshold": expected, "in_channels": 1}
    assert trained_settings(path, "none.json")["threshold"] == expected
    assert torch.equal(after["model"]["offset"], before["model"]["offset"])
    assert (after["data"], after["versions"]) == (before["data"], before["versions"])
    assert f"threshold {expected:.5f} in place of 0.5" in caplog.text


def test_network_of_two_logits_then_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"networks of one logit; got \[1, 2, 20, 20\]"):
        chosen(tmp_path, Offset(2)).choose()


def test_data_without_lesion_then_refused() -> None:
    with pytest.raises(ValueError, match="training: has no lesion voxel"):
        best_threshold(torch.zeros(BINS), torch.ones(BINS))


def test_best_dice_then_that_of_the_best_threshold_over_all_images(tmp_path: Path) -> None:
    network, metric = Offset(), BestDice()
    metric.reset()
    for sample in samples():
        with torch.no_grad():
            probability = network(sample["image"][None])[0].sigmoid()
        metric.update(([probability], [sample["label"]]))
    assert metric.compute() == pytest.approx(chosen(tmp_path, network).choose()[1], abs=0.01)
    metric.reset()
    certain = torch.tensor([0.0, 1.0])
    metric.update(([certain], [certain]))
    assert metric.compute() == 1
