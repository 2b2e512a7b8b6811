from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted, Compose

from scripts.bundle.model_file import content_of
from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import case_id, hashed_case, spacings_of
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.training_data import training_data
from scripts.evaluation.report import EvaluationReport
from tests.scripts.evaluation.reports import read_rows, read_summary, report_of, run
from tests.scripts.evaluation.scans import make_case, make_item


def test_report_of_two_patients_gives_every_file_and_figure(tmp_path: Path) -> None:
    nodules = [{"id": 1, "diameter_mm": 8.0}]
    cases = [make_case(0, nodules=nodules), make_case(1, patient="b", nodules=nodules)]
    metrics = run(report_of(cases, tmp_path), [make_item(0)], [make_item(1, predicted=4)])
    first, second = 1.0, 2 * 32 / (64 + 32)
    assert metrics["dice_per_nodule_mean"] == pytest.approx((first + second) / 2)
    assert metrics["dice_pooled"] == pytest.approx(2 * 96 / (2 * 96 + 32))
    figures = read_summary(tmp_path)["figures"]
    entry = figures["dice_per_nodule_mean"]
    assert entry["interval_95"] == pytest.approx([second, first])
    assert (entry["n"], entry["patients"], entry["undefined"]) == (2, 2, 0)
    assert figures["dice_per_nodule_6_to_10_mm_mean"]["n"] == 2
    assert figures["dice_per_nodule_over_20_mm_mean"]["value"] is None
    rows = read_rows(tmp_path / "per_nodule.csv")
    assert [float(row["dice"]) for row in rows] == pytest.approx([first, second])
    assert [row["size_group"] for row in rows] == ["6_to_10_mm", "6_to_10_mm"]
    assert len(read_rows(tmp_path / "per_slice.csv")) == len(read_rows(tmp_path / "per_volume.csv"))


def test_report_of_monais_evaluator_finds_instances_in_the_batch(tmp_path: Path) -> None:
    samples = []
    for index in range(3):
        item = make_item(index, predicted=4)
        label = MetaTensor(item["instances"])
        samples.append(
            {"image": MetaTensor(item["pred"]), "label": label > 0, "instances": label}
            | {"case": index}
        )
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(samples), batch_size=2),
        network=torch.nn.Identity(),
        postprocessing=Compose([AsDiscreted(keys="pred", threshold=0.5)]),
        val_handlers=[
            report_of([make_case(i, slice_index=i) for i in range(3)], tmp_path),
        ],
    )
    evaluator.run()
    assert evaluator.state.metrics["dice_per_nodule_mean"] == pytest.approx(2 / 3)


def test_summary_says_where_the_numbers_come_from(tmp_path: Path) -> None:
    datalist = tmp_path / "datalist.json"
    made = {"label": "ball", "split": {"kind": "patient", "seed": 3}, "source": "/secret"}
    datalist.write_text(json.dumps({"provenance": made, **{name: [] for name in PARTITIONS}}))
    report = report_of(
        [make_case(0)], tmp_path / "out", datalist=datalist, section="validation", seed=5
    )
    run(report, [make_item(0)])
    summary = read_summary(tmp_path / "out")
    assert summary["data"] == {
        "section": "validation",
        "only_sampled_slices": False,
        "label_kinds": ["ball"],
        "datalist": str(datalist),
        "datalist_sha256": sha256_of(datalist),
        "scans_left_out": 0,
        "label": "ball",
        "split": {"kind": "patient", "seed": 3},
    }
    assert summary["settings"]["bootstrap_seed"] == 5
    assert {"command", "versions", "git", "time"} <= summary["provenance"].keys()


def test_no_file_names_a_patient(tmp_path: Path) -> None:
    run(report_of([make_case(0)], tmp_path), [make_item(0)])
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert len(written) == 5
    assert not any("Doe" in text for text in written)


def test_nothing_predicted_is_counted_as_missed(tmp_path: Path) -> None:
    metrics = run(report_of([make_case(0)], tmp_path), [make_item(0, predicted=0)])
    assert metrics["dice_per_nodule_mean"] == 0
    assert metrics["nodules_detected_share"] == 0
    assert "hd95_mm_per_nodule_mean" not in metrics
    figures = read_summary(tmp_path)["figures"]
    assert figures["dice_per_nodule_mean"]["missed"] == 1
    assert figures["hd95_mm_per_nodule_mean"] == {
        "value": None,
        "n": 0,
        "patients": 0,
        "interval_95": None,
        "interval_reason": "nothing to average",
        "undefined": 1,
    }
    assert read_rows(tmp_path / "per_nodule.csv")[0]["hd95_mm"] == ""


def test_no_nodule_anywhere_still_reports_empties_and_false_positives(tmp_path: Path) -> None:
    cases = [make_case(0), make_case(1, patient="b")]
    items = [make_item(0, annotated=0, predicted=0), make_item(1, annotated=0)]
    metrics = run(report_of(cases, tmp_path), items)
    assert metrics["dice_per_slice_mean"] == 0.5
    assert metrics["false_positives_per_scan_mean"] == 0.5
    assert "dice_per_nodule_mean" not in metrics
    figures = read_summary(tmp_path)["figures"]
    assert figures["dice_per_slice_mean"]["both_empty"] == 1
    assert figures["dice_per_slice_mean"]["predicted_in_empty"] == 1
    assert figures["sensitivity_per_slice_mean"]["undefined"] == 2
    assert figures["sensitivity_pooled"]["value"] is None
    assert read_rows(tmp_path / "per_nodule.csv") == []


def test_nothing_annotated_and_nothing_predicted_anywhere_pools_to_one(tmp_path: Path) -> None:
    metrics = run(report_of([make_case(0)], tmp_path), [make_item(0, annotated=0, predicted=0)])
    assert metrics["dice_pooled"] == 1
    assert read_summary(tmp_path)["figures"]["dice_pooled"]["interval_95"] is None


def test_one_patient_has_no_interval_and_says_why(tmp_path: Path) -> None:
    run(report_of([make_case(0)], tmp_path), [make_item(0)])
    entry = read_summary(tmp_path)["figures"]["dice_per_nodule_mean"]
    assert entry["interval_95"] is None
    assert "one patient" in entry["interval_reason"]


def test_slices_of_one_nodule_are_one_nodule(tmp_path: Path) -> None:
    cases = [make_case(i, slice_index=7 + i, slices_in_volume=9) for i in range(3)]
    run(report_of(cases, tmp_path), [make_item(i) for i in (2, 0, 1)])
    (nodule,) = read_rows(tmp_path / "per_nodule.csv")
    assert (nodule["slices"], nodule["distance_kind"]) == ("3", "3d")
    (volume,) = read_rows(tmp_path / "per_volume.csv")
    assert (volume["slices_evaluated"], volume["whole_volume"]) == ("3", "False")
    assert [row["slice"] for row in read_rows(tmp_path / "per_slice.csv")] == ["7", "8", "9"]


def test_slice_that_comes_twice_is_counted_once(tmp_path: Path) -> None:
    cases = [make_case(0), make_case(1)]
    run(report_of(cases, tmp_path), [make_item(0), make_item(1)])
    summary = read_summary(tmp_path)
    assert summary["counts"]["slices"] == 1
    assert summary["counts"]["duplicate_slices"] == 1


def test_evaluation_of_another_model_is_not_replaced_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluationReport, "_compare", lambda _: (None, []))  # of a real model file
    out = tmp_path / "eval"
    first, second = tmp_path / "a.pt", tmp_path / "b.pt"
    first.write_text("a")
    second.write_text("b")
    for _ in range(2):  # the same evaluation may be repeated
        run(report_of([make_case(0)], out, model=first), [make_item(0)])
    with pytest.raises(ValueError, match="holds a result with another model_sha256; give"):
        run(report_of([make_case(0)], out, model=second), [make_item(0)])
    with pytest.raises(ValueError, match="another section"):
        run(report_of([make_case(0)], out, model=first, section="validation"), [make_item(0)])
    assert read_summary(out)["data"]["model_sha256"] == sha256_of(first)
    run(report_of([make_case(0)], out, model=second, overwrite=True), [make_item(0)])
    assert read_summary(out)["data"]["model_sha256"] == sha256_of(second)


def test_report_run_again_forgets_the_first_run(tmp_path: Path) -> None:
    report = report_of([make_case(0), make_case(1, patient="b")], tmp_path)
    run(report, [make_item(0), make_item(1)])
    run(report, [make_item(0)])
    assert read_summary(tmp_path)["counts"]["series"] == 1


def test_table_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(report_of([make_case(0)], tmp_path), [make_item(0)])
    assert "dice_per_nodule_mean                     1.0000" in caplog.text
    assert str(tmp_path) in caplog.text


def test_margin_reaches_the_figures(tmp_path: Path) -> None:
    def specificity(margin: float) -> float:
        run(
            report_of([make_case(0)], tmp_path, margin_mm=margin),
            [make_item(0, annotated=4, predicted=4)],
        )
        value = read_summary(tmp_path)["figures"]["specificity_per_nodule_mean"]["value"]
        return math.nan if value is None else value

    assert math.isnan(specificity(0.0))
    assert specificity(3.0) < specificity(10.0)


@pytest.mark.parametrize(
    ("cases", "options", "match"),
    [
        pytest.param([], {}, "cases: must not be empty", id="no cases"),
        pytest.param([{"series_uid": "1"}], {}, "must have series_uid, patient_id", id="nameless"),
        pytest.param([make_case(3)], {}, r"case = 0, got .* with case = 3", id="other list"),
        pytest.param(
            [make_case(0)], {"section": "tset"}, "section: must be .*'tset'", id="section"
        ),
    ],
)
def test_bad_arguments_are_refused_at_once(
    tmp_path: Path, cases: list[Any], options: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        report_of(cases, tmp_path, **options)


def test_datalist_of_classes_for_lesions_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({"kind": "classes", "training": [], "validation": [], "test": []}))
    with pytest.raises(ValueError, match="labels of kind classes, this bundle takes instances"):
        report_of([make_case(0)], tmp_path, datalist=path)


def test_output_dir_that_is_a_file_stops_before_the_first_case(tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text("")
    seen: list[Any] = []
    engine = Engine(lambda _, batch: seen.append(batch))
    report_of([make_case(0)], path).attach(engine)
    with pytest.raises(OSError, match="output_dir: cannot write into .*results: File exists"):
        engine.run([[make_item(0)]])
    assert not seen


def _evaluate_share(rank: int, folder: str) -> None:
    """Evaluate every second slice in one of two processes."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    cases = [make_case(i, slice_index=7 + i) for i in range(3)]
    shares = ([0, 2], [1, 0])  # a distributed sampler repeats a case to fill up
    metrics = run(report_of(cases, Path(folder) / "out"), [make_item(i) for i in shares[rank]])
    (Path(folder) / f"metrics_{rank}.json").write_text(json.dumps(metrics))
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_processes_report_together(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_evaluate_share, args=(str(tmp_path),), nprocs=2)
    first, second = (json.loads((tmp_path / f"metrics_{r}.json").read_text()) for r in (0, 1))
    assert first == second
    counts = read_summary(tmp_path / "out")["counts"]
    assert (counts["slices"], counts["nodules"], counts["duplicate_slices"]) == (3, 1, 1)


def write_trained_model(path: Path, cases: list[Any], pixel_mm: float) -> Path:
    """Write a model file of a training on cases, with pixels of one size."""
    data = {"pixel_mm": [pixel_mm] * 2, "salt": "s", "labels": ["ball"]}
    hashes = [hashed_case(case_id(case), "s") for case in cases]
    content = content_of({"w": torch.zeros(1)}, {"in_channels": 1}, {**data, "cases": hashes})
    torch.save(content, path)
    return path


def test_cases_like_those_of_the_training_then_no_warning(tmp_path: Path, caplog: Any) -> None:
    cases = [make_case(0)]
    pixel, _ = spacings_of(cases)[0]
    model = write_trained_model(tmp_path / "model.pt", [], pixel)
    run(report_of(cases, tmp_path, model=model), [make_item(0)])
    assert read_summary(tmp_path)["warnings"] == []
    assert "WARNING" not in caplog.text


def test_cases_of_the_training_or_of_another_spacing_then_warned_of(
    tmp_path: Path, caplog: Any
) -> None:
    cases = [{**make_case(0), "label_kind": "readers"}, make_case(1, patient="b")]
    pixel, _ = spacings_of(cases)[0]
    model = write_trained_model(tmp_path / "model.pt", cases[:1], 3 * pixel)
    run(report_of(cases, tmp_path, model=model), [make_item(0)], [make_item(1)])
    trained, spacing, kind = read_summary(tmp_path)["warnings"]
    assert "pixels of 0.7 mm: the network was trained on 2.1 mm" in spacing
    assert trained == "1 of 2 scans are of patients that the network was trained on"
    assert kind == "labels of kind readers: the network was trained on ball"
    assert caplog.text.count("test: labels of kind") == 1


def test_cases_of_the_test_set_then_counted_and_others_remarked_on(tmp_path: Path) -> None:
    """The model file says which cases were set aside; the evaluation which of them it has."""
    cases = [make_case(0), make_case(1, patient="b"), make_case(2, patient="c")]
    content = {"kind": "instances", "training": cases[:1], "validation": [], "test": cases[1:]}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    data = training_data(tmp_path / "datalist.json", cases[:1])
    torch.save(content_of({"w": torch.zeros(1)}, {"in_channels": 1}, data), tmp_path / "model.pt")
    model = tmp_path / "model.pt"
    run(report_of([make_case(0), make_case(1, patient="b")], tmp_path, model=model), [make_item(0)])
    summary = read_summary(tmp_path)
    assert summary["cases"] == {
        "evaluated": 2,
        "of_training": 1,
        "of_validation": 0,
        "of_test": 1,
        "not_evaluated": 1,
    }
    assert summary["remarks"] == [
        "1 of 2 scans are not in the test set set aside at training",
        "1 scans of the test set set aside at training are missing",
    ]
