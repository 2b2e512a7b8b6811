import math

import numpy as np
import pytest

from scripts.evaluation.figures.summary import (
    CLASS_DEFINITIONS,
    NODULE_HEADLINES,
    class_table,
    counts,
    headline,
    nodule_definitions,
    nodule_table,
    summarise_classes,
    summarise_nodules,
)
from scripts.evaluation.results import evaluate_classes, evaluate_instances
from scripts.evaluation.series import Sphere
from tests.scripts.evaluation.scans import make_series

NAMES = ["background", "liver", "liver tumour"]


def lungs(patient, *, columns, nodule=True, **facts):
    """One nodule of 6 x 6, of which a few columns are predicted."""
    series = make_series((2, 32, 32), patient=patient, **facts)
    series.instances[0, 8:14, 8:14] = nodule
    series.prediction[0, 8:14, 8 : 8 + columns] = True
    return evaluate_instances(series, margin_mm=5.0)


def abdomen(patient, *, columns, tumour=True):
    """A liver of 8 x 8, of which a few columns are predicted, and a tumour found in part."""
    series = make_series((1, 16, 16), patient=patient, prediction=np.zeros((1, 16, 16), np.uint8))
    series.instances[0, :8, :8], series.prediction[0, :8, :columns] = 1, 1
    if tumour:
        series.instances[0, 12:, 12:], series.prediction[0, 12:, 12:14] = 2, 2
    return evaluate_classes(series, [True, True, tumour])


def test_nodule_figures_then_means_of_nodules_and_ratios_of_sums():
    figures = summarise_nodules([lungs("a", columns=6), lungs("b", columns=2)])
    dice = [1.0, 2 * 12 / (36 + 12)]
    assert figures["dice_per_nodule_mean"]["value"] == pytest.approx(np.mean(dice))
    assert figures["dice_pooled"]["value"] == pytest.approx(2 * 48 / (72 + 48))
    assert figures["dice_per_slice_mean"]["both_empty"] == 2
    assert figures["dice_per_slice_with_nodule_mean"]["n"] == 2
    assert figures["dice_per_nodule_mean"]["interval_95"] == pytest.approx(dice[::-1])


def test_slice_figures_with_nodule_then_without_slices_of_false_alarms():
    alarm = make_series((1, 32, 32), patient="b")
    alarm.prediction[0, 8:14, 8:14] = True
    figures = summarise_nodules([lungs("a", columns=6), evaluate_instances(alarm, margin_mm=5.0)])
    with_nodule, all_slices = (
        figures[f"dice_per_slice{name}_mean"] for name in ("_with_nodule", "")
    )
    assert (with_nodule["value"], with_nodule["n"], with_nodule["predicted_in_empty"]) == (1, 1, 0)
    assert (all_slices["n"], all_slices["predicted_in_empty"]) == (3, 1)


def test_figures_of_size_groups_then_only_of_their_nodules():
    results = [lungs("a", columns=6, nodules={1: Sphere(4.0)}), lungs("b", columns=0)]
    figures = summarise_nodules(results)
    assert figures["dice_per_nodule_under_6_mm_mean"]["value"] == 1
    assert figures["nodules_detected_share_under_6_mm"]["value"] == 1
    assert figures["nodules_detected_share_6_to_10_mm"]["value"] == 0
    assert figures["nodules_detected_share"]["value"] == 0.5
    assert figures["dice_per_nodule_over_20_mm_mean"]["n"] == 0


def test_figures_of_texture_groups_then_only_where_nodules_were_rated():
    solid = lungs("a", columns=6, nodules={1: Sphere(8.0, texture="solid")})
    results = [solid, lungs("b", columns=0, nodules={1: Sphere(8.0, texture="ground_glass")})]
    figures = summarise_nodules([*results, lungs("c", columns=3)])
    assert figures["dice_per_nodule_solid_mean"]["value"] == 1
    assert figures["dice_per_nodule_ground_glass_mean"]["value"] == 0
    assert figures["nodules_detected_share_solid"]["value"] == 1
    assert figures["dice_per_nodule_part_solid_mean"]["n"] == 0
    assert "dice_per_nodule_ground_glass_mean" in nodule_table(figures)
    unrated = summarise_nodules([lungs("c", columns=3)])
    assert not [name for name in unrated if "solid" in name or "glass" in name]
    assert "solid" not in nodule_table(unrated)
    assert "texture_groups" in nodule_definitions(5.0, rated=True)
    assert "texture_groups" not in nodule_definitions(5.0)


def test_false_positives_then_counted_per_scan():
    results = [lungs("a", columns=3, nodule=False), lungs("b", columns=6)]
    entry = summarise_nodules(results)["false_positives_per_scan_mean"]
    assert (entry["value"], entry["total"], entry["scans_with_any"]) == (0.5, 1, 1)


def test_class_figures_then_a_class_only_where_it_is_known():
    results = [abdomen("a", columns=8), abdomen("b", columns=4, tumour=False)]
    figures = summarise_classes(results, NAMES)
    assert figures["iou_liver_per_volume_mean"]["value"] == 0.75
    assert figures["iou_liver_pooled"]["value"] == 96 / 128
    tumour = figures["iou_liver_tumour_pooled"]
    assert (tumour["value"], tumour["n"], tumour["patients"]) == (0.5, 1, 1)
    of_series = [(1 + 0.5) / 2, 0.5]
    mean = figures["iou_mean_of_classes_per_volume_mean"]["value"]
    assert mean == pytest.approx(np.mean(of_series))
    assert figures["iou_mean_of_classes_pooled"]["value"] == (0.75 + 0.5) / 2
    assert figures["iou_mean_of_classes_pooled"]["n"] == 2


def test_figures_of_nothing_then_undefined_and_without_a_headline():
    for figures in (summarise_nodules([]), summarise_classes([], NAMES)):
        assert all(math.isnan(entry["value"]) for entry in figures.values())
        assert headline(figures) == {}


def test_seed_then_moves_the_interval_and_nothing_else():
    results = [lungs(str(k), columns=k) for k in range(1, 7)]
    names = ("dice_per_nodule_mean", "dice_pooled", "specificity_pooled")
    one, same, other = (summarise_nodules(results, seed=seed) for seed in (1, 1, 2))
    assert [one[name] for name in names] == [same[name] for name in names]
    intervals = [[figures[name]["interval_95"] for name in names] for figures in (one, other)]
    assert intervals[0] != intervals[1]
    assert all(one[name]["value"] == other[name]["value"] for name in names)


def test_counts_then_whole_series_and_those_of_unknown_length():
    lengths = [2, 5, None]
    results = [lungs(str(n), columns=6, slices_in_volume=n, duplicates=1) for n in lengths]
    counted = counts(results, nodules=3)
    assert (counted["patients"], counted["series"], counted["slices"]) == (3, 3, 6)
    assert (counted["series_whole"], counted["series_of_unknown_length"]) == (1, 1)
    assert (counted["duplicate_slices"], counted["nodules"]) == (3, 3)


def test_headline_then_only_named_and_defined_figures():
    figures = summarise_nodules([lungs("a", columns=0)])
    metrics = headline(figures, NODULE_HEADLINES)
    assert metrics.keys() == set(NODULE_HEADLINES) - {"hd95_mm_per_nodule_mean"}


def test_nodule_table_then_value_interval_and_number():
    lines = nodule_table(summarise_nodules([lungs("a", columns=6), lungs("b", columns=2)]))
    row = next(line for line in lines.splitlines() if line.startswith("dice_per_nodule_mean"))
    assert row.split() == ["dice_per_nodule_mean", "0.7500", "0.5000", "-", "1.0000", "2"]
    assert lines.splitlines()[-1].split() == ["dice_per_nodule_over_20_mm_mean", "-", "-", "0"]


def test_class_table_then_a_row_per_class_and_their_mean():
    lines = class_table(summarise_classes([abdomen("a", columns=4)], NAMES), NAMES).splitlines()
    assert [line[:18].strip() for line in lines[1:4]] == [*NAMES[1:], "mean of classes"]
    assert lines[1].split()[1] == "0.5000"
    assert lines[-1] == "pixel accuracy, pooled: 0.8438"


def test_definitions_then_say_the_margin_and_share_what_is_equal():
    assert "grown by 2.5 mm" in nodule_definitions(2.5)["per_nodule"]
    for name in ("pooled", "assd_mm", "hd95_mm", "interval_95"):
        assert nodule_definitions(5.0)[name] == CLASS_DEFINITIONS[name]
