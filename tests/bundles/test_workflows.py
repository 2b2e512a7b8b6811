"""The workflows from one end to the other, on phantoms of 64 x 64 x 24 voxels."""

import csv
import json
import math
import shlex
import shutil

import pytest
import torch

from scripts.evaluation.froc_command import froc
from tests.bundles.bundle_commands import files_of, kill_when, run_here, run_words, say, start

METRICS = ("dice", "iou", "sensitivity", "specificity")
DICE = "val_dice_per_slice"
VALIDATED = (DICE, "val_iou_per_slice", "val_sensitivity_pooled", "val_specificity_pooled")

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    # crops of 32 pixels often have no nodule to centre on, which MONAI says each time
    pytest.mark.filterwarnings("ignore:Num foregrounds 0:UserWarning"),
]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def untimed(path):
    return [{**row, "seconds": ""} for row in rows_of(path)]


def test_training_when_run_then_stages_are_reported_one_by_one(trained):
    report = json.loads((trained / "training" / "stages.json").read_text())
    names = [stage["name"] for stage in report["stages"]]
    assert [name[0] for name in names] == list("ABCDE")
    assert sum(stage["best"] for stage in report["stages"]) == 1
    for stage in report["stages"]:
        for metric in VALIDATED:
            assert 0 <= stage[metric] <= 1
        assert math.isfinite(stage["train_loss"])
        assert stage["seconds"] > 0
        assert stage["epochs"] == 1
    released = [stage["trainable_parameters"] for stage in report["stages"]]
    assert released == sorted(set(released))
    rows = rows_of(trained / "training" / "stages.csv")
    assert [row["name"] for row in rows] == names
    for name in VALIDATED:
        assert [float(row[name]) for row in rows] == [stage[name] for stage in report["stages"]]


def test_training_when_run_then_loss_falls(trained):
    losses = [float(row["train_loss"]) for row in rows_of(trained / "training" / "history.csv")]
    assert len(losses) == 5
    assert all(map(math.isfinite, losses))
    assert min(losses[1:]) < losses[0]


def test_training_when_run_then_pictures_and_logs_are_there(trained):
    folder = trained / "training"
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").iterdir())
    printed = (trained / "training.log").read_text()
    assert "5 of 5" in printed
    assert "run again with: python -m monai.bundle run training" in printed


def test_training_when_run_then_result_is_best_stage_and_frozen_blocks_are_the_encoder_file(
    trained,
):
    model = torch.load(trained / "training" / "model.pt", weights_only=True)
    report = json.loads((trained / "training" / "stages.json").read_text())
    best = next(stage for stage in report["stages"] if stage["best"])
    assert model["stage"] == best["name"]
    assert best[DICE] == max(stage[DICE] for stage in report["stages"])
    assert best[DICE] == round(model["value"], 6)
    begun = torch.load(trained / "pretraining" / "encoder.pt", weights_only=True)["state_dict"]
    parts = {"block1": ("conv1.", "bn1."), "block2": "layer1.", "block3": "layer2."}
    for block, prefix in {**parts, "block4": "layer3.", "block5": "layer4."}.items():
        keys = [key for key in begun if key.startswith(prefix)]
        same = [torch.equal(begun[key], model["model"][f"encoder.{key}"]) for key in keys]
        assert all(same) != (block in best["trainable"]), block


def test_training_when_killed_and_its_recorded_config_resumed_then_bit_equal(trained, tmp_path):
    record = json.loads((trained / "training" / "training_record.json").read_text())
    words = [*shlex.split(record["rerun"])[3:], "--output_dir", tmp_path]
    kill_when(start(*words), tmp_path / "checkpoints" / "checkpoint_00002.pt")
    assert not (tmp_path / "model.pt").exists()
    assert "resume: continuing after epoch" in say(*words, "--resume", "true")
    expected = torch.load(trained / "training" / "model.pt", weights_only=True)
    result = torch.load(tmp_path / "model.pt", weights_only=True)
    for key, tensor in expected.pop("model").items():
        assert torch.equal(result["model"][key], tensor), key
    assert {key: result[key] for key in expected} == expected
    assert untimed(tmp_path / "stages.csv") == untimed(trained / "training" / "stages.csv")
    shutil.rmtree(tmp_path)  # 900 MB


def test_evaluating_whole_scans_then_luna16s_score_and_candidates_that_froc_takes(
    trained, cohort, tmp_path, caplog
):
    asked = {"dataset_dir": cohort / "prepared", "output_dir": tmp_path / "evaluation"}
    asked |= {"ckpt_path": trained / "training" / "model.pt"}
    files = [*files_of("evaluate"), "configs/data/luna16_volumes.json"]
    caplog.set_level("INFO")
    run_here("evaluating", files, {"section": "training"} | {k: str(v) for k, v in asked.items()})
    printed = caplog.text
    summary = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    assert summary["headline"] in printed
    assert "false positives per scan, CPM" in summary["headline"]
    scored = summary["froc"]
    assert scored["counts"]["scans"] == summary["counts"]["series"]
    assert scored["counts"]["nodules"] == summary["counts"]["nodules"]
    assert 0 <= scored["cpm"] <= 1
    assert len(rows_of(tmp_path / "evaluation" / "froc.csv")) == 7
    assert (tmp_path / "evaluation" / "froc.png").read_bytes().startswith(b"\x89PNG")
    froc(
        str(tmp_path / "evaluation" / "candidates.csv"),
        str(cohort / "phantoms"),
        str(tmp_path / "froc"),
    )
    again = json.loads((tmp_path / "froc" / "froc.json").read_text())
    assert again["counts"]["candidates"] == scored["counts"]["candidates"]
    assert again["counts"]["scans"] == 10


def test_evaluating_when_run_then_every_figure_and_a_row_for_every_case(trained, cohort, tmp_path):
    asked = {"dataset_dir": cohort / "prepared", "output_dir": tmp_path, "seed": 3}
    asked |= {"section": "training", "ckpt_path": trained / "training" / "model.pt"}
    printed = say(*run_words("evaluating", files_of("evaluate"), asked))
    assert "dice_per_nodule_mean" in printed
    summary = json.loads((tmp_path / "summary.json").read_text())
    check_figures(summary["figures"])
    datalist = json.loads((cohort / "prepared" / "datalist.json").read_text())
    samples = datalist["training"]
    nodules = {(s["series_uid"], n["id"]) for s in samples for n in s["nodules"]}
    counts = summary["counts"]
    assert counts["slices"] == counts["cases_expected"] == len(samples)
    assert counts["nodules"] == len(nodules)
    assert counts["patients"] == len({sample["patient_id"] for sample in samples})
    rows = rows_of(tmp_path / "per_nodule.csv")
    assert {(row["series_uid"], int(row["nodule"])) for row in rows} == nodules
    mean = sum(float(row["dice"]) for row in rows) / len(rows)
    assert summary["figures"]["dice_per_nodule_mean"]["value"] == pytest.approx(mean)
    assert len(rows_of(tmp_path / "per_slice.csv")) == len(samples)
    assert len(rows_of(tmp_path / "per_volume.csv")) == counts["series"]
    assert (tmp_path / "overlays.png").read_bytes().startswith(b"\x89PNG")
    check_origin(summary)


def check_figures(figures):
    """Everything that is asked for by name, each with its number of cases and its interval."""
    names = {f"{m}_per_{unit}_mean" for m in METRICS for unit in ("nodule", "slice", "volume")}
    names |= {f"{metric}_pooled" for metric in METRICS}
    sizes = ("under_6_mm", "6_to_10_mm", "10_to_20_mm", "over_20_mm")
    names |= {f"dice_per_nodule_{size}_mean" for size in sizes}
    names |= {f"{distance}_per_nodule_mean" for distance in ("assd_mm", "hd95_mm")}
    names |= {"nodules_detected_share", "false_positives_per_scan_mean"}
    assert names <= figures.keys()
    for name in names:
        assert {"value", "n", "patients", "interval_95", "interval_reason"} <= figures[name].keys()
    low, high = figures["dice_per_nodule_mean"]["interval_95"]
    assert 0 <= low <= figures["dice_per_nodule_mean"]["value"] <= high <= 1
    empties = {"both_empty", "predicted_in_empty", "missed", "undefined"}
    assert empties <= figures["dice_per_slice_mean"].keys()


def check_origin(summary):
    """What a reader of the numbers must know of how they were made."""
    assert summary["data"]["section"] == "training"
    assert summary["data"]["label"] == "masks"
    assert summary["data"]["split"]["kind"] == "patient"
    assert len(summary["data"]["datalist_sha256"]) == 64
    assert summary["settings"]["bootstrap_seed"] == 3
    origin = summary["provenance"]
    assert "run evaluating" in origin["command"]
    assert origin["seed"] == 3
    assert {"monai", "torch", "python"} <= origin["versions"].keys()
    assert "revision" in origin["git"]
