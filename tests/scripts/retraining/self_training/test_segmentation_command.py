"""The command on slices of four patients: two are labelled, the others have no label file."""

import functools
import json
from pathlib import Path

import pytest
import torch
from monai.transforms import Compose

from custom_nets.unet import TransferUNet
from scripts.datasets.datalist import load_datalist
from scripts.retraining.self_training import segmentation_command
from scripts.retraining.self_training.network_maps import NetworkMaps
from scripts.retraining.self_training.segmentation_command import self_train_segmentation
from scripts.study.processes import Outcome
from scripts.study.workshop import Workshop
from scripts.training.losses import KnownVoxels
from tests.bundles.config_files import LUNG
from tests.bundles.model_files import write_model
from tests.scripts.retraining.few_patients import write_patients

SMALL = {"lung_masking": False}
KEYS = ("image", "label")
ITERATIONS = 40


def write_training(words, log, lock):
    """Leave what a training leaves: a network fitted to the data set, and its validation."""
    options = dict(zip(words[4::2], words[5::2], strict=True))
    datalist, out = Path(options["--dataset_dir"]) / "datalist.json", Path(options["--output_dir"])
    torch.manual_seed(int(options["--seed"]))
    network = TransferUNet(
        "tiny", in_channels=3, out_channels=1, weights="none", decoder_channels=[8] * 5
    )
    load = Compose(
        NetworkMaps([LUNG / "train.json"]).parser.get_parsed_content("sample_transforms")
    )
    samples = [load(one) for one in load_datalist(datalist, "training")]
    images, labels = (torch.stack([s[key].as_tensor() for s in samples]) for key in KEYS)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    loss = KnownVoxels(torch.nn.BCEWithLogitsLoss())
    for _ in range(ITERATIONS):
        optimiser.zero_grad()
        loss(network(images), labels).backward()
        optimiser.step()
    out.mkdir(parents=True, exist_ok=True)
    write_model(out / "model.pt", network.eval(), LUNG, SMALL)
    validation = len(samples) / 100  # the more samples, the better
    (out / "stages.csv").write_text(f"val_dice_per_slice,best\n{validation},True\n")
    return Outcome(0, 1.0, 1.0, 1.0)


@pytest.fixture
def trainings(monkeypatch, tiny_encoder):
    """Commands of the trainings, which fit a small network in this process."""
    commands = []

    def launch(words, log, lock):
        commands.append(words)
        return write_training(words, log, lock)

    monkeypatch.setattr(
        segmentation_command, "Workshop", functools.partial(Workshop, launch=launch)
    )
    return commands


@pytest.fixture
def config_file(tmp_path):
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    return [str(tmp_path / "small.json")]


def test_command_when_label_files_are_missing_then_a_data_set_to_train_on(
    trainings, config_file, tmp_path, capsys
):
    datalist = write_patients(tmp_path / "prepared", unlabelled="CDT")
    options = {"labelled_patients": "A,B", "rounds": 1, "config_file": config_file}
    self_train_segmentation(str(datalist), str(tmp_path / "out"), **options)
    printed = capsys.readouterr().out
    assert "2 labelled and 2 unlabelled training patients" in printed
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["labelled_patients"], summary["unlabelled_patients"]) == (
        ["A", "B"],
        ["C", "D"],
    )
    assert [one["slices_with_given_labels"] for one in summary["rounds"]] == [0, 6]
    assert any("no labels to compare" in remark for remark in summary["remarks"])
    assert any("by their annotation" in remark for remark in summary["remarks"])
    samples = load_datalist(tmp_path / "out" / "datalist.json", "training")
    given = [one for one in samples if one["label_kind"] == "pseudo"]
    assert len(given) == 6
    assert summary["best_round"] == 1
    assert len(trainings) == 2
    self_train_segmentation(str(datalist), str(tmp_path / "out"), **options)
    assert len(trainings) == 2  # all steps are done


def test_command_when_compared_then_figures_of_given_labels_and_of_the_test(
    trainings, config_file, tmp_path, capsys
):
    datalist = write_patients(tmp_path / "prepared")
    self_train_segmentation(
        *(str(datalist), str(tmp_path / "out")),
        **{"labelled_patients": 2, "rounds": 1, "config_file": config_file, "compare": True},
    )
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    given = summary["rounds"][1]["dice_of_given_labels"]["nodule"]
    assert given["value"] > 0.7  # bright discs
    assert set(summary["test"]) == {"few labels", "few labels and self-training", "all labels"}
    assert summary["test"]["all labels"]["dice"]["nodule"]["value"] > 0.7
    assert summary["test_verdict"]["nodule"].startswith("did not help")  # one test patient
    printed = capsys.readouterr().out
    assert "test, few labels: Dice nodule" in printed
    rounds = (tmp_path / "out" / "rounds.csv").read_text().splitlines()
    assert rounds[0] == "round,validation,slices_with_given_labels,unknown_share,dice_nodule"
    assert len(rounds) == 3
    assert len((tmp_path / "out" / "given_labels.csv").read_text().splitlines()) == 1 + 6


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rounds": -1}, "rounds: must be a whole number"),
        ({"sure": 0.4}, "sure: must be above 0.5"),
        ({"labelled_patients": 4}, "labelled_patients: must leave"),
        ({"labelled_patients": "100%"}, "labelled_patients: must be 1% to 99%, got '100%'"),
        ({"labelled_patients": 0.5}, "labelled_patients: must be .* a share such as 25%.* got 0.5"),
        ({"labelled_patients": (1, 2)}, "labelled_patients: must leave .* got '1', which is none"),
        ({"seed": -1}, "seed: must be a whole number"),
    ],
)
def test_options_when_invalid_then_refused_before_anything_is_written(tmp_path, options, reason):
    datalist = write_patients(tmp_path / "prepared")
    given = {"labelled_patients": 2, **options}
    with pytest.raises(ValueError, match=reason):
        self_train_segmentation(str(datalist), str(tmp_path / "out"), **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [("CT", "2 patients have none, the first: C; leave --compare out"), ("", "has no test slices")],
    ids=["labels", "test partition"],
)
def test_comparison_without_labels_or_test_then_refused_before_anything_is_trained(
    tmp_path, lacking, reason
):
    datalist = write_patients(tmp_path / "prepared", unlabelled=lacking)
    if not lacking:
        content = json.loads(datalist.read_text())
        datalist.write_text(json.dumps({**content, "test": []}))
    with pytest.raises(ValueError, match=f"compare: .*{reason}"):
        self_train_segmentation(
            str(datalist), str(tmp_path / "out"), labelled_patients="A,B", compare=True
        )
    assert not (tmp_path / "out").exists()


def test_training_that_fails_then_its_reason_and_exit_code_1(monkeypatch, tmp_path, capsys):
    def fail(words, log, lock):
        Path(log).write_text("ValueError: a bad rate\n")
        return Outcome(1, 1.0, 1.0, 1.0)

    monkeypatch.setattr(segmentation_command, "Workshop", functools.partial(Workshop, launch=fail))
    datalist = write_patients(tmp_path / "prepared", classes=True, unlabelled="BCDT")
    with pytest.raises(SystemExit, match="1"):
        self_train_segmentation(str(datalist), str(tmp_path / "out"), labelled_patients="A")
    assert "error: trainings: round 0 seed 0: ValueError: a bad rate" in capsys.readouterr().err
