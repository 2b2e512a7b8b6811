from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from scripts.datasets.shares import PARTITIONS
from scripts.evaluation.kinds import Classes, Instances, slice_iou
from scripts.evaluation.packed_slices import PackedArray
from scripts.evaluation.pictures.chosen_slices import Candidate
from scripts.evaluation.report import EvaluationReport
from tests.scripts.evaluation.scans import make_series

NAMES = ["background", "liver", "bone", "kidney"]
SIZE = 32


def make_case(index, *, patient="a", slice_index=None, kidney=True, **more):
    return {
        "case": index,
        "series_uid": f"3Dircadb1.{patient}",
        "patient_id": f"Doe^{patient}",
        "slice": index if slice_index is None else slice_index,
        "spacing_mm": [0.5, 0.5, 2.0],
        "label_kind": "classes",
        "class_known": [True, True, True, kidney],
        **more,
    }


def make_item(index, *, missed=0, kidney=True):
    """A liver of 8 x 8 (its last columns missed), a bone of 4 x 4, a predicted kidney of 4 x 4."""
    pred, annotation = torch.zeros(2, 1, SIZE, SIZE)
    annotation[0, 8:16, 8:16], annotation[0, 20:24, 20:24] = 1, 2
    pred[0, 8:16, 8 : 16 - missed], pred[0, 20:24, 20:24], pred[0, 2:6, 2:6] = 1, 2, 3
    if kidney:
        annotation[0, 2:6, 2:6] = 3
    return {"pred": pred, "annotation": annotation, "case": torch.tensor(index)}


def run(handler, *items):
    engine = Engine(lambda _, batch: batch)
    handler.attach(engine)
    engine.run([[item] for item in items])
    return engine.state.metrics


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_summary(folder):
    return json.loads((folder / "summary.json").read_text())


def class_report(cases, folder, **arguments):
    return EvaluationReport(cases, folder, kind=Classes(NAMES), **arguments)


def two_patients(folder, **arguments):
    """Two slices of patient a, whole; one of patient b, whose kidneys were not annotated."""
    cases = [make_case(0, slices_in_volume=2), make_case(1, slices_in_volume=2)]
    cases.append(make_case(2, patient="b", kidney=False))
    items = [make_item(0), make_item(1, missed=4), make_item(2, missed=2, kidney=False)]
    report = class_report(cases, folder, **arguments)
    return run(report, *items)


def test_report_then_gives_each_class_per_volume_and_pooled(tmp_path):
    metrics = two_patients(tmp_path)
    per_volume = 96 / 128, 48 / 64
    assert metrics["iou_liver_per_volume_mean"] == pytest.approx(np.mean(per_volume))
    assert metrics["iou_liver_pooled"] == pytest.approx(144 / 192)
    assert metrics["dice_liver_pooled"] == pytest.approx(288 / 336)
    assert metrics["iou_bone_pooled"] == 1
    right = 3 * SIZE * SIZE - 48
    assert metrics["pixel_accuracy_pooled"] == pytest.approx(right / (3 * SIZE * SIZE))
    figures = read_summary(tmp_path)["figures"]
    assert figures["iou_liver_per_volume_mean"]["interval_95"] == pytest.approx([0.75, 0.75])
    assert figures["iou_liver_pooled"]["n"] == 2


def test_unknown_class_then_counts_in_no_average(tmp_path):
    metrics = two_patients(tmp_path)
    assert metrics["iou_kidney_pooled"] == metrics["iou_kidney_per_volume_mean"] == 1
    a, b = (0.75 + 1 + 1) / 3, (0.75 + 1) / 2
    assert metrics["iou_mean_of_classes_per_volume_mean"] == pytest.approx((a + b) / 2)
    assert metrics["iou_mean_of_classes_pooled"] == pytest.approx((144 / 192 + 1 + 1) / 3)
    summary = read_summary(tmp_path)
    assert summary["figures"]["iou_kidney_pooled"]["n"] == 1
    assert summary["counts"]["series_in_which_known"] == {"liver": 2, "bone": 2, "kidney": 1}
    rows = rows_of(tmp_path / "per_class.csv")
    unknown = next(row for row in rows if row["known"] == "False")
    assert (unknown["name"], unknown["iou"], unknown["annotated_ml"]) == ("kidney", "", "")


def test_class_known_nowhere_then_undefined_and_not_zero(tmp_path):
    report = class_report([make_case(0, kidney=False)], tmp_path)
    metrics = run(report, make_item(0, kidney=False))
    assert "iou_kidney_pooled" not in metrics
    assert metrics["iou_mean_of_classes_pooled"] == 1
    assert read_summary(tmp_path)["figures"]["dice_kidney_pooled"]["value"] is None


def test_confusion_then_adds_up_to_all_voxels(tmp_path):
    two_patients(tmp_path)
    matrix = np.array(read_summary(tmp_path)["confusion"]["voxels"])
    assert matrix.sum() == 3 * SIZE * SIZE
    assert matrix[1, 0] == 8 * (4 + 2)
    assert matrix[0, 3] == 0  # a predicted kidney where kidneys were not annotated
    rows = rows_of(tmp_path / "confusion.csv")
    assert [row["annotated"] for row in rows] == NAMES
    assert [[int(row[name]) for name in NAMES] for row in rows] == matrix.tolist()


def test_rows_then_hold_volumes_and_distances_in_mm(tmp_path):
    two_patients(tmp_path)
    liver = rows_of(tmp_path / "per_class.csv")[0]
    voxel_ml = 0.5 * 0.5 * 2.0 / 1000
    assert float(liver["annotated_ml"]) == pytest.approx(128 * voxel_ml)
    assert float(liver["predicted_ml"]) == pytest.approx(96 * voxel_ml)
    assert 0 < float(liver["hd95_mm"]) <= 2.0
    assert liver["distance_kind"] == "3d"
    volumes = rows_of(tmp_path / "per_volume.csv")
    assert [row["whole_volume"] for row in volumes] == ["True", ""]
    assert [row["classes_known"] for row in volumes] == [" ".join(NAMES), " ".join(NAMES[:3])]
    assert float(volumes[0]["iou_mean"]) == pytest.approx((0.75 + 1 + 1) / 3)


def test_summary_then_says_where_numbers_come_from_and_names_nobody(tmp_path):
    datalist = tmp_path / "datalist.json"
    datalist.write_text(
        json.dumps(
            {
                "provenance": {"split": {"kind": "fold"}, "tumour": False},
                **{name: [] for name in PARTITIONS},
            }
        )
    )
    two_patients(tmp_path / "out", datalist=datalist, section="validation", seed=4)
    summary = read_summary(tmp_path / "out")
    assert summary["data"]["split"] == {"kind": "fold"}
    assert summary["data"]["section"] == "validation"
    assert summary["settings"] == {"bootstrap_seed": 4}
    assert {"command", "versions", "git"} <= summary["provenance"].keys()
    assert not any("Doe" in path.read_text() for path in (tmp_path / "out").iterdir())


def test_other_key_of_the_annotation_then_is_read(tmp_path):
    item = make_item(0)
    item["truth"] = item.pop("annotation")
    kind = Classes(NAMES, annotation="truth")
    report = EvaluationReport([make_case(0)], tmp_path, kind=kind)
    assert run(report, item)["iou_liver_pooled"] == 1


@pytest.mark.parametrize("known", [None, [True] * 5])
def test_cases_of_other_classes_then_are_refused(tmp_path, known):
    with pytest.raises(ValueError, match="class_known, 4 times true or false"):
        class_report([{**make_case(0), "class_known": known}], tmp_path)


def test_prediction_of_a_class_that_is_none_then_is_refused(tmp_path):
    item = make_item(0)
    item["pred"][0, 0, 0] = 4
    with pytest.raises(ValueError, match=r"pred: must be classes 0..3, case 0 has values"):
        run(class_report([make_case(0)], tmp_path), item)


PACKED = PackedArray.pack(np.zeros((2, 2)))


def candidate(number, score, size=5.0, *, uid="1.2", **more):
    return Candidate(uid, number, 0, score, size, PACKED, PACKED, (1.0, 1.0), nodule=number, **more)


def test_choice_of_nodules_then_best_median_worst_and_largest_in_order_of_dice():
    scores = [candidate(i, dice) for i, dice in enumerate((0.5, 0.9, 0.7, 0.1, 0.8))]
    scores.append(candidate(9, 0.6, size=22.0))
    chosen = Instances().choose(scores, 4)
    assert [(c.score, why) for c, why in chosen] == [
        (0.9, "Best"),
        (0.7, "Median"),
        (0.6, "Largest"),
        (0.1, "Worst"),
    ]
    assert len(Instances().choose(scores, 5)) == 5
    assert Instances().choose(scores, 9)[1][1] == "Rank 2 of 6"


def test_choice_of_one_nodule_then_every_reason_at_once():
    chosen = Instances().choose([candidate(1, 0.5)], 6)
    assert [why for _, why in chosen] == ["Best, Worst, Median, Largest"]
    assert Instances().choose([], 6) == []


def test_choice_of_nodules_when_room_is_little_then_best_and_worst():
    scores = [candidate(i, i / 10) for i in range(9)]
    assert [c.score for c, _ in Instances().choose(scores, 2)] == [0.8, 0.0]


def test_choice_of_classes_then_the_largest_of_each_series_first_and_no_empty_slice():
    slices = [candidate(i, i / 10, size=i, uid="a") for i in range(8)]
    slices += [candidate(0, 0.95, size=3, uid="b"), candidate(1, float("nan"), size=9, uid="b")]
    chosen = [(c.uid, c.slice_index) for c, _ in Classes(NAMES).choose(slices, 2)]
    assert chosen == [("a", 7), ("b", 0)]
    worst_too = [(c.uid, c.slice_index) for c, _ in Classes(NAMES).choose(slices, 3)]
    assert worst_too == [("a", 0), ("a", 7), ("b", 0)]
    assert len(Classes(NAMES).choose(slices, 99)) == 9
    assert Classes(NAMES).choose(slices[-1:], 3) == []


def test_candidate_of_a_nodule_then_its_largest_slice_and_dice():
    series = make_series((3, 16, 16), slices=np.array([4, 5, 6]), cases=[7, 8, 9])
    series.instances[0, 4, 4:6] = series.instances[1, 4:8, 4:8] = 3
    series.prediction[1, 4:8, 4:8] = True
    (one,) = Instances().candidates(series, {})
    assert (one.slice_index, one.case, one.nodule) == (5, 8, 3)
    assert one.score == pytest.approx(2 * 16 / (16 + 18))
    panel = Instances().panel((one, "Best"), np.zeros((16, 16)))
    assert panel.title == "Best: Dice 0.94"
    assert panel.focus.sum() == panel.ours.sum() == 16


def test_candidates_of_classes_then_every_slice_with_its_iou_and_unknown_classes():
    series = make_series((2, 16, 16), prediction=np.zeros((2, 16, 16), np.uint8))
    series.instances[0, :4, :4], series.prediction[0, :4, :2] = 1, 1
    first, second = Classes(NAMES).candidates(series, {"class_known": [True, True, True, False]})
    assert (first.score, first.size) == (0.5, 16)
    assert np.isnan(second.score)
    panel = Classes(NAMES).panel((first, ""), np.zeros((16, 16)))
    assert panel.title == "…1.2.3, slice 0"
    assert panel.caption == "kidney not annotated  ·  mean IoU 0.50"


def test_iou_of_a_slice_then_the_mean_of_the_classes_that_it_shows():
    assert slice_iou(np.array([[5, 0, 0], [1, 1, 0], [0, 0, 0]])) == 0.5
    assert np.isnan(slice_iou(np.array([[5, 0], [0, 0]])))


def test_margin_below_zero_then_refused():
    with pytest.raises(ValueError, match="margin_mm: must be at least 0, got -1"):
        Instances(margin_mm=-1)
