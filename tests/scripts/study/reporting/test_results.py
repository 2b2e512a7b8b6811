"""What is read back of evaluations and trainings equals what their tables say."""

import json
import math

import pytest

from scripts.study.reporting.results import (
    CaseValue,
    Result,
    case_values,
    collect,
    evaluated_data,
    patients_of,
    read_table,
)
from scripts.study.workshop import Task

PATIENTS = {"1.1": "p1", "1.2": "p2"}


def write_csv(path, header, *rows):
    path.write_text("\n".join([header, *rows]) + "\n")


def test_datalist_then_the_patient_of_every_series_of_slices_and_volumes(tmp_path):
    content = {
        "name": "luna16",
        "window_hu": [-1000.0, 400.0],
        "test": [{"series_uid": "1.1", "patient_id": "p1"}],
        "volumes": {"training": [{"series_uid": "1.2", "patient_id": "p2"}]},
    }
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    assert patients_of(json.loads((tmp_path / "datalist.json").read_text())) == PATIENTS


def test_evaluation_with_a_training_before_or_after_its_data_then_the_data():
    data, training = Task("prepared", "data"), Task("trainings", "network")
    for needs in ((training, data), (data, training), (data,)):
        assert evaluated_data(Task("evaluations", "row", needs=needs)) is data


def test_table_that_is_not_there_then_empty(tmp_path):
    assert read_table(tmp_path / "stages.csv") == []


def test_figure_per_nodule_then_a_value_a_nodule_and_undefined_ones_left_out(tmp_path):
    header = "series_uid,nodule,dice,size_group,texture"
    write_csv(
        tmp_path / "per_nodule.csv", header, "1.1,1,0.5,small,solid", "1.2,4,,large,", "1.2,5,0.9,,"
    )
    values = case_values(tmp_path, "dice_per_nodule_mean", PATIENTS)
    assert values == [
        CaseValue("p1", ("1.1", "1"), 0.5, 1.0, "small", "solid"),
        CaseValue("p2", ("1.2", "5"), 0.9, 1.0, ""),
    ]


def test_pooled_figure_then_numerator_and_denominator_of_every_volume(tmp_path):
    write_csv(tmp_path / "per_volume.csv", "series_uid,tp,fp,fn,tn", "1.1,6,0,2,9", "9.9,1,0,3,9")
    values = case_values(tmp_path, "sensitivity_pooled", PATIENTS)
    assert [(v.patient, v.over, v.under) for v in values] == [("p1", 6, 8), ("9.9", 1, 4)]


def test_figure_of_a_class_then_only_its_rows_and_only_where_it_is_known(tmp_path):
    write_csv(
        tmp_path / "per_class.csv",
        "series_uid,name,known,iou,tp,fp,fn,tn",
        "1.1,liver,True,0.8,8,1,1,90",
        "1.1,liver tumour,True,0.1,1,5,4,90",
        "1.2,liver,False,0.0,,,,",
    )
    (mean,) = case_values(tmp_path, "iou_liver_per_volume_mean", PATIENTS)
    (pooled,) = case_values(tmp_path, "iou_liver_pooled", PATIENTS)
    (tumour,) = case_values(tmp_path, "iou_liver_tumour_pooled", PATIENTS)
    assert (mean.over, mean.under) == (0.8, 1.0)
    assert (pooled.over, pooled.under) == (8, 10)
    assert (tumour.over, tumour.under) == (1, 10)


def test_figure_of_no_known_unit_then_refused(tmp_path):
    with pytest.raises(ValueError, match="must be per nodule, slice or volume, or pooled"):
        case_values(tmp_path, "dice_mean", PATIENTS)


def test_result_then_its_figure_is_the_ratio_of_sums():
    cases = [CaseValue("p", ("a",), 1, 2), CaseValue("p", ("b",), 3, 3)]
    result = Result("row", 0, {"sensitivity": cases}, history=[{"seconds": "2"}, {"seconds": "3"}])
    assert result.figure("sensitivity") == 4 / 5
    assert math.isnan(result.figure("Dice"))
    assert result.seconds == 5


def test_folds_of_a_seed_then_their_cases_are_one_result(monkeypatch):
    def of_cell(_study, cell, _workshop):
        case = CaseValue(f"p{cell}", (str(cell),), cell, 1)
        return [Result("row", cell // 10, {"Dice": [case]}, stages=[{"stage": str(cell)}])]

    monkeypatch.setattr("scripts.study.reporting.results._of_cell", of_cell)
    first, second = collect(None, [0, 2, 10], None)
    assert (first.seed, first.figure("Dice"), first.stages) == (0, 1, [{"stage": "0"}])
    assert (second.seed, second.figure("Dice")) == (1, 10)
