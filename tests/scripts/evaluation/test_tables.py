import math
from dataclasses import replace

import numpy as np
import pytest

from scripts.evaluation.results import evaluate_classes, evaluate_instances
from scripts.evaluation.series import Sphere
from scripts.evaluation.tables import (
    CANDIDATE_COLUMNS,
    CLASS_COLUMNS,
    CLASS_VOLUME_COLUMNS,
    NODULE_COLUMNS,
    SLICE_COLUMNS,
    VOLUME_COLUMNS,
    class_rows,
    class_tables,
    class_volume_row,
    confusion_rows,
    nodule_rows,
    nodule_tables,
    number_patients,
    slice_rows,
    volume_row,
)
from tests.scripts.evaluation.scans import make_series

NAMES = ["background", "liver", "kidney"]


@pytest.fixture
def nodules():
    """Two nodules on slices 10 to 13 of 20, the first predicted, and a false positive."""
    series = make_series((4, 64, 64), slices=np.arange(10, 14), slices_in_volume=20)
    series.instances[1:3, 8:14, 8:14] = 1
    series.instances[2, 50:54, 50:54] = 2
    series.prediction[1:3, 8:14, 8:14] = series.prediction[0, 8:10, 50:52] = True
    series.nodules[1] = Sphere(6.04567)
    return evaluate_instances(series, margin_mm=5.0)


@pytest.fixture
def organs():
    series = make_series((2, 8, 8), prediction=np.zeros((2, 8, 8), np.uint8), slices_in_volume=2)
    series.instances[:, :4, :4] = 1
    series.prediction[:, :4, :2], series.prediction[:, 6:, 6:] = 1, 2
    return evaluate_classes(series, [True, True, False])


def test_rows_then_have_the_columns_of_their_files(nodules, organs):
    rows = [
        (nodule_rows(nodules, 1)[0], NODULE_COLUMNS),
        (slice_rows(nodules, 1)[0], SLICE_COLUMNS),
        (volume_row(nodules, 1), VOLUME_COLUMNS),
        (class_rows(organs, 1, NAMES)[0], CLASS_COLUMNS),
        (class_rows(organs, 1, NAMES)[1], CLASS_COLUMNS),
        (class_volume_row(organs, 1, NAMES), CLASS_VOLUME_COLUMNS),
    ]
    for row, columns in rows:
        assert row.keys() == set(columns)
        assert (row["series_uid"], row["patient"]) == ("1.2.3", 1)


def test_nodule_rows_then_diameter_with_its_source_and_size_group(nodules):
    first, second = nodule_rows(nodules, 1)
    assert (first["diameter_mm"], first["diameter_from"]) == (6.046, "annotation")
    assert (first["size_group"], first["detected"], first["dice"]) == ("6_to_10_mm", True, 1.0)
    assert second["diameter_mm"] == pytest.approx(2 * math.sqrt(16 / math.pi), abs=1e-3)
    assert (second["diameter_from"], second["detected"]) == ("mask", False)
    assert (first["distance_kind"], second["distance_kind"]) == ("3d", "undefined")


def test_slice_rows_then_index_in_the_volume_and_number_of_nodules(nodules):
    rows = slice_rows(nodules, 1)
    assert [(row["slice"], row["nodules"]) for row in rows] == [(10, 0), (11, 1), (12, 2), (13, 0)]
    assert [row["fp"] for row in rows] == [4, 0, 0, 0]


def test_volume_row_then_sums_of_slices_and_extent(nodules):
    row = volume_row(nodules, 1)
    assert (row["tp"], row["fp"], row["fn"]) == (72, 4, 16)
    assert (row["slices_evaluated"], row["slices_in_volume"]) == (4, 20)
    assert row["whole_volume"] is False
    assert [row[name] for name in ("nodules", "nodules_detected")] == [2, 1]
    assert [row[name] for name in CANDIDATE_COLUMNS] == [2, 1, 0]


def test_class_rows_then_millilitres_and_no_figures_of_an_unknown_class(organs):
    liver, kidney = class_rows(organs, 1, NAMES)
    assert (liver["annotated_ml"], liver["predicted_ml"]) == (0.064, 0.032)
    assert (liver["name"], liver["known"], liver["iou"]) == ("liver", True, 0.5)
    assert (kidney["name"], kidney["known"]) == ("kidney", False)
    assert kidney["iou"] is kidney["hd95_mm"] is kidney["distance_kind"] is None


def test_class_volume_row_then_means_over_known_classes(organs):
    row = class_volume_row(organs, 1, NAMES)
    assert row["classes_known"] == "background liver"
    assert (row["iou_mean"], row["whole_volume"]) == (0.5, True)
    assert row["pixel_accuracy"] == 1 - 16 / 128  # a predicted kidney counts as background


def test_confusion_rows_then_named_by_annotation_and_prediction(organs):
    rows = confusion_rows(organs.matrix, NAMES)
    assert rows[1] == {"annotated": "liver", "background": 16, "liver": 16, "kidney": 0}


def test_tables_without_series_or_nodules_then_headers_alone():
    empty = evaluate_instances(make_series(), margin_mm=5.0)
    assert nodule_tables([empty])["per_nodule"] == (NODULE_COLUMNS, [])
    assert len(nodule_tables([empty])["per_volume"][1]) == 1
    tables = class_tables([], NAMES)
    assert tables["per_class"] == (CLASS_COLUMNS, [])
    assert [row["liver"] for row in tables["confusion"][1]] == [0, 0, 0]


def test_tables_then_rows_with_the_numbers_of_patients(organs, nodules):
    other = replace(nodules, uid="1.1", patient="b")
    columns, rows = nodule_tables([nodules, other])["per_volume"]
    assert columns == VOLUME_COLUMNS
    assert [(row["series_uid"], row["patient"]) for row in rows] == [("1.2.3", 2), ("1.1", 1)]
    assert [row["name"] for row in class_tables([organs], NAMES)["per_class"][1]] == NAMES[1:]


def test_patients_then_numbered_by_the_first_uid_of_theirs():
    uids = [("1.9", "b"), ("1.1", "c"), ("1.2", "b"), ("1.3", "a")]
    series = [make_series(uid=uid, patient=patient) for uid, patient in uids]
    results = [evaluate_instances(one, margin_mm=5.0) for one in series]
    assert number_patients(results) == {"c": 1, "b": 2, "a": 3}
