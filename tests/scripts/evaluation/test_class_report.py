from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from scripts.evaluation.class_pictures import ClassPictures, choose
from scripts.evaluation.class_report import ClassReport

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


def two_patients(folder, **arguments):
    """Two slices of patient a, whole; one of patient b, whose kidneys nobody outlined."""
    cases = [make_case(0, slices_in_volume=2), make_case(1, slices_in_volume=2)]
    cases.append(make_case(2, patient="b", kidney=False))
    items = [make_item(0), make_item(1, missed=4), make_item(2, missed=2, kidney=False)]
    report = ClassReport(cases, folder, class_names=NAMES, **arguments)
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
    report = ClassReport([make_case(0, kidney=False)], tmp_path, class_names=NAMES)
    metrics = run(report, make_item(0, kidney=False))
    assert "iou_kidney_pooled" not in metrics
    assert metrics["iou_mean_of_classes_pooled"] == 1
    assert read_summary(tmp_path)["figures"]["dice_kidney_pooled"]["value"] is None


def test_confusion_then_adds_up_to_all_voxels(tmp_path):
    two_patients(tmp_path)
    matrix = np.array(read_summary(tmp_path)["confusion"]["voxels"])
    assert matrix.sum() == 3 * SIZE * SIZE
    assert matrix[1, 0] == 8 * (4 + 2)
    assert matrix[0, 3] == 0  # a predicted kidney where nobody outlined kidneys
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
    datalist.write_text(json.dumps({"provenance": {"split": {"kind": "fold"}, "tumour": False}}))
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
    report = ClassReport([make_case(0)], tmp_path, class_names=NAMES, annotation="truth")
    assert run(report, item)["iou_liver_pooled"] == 1


@pytest.mark.parametrize("known", [None, [True] * 5])
def test_cases_of_other_classes_then_are_refused(tmp_path, known):
    with pytest.raises(ValueError, match="class_known, 4 times true or false"):
        ClassReport([{**make_case(0), "class_known": known}], tmp_path, class_names=NAMES)


def test_prediction_of_a_class_that_is_none_then_is_refused(tmp_path):
    item = make_item(0)
    item["pred"][0, 0, 0] = 4
    with pytest.raises(ValueError, match=r"pred: must be classes 0..3, case 0 has values"):
        run(ClassReport([make_case(0)], tmp_path, class_names=NAMES), item)


# --- pictures -------------------------------------------------------------------------------------


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Run ClassPictures on three slices of two patients; return what was drawn."""
    seen = []
    monkeypatch.setattr(
        "scripts.evaluation.class_pictures.class_grid",
        lambda panels, path, **_: seen.extend(panels),
    )
    stack = np.random.default_rng(0).integers(-100, 200, (1, SIZE, SIZE)).astype(np.int16)
    np.save(tmp_path / "image.npy", stack)
    more = {"image": str(tmp_path / "image.npy"), "rows": [0]}
    cases = [make_case(0, **more), make_case(1, **more)]
    cases.append(make_case(2, patient="b", kidney=False, **more))
    items = [make_item(0), make_item(1, missed=4), make_item(2, missed=2, kidney=False)]

    def draw(**arguments):
        run(ClassPictures(tmp_path, cases, class_names=NAMES, **arguments), *items)
        return seen

    return draw


def test_pictures_then_show_a_slice_of_each_patient_first(drawn):
    panels = drawn(count=2)
    assert [panel.title.split(",")[0] for panel in panels] == ["…3Dircadb1.a", "…3Dircadb1.b"]
    assert "kidney not annotated" in panels[1].caption
    assert "mean IoU" in panels[0].caption


def test_pictures_when_there_is_room_then_show_every_slice_once(drawn):
    assert len(drawn(count=9)) == 3


def test_pictures_of_slices_asked_for_then_show_these(drawn):
    panels = drawn(slices=[["3Dircadb1.a", 1]])
    assert [panel.title for panel in panels] == ["…3Dircadb1.a, slice 1"]


def test_pictures_of_a_slice_that_was_not_evaluated_then_are_refused(drawn):
    with pytest.raises(ValueError, match=r"slices: .*3Dircadb1.a', 9"):
        drawn(slices=[["3Dircadb1.a", 9]])


def test_pictures_of_nothing_then_are_refused_and_an_empty_choice_is_empty(tmp_path):
    with pytest.raises(ValueError, match="count: must be at least 1"):
        ClassPictures(tmp_path, [make_case(0)], class_names=NAMES, count=0)
    assert choose([], 3) == []


def test_pictures_then_are_a_file_and_slices_without_a_class_are_left_out(tmp_path, caplog):
    np.save(tmp_path / "image.npy", np.zeros((1, SIZE, SIZE), np.int16))
    case = make_case(0, image=str(tmp_path / "image.npy"), rows=[0])
    run(ClassPictures(tmp_path, [case], class_names=NAMES), make_item(0))
    assert (tmp_path / "pictures.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "pictures.png").unlink()
    empty = {k: v * 0 if torch.is_tensor(v) else v for k, v in make_item(0).items()}
    run(ClassPictures(tmp_path, [case], class_names=NAMES), empty)
    assert not (tmp_path / "pictures.png").exists()
    assert "no slice shows a class" in caplog.text
