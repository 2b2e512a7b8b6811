"""The main figures in words: Dice never without detections and false positives."""

from scripts.release.headline import groups, headline, with_interval


def entry(value, ends=(0.1, 0.9), n=12, patients=5):
    return {"value": value, "interval_95": list(ends) if ends else None, "n": n} | {
        "patients": patients,
        "interval_reason": None if ends else "one patient",
    }


NODULES = {
    "dice_per_nodule_mean": entry(0.5),
    "dice_per_nodule_under_6_mm_mean": entry(0.4),
    "nodules_detected_share": entry(0.75),
    "false_positives_per_scan_mean": entry(3.5, ends=None, n=4),
}


WHOLE = {"series": 4, "series_whole": 4}


def test_slices_then_false_positives_are_those_on_slices_and_whole_scans_have_a_cpm():
    counts = {"series": 4, "series_whole": 1}
    *_, false = headline({"figures": NODULES, "counts": counts, "froc": {"not_computed": "why"}})
    assert false.startswith("false positives per scan, on the evaluated slices: 3.500")
    froc = {"cpm": 0.75, "cpm_interval_95": [0.7, 0.8]}
    *_, cpm = headline({"figures": NODULES, "counts": WHOLE, "froc": froc})
    assert cpm == "CPM of LUNA16: 0.750 (95 % interval 0.700 to 0.800)"


def test_nodules_then_dice_with_detections_and_false_positives():
    dice, detected, false = headline({"figures": NODULES, "counts": WHOLE}, case="crop")
    assert dice == (
        "Dice per nodule: 0.500 (95 % interval 0.100 to 0.900) (12 nodules of 5 patients)"
    )
    assert detected.startswith("nodules detected: 0.750")
    assert false == (
        "false positives per crop: 3.500 (no interval: one patient) (4 crops of 5 patients)"
    )


def test_classes_then_dice_of_each():
    figures = {
        "dice_liver_per_volume_mean": entry(0.9),
        "dice_liver_pooled": entry(0.8),
        "dice_liver_tumour_per_volume_mean": entry(None, ends=None),
    }
    liver, tumour = headline({"figures": figures})
    assert liver.startswith("Dice of liver: 0.900")
    assert "12 volumes of 5 patients" in liver
    assert tumour.startswith("Dice of liver tumour: undefined")


def test_groups_then_those_with_figures_of_their_own():
    assert groups(NODULES) == ["under_6_mm"]


def test_digits_then_of_value_and_interval():
    assert with_interval(entry(0.12345), digits=1) == "0.1 (95 % interval 0.1 to 0.9)"
