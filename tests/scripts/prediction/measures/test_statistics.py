"""Figures of balls, boxes and ellipsoids, however the source stores them."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from scripts.prediction.dicom.content import segment_label
from scripts.prediction.measures.statistics import CSV_COLUMNS, measure, write_statistics
from scripts.prediction.result import Segment
from tests.scripts.prediction.shapes import (
    ORDERS,
    abdomen,
    chest,
    ellipsoid,
    lps_affine,
    nodule,
    predict,
)

AFFINE = lps_affine((0.6, 0.8, 1.5), (-20.0, 12.0, -300.0))
SHAPE = (20, 44, 52)
SOME_ORDERS = ORDERS[::5]


def no_hu():
    return np.zeros(SHAPE, np.int16)


def boxed(box, **others):
    mask = np.zeros(SHAPE, np.uint16)
    mask[box] = 1
    return predict(no_hu(), mask, AFFINE, [others.pop("segment", nodule(1))], **others)


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_box_in_any_index_order_then_exact(order):
    found = measure(boxed(np.s_[4:9, 10:11, 20:31], order=order))
    (one,) = found["lesions"]
    assert one["voxels"] == 55
    assert one["volume_mm3"] == pytest.approx(55 * 0.6 * 0.8 * 1.5)
    assert one["longest_axial_diameter_mm"] == pytest.approx(11 * 0.6)
    assert one["perpendicular_axial_diameter_mm"] == pytest.approx(0.8)
    assert one["centre_lps_mm"] == pytest.approx([-20 + 25 * 0.6, 12 + 8, -300 + 9])
    axes, flips = order
    place = axes.index(0)
    middle = 6 if flips[place] == 1 else SHAPE[0] - 1 - 6
    assert one["centre_slice_index_0based"] == middle
    assert one["centre_slice_number_1based"] == middle + 1
    assert one["first_slice_number_1based"] == middle + 1 - 2
    assert one["last_slice_number_1based"] == middle + 1 + 2
    assert found["scan"]["slices"] == SHAPE[0]
    assert found["scan"]["slice_axis_of_source"] == place
    assert found["scan"]["slice_numbers_rise_to"] == ("head" if flips[place] == 1 else "feet")
    for ends in (one["longest_ends_lps_mm"], one["perpendicular_ends_lps_mm"]):
        assert np.mean(ends, axis=0)[:2] == pytest.approx([-5.0, 20.0], abs=3.4)
    assert sorted(x for x, _, _ in one["longest_ends_lps_mm"]) == pytest.approx([-8.3, -1.7])


@pytest.mark.parametrize("order", SOME_ORDERS, ids=str)
def test_ellipsoid_then_within_a_voxel(order):
    centre, radii = (-5.2, 28.1, -285.3), (11.0, 7.0, 9.0)
    mask = ellipsoid(SHAPE, AFFINE, centre, radii).astype(np.uint8)
    (one,) = measure(predict(no_hu(), mask, AFFINE, [nodule(1)], order=order))["lesions"]
    assert one["volume_mm3"] == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.01)
    assert one["centre_lps_mm"] == pytest.approx(centre, abs=0.1)
    assert abs(one["longest_axial_diameter_mm"] - 22) <= 1  # hypot(0.6, 0.8)
    assert abs(one["perpendicular_axial_diameter_mm"] - 14) <= 1
    height = one["last_slice_number_1based"] - one["first_slice_number_1based"] + 1
    assert abs(height * 1.5 - 18) <= 1.5


def test_turned_patient_then_same_sizes_and_the_turned_centre():
    angle = np.radians(10)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    mask = ellipsoid(SHAPE, AFFINE, (-5, 28, -285), (9, 9, 9)).astype(np.uint8)
    straight, turned = (
        measure(predict(no_hu(), mask, affine, [nodule(1)]))["lesions"][0]
        for affine in (AFFINE, turn @ AFFINE)
    )
    same = ("volume_mm3", "longest_axial_diameter_mm", "perpendicular_axial_diameter_mm")
    assert [turned[key] for key in same] == pytest.approx([straight[key] for key in same])
    expected = turn[:3, :3] @ straight["centre_lps_mm"]
    assert turned["centre_lps_mm"] == pytest.approx(expected, abs=1e-3)


def test_density_then_mean_and_population_sd_inside():
    prediction = boxed(np.s_[4:5, 10:11, 20:24])
    prediction.hu[...] = 999
    prediction.hu[4, 10, 20:24] = [10, 20, 30, 60]
    (one,) = measure(prediction)["lesions"]
    assert one["mean_hu"] == 30
    assert one["sd_hu"] == pytest.approx(np.std([10, 20, 30, 60]), abs=1e-4)


@pytest.mark.parametrize("order", SOME_ORDERS, ids=str)
def test_lung_sides_then_the_patients_own_in_any_index_order(order):
    found = measure(chest(order=order))["lesions"]
    assert [one["lung_side"] for one in found] == ["right", "left", "right"]


def test_no_lung_field_then_side_unknown():
    (one,) = measure(boxed(np.s_[4:9, 10:14, 20:31]))["lesions"]
    assert one["lung_side"] == "unknown"


@pytest.mark.parametrize(
    ("kind", "organs", "place"),
    [
        ("lung nodule", ("liver",), ("right", "lower")),
        ("nodule", (), ("right", "lower")),
        ("nodule", ("lung left", "lung_upper_lobe_right"), ("right", "lower")),
        ("nodule", ("lung", "liver"), ("unknown", "unknown")),
        ("liver tumour", (), ("unknown", "unknown")),
        ("lymph nodes", (), ("unknown", "unknown")),
        ("blob", ("thing",), ("unknown", "unknown")),
    ],
)
def test_lesion_below_the_right_lung_then_placed_there_only_if_it_is_of_the_lungs(
    kind, organs, place
):
    drawn = chest(nodules=0)
    mask = ellipsoid(drawn.mask.shape, drawn.affine, (-75, -4, -396), [9] * 3)  # 6 mm below
    segments = [Segment(1, kind, f"{kind} 1", lesion=True)]
    segments += [Segment(number, organ, organ) for number, organ in enumerate(organs, start=2)]
    result = replace(drawn, mask=mask.astype(np.uint8), segments=tuple(segments))
    (one,) = measure(result)["lesions"]
    assert (one["lung_side"], one["lung_third"]) == place
    label = segment_label(segments[0], one)
    assert ("right" in label) is (place[0] == "right")


@pytest.mark.parametrize("order", SOME_ORDERS, ids=str)
def test_organs_then_volume_share_and_where_the_scan_cuts_them_off(order):
    found = measure(abdomen(order=order))
    liver, bone, kidney = found["organs"]
    assert found["lesions"] == []
    assert liver["volume_ml"] == pytest.approx(4 / 3 * np.pi * 5 * 6 * 5, rel=0.02)
    assert (liver["mean_hu"], liver["sd_hu"], liver["touches_edge"]) == (100, 0, [])
    assert sorted(bone["touches_edge"]) == ["feet", "head"]
    assert kidney["volume_ml"] == 0
    assert kidney["mean_hu"] is kidney["sd_hu"] is kidney["largest_component_share"] is None


@pytest.mark.parametrize(
    ("box", "side"),
    [
        (np.s_[:2, 5:9, 5:9], "feet"),
        (np.s_[-2:, 5:9, 5:9], "head"),
        (np.s_[5:9, :2, 5:9], "front"),
        (np.s_[5:9, -2:, 5:9], "back"),
        (np.s_[5:9, 5:9, :2], "right"),
        (np.s_[5:9, 5:9, -2:], "left"),
    ],
)
@pytest.mark.parametrize("order", SOME_ORDERS, ids=str)
def test_organ_at_one_side_of_the_volume_then_that_side_is_named(box, side, order):
    organ = Segment(1, "liver", "liver")
    assert measure(boxed(box, order=order, segment=organ))["organs"][0]["touches_edge"] == [side]


def test_organ_in_pieces_then_share_of_the_largest():
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 2:4, 2:5], mask[10, 10, 10:14] = 1, 1
    organ = Segment(1, "kidney", "kidney")
    (one,) = measure(predict(no_hu(), mask, AFFINE, [organ]))["organs"]
    assert one["largest_component_share"] == 0.75
    assert (one["first_slice_number_1based"], one["last_slice_number_1based"]) == (3, 11)


def test_nodule_without_a_voxel_then_not_listed():
    mask = np.zeros(SHAPE, np.uint8)
    assert measure(predict(no_hu(), mask, AFFINE, [nodule(1)]))["lesions"] == []
    assert measure(predict(no_hu(), mask, AFFINE, []))["organs"] == []


def test_files_then_strict_json_and_a_row_for_each_segment(tmp_path):
    statistics = measure(abdomen())
    write_statistics(statistics, tmp_path / "new")
    text = (tmp_path / "new" / "statistics.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == statistics
    with (tmp_path / "new" / "statistics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["liver", "bone", "kidney"]
    assert tuple(rows[0]) == CSV_COLUMNS
    assert rows[1]["touches_edge"] == "feet head"
    assert (rows[2]["volume_ml"], rows[2]["volume_mm3"], rows[2]["mean_hu"]) == ("0.0", "0.0", "")


def test_rows_of_nodules_then_hold_what_the_json_holds(tmp_path):
    statistics = measure(chest())
    write_statistics(statistics, tmp_path)
    with (tmp_path / "statistics.csv").open() as file:
        row = next(csv.DictReader(file))
    one = statistics["lesions"][0]
    assert float(row["volume_mm3"]) == one["volume_mm3"]
    assert float(row["volume_ml"]) == pytest.approx(one["volume_mm3"] / 1000, abs=1e-4)
    assert float(row["centre_y_lps_mm"]) == one["centre_lps_mm"][1]
    assert int(row["diameter_slice_number_1based"]) == one["diameter_slice_index_0based"] + 1
    assert row["lung_side"] == "right"


def test_no_finding_then_a_header_alone(tmp_path):
    prediction = predict(no_hu(), np.zeros(SHAPE, np.uint8), AFFINE, [])
    write_statistics(measure(prediction), tmp_path)
    assert (tmp_path / "statistics.csv").read_text() == ",".join(CSV_COLUMNS) + "\n"


def test_several_members_then_their_agreement_in_the_file_and_in_every_row(tmp_path):
    record = {"members": ["a", "b"], "mean_pairwise_dice": 0.5, "dice": {"nodule": 0.5}}
    drawn = chest()
    segments = tuple(replace(one, members_share=0.5) for one in drawn.segments)
    statistics = measure(replace(drawn, segments=segments, facts={"agreement": record}))
    assert statistics["agreement"] == record
    assert {one["members_share"] for one in statistics["lesions"]} == {0.5}
    assert "agreement" in statistics["definitions"]
    write_statistics(statistics, tmp_path)
    with (tmp_path / "statistics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["members_share"], row["members_dice"]) for row in rows} == {("0.5", "0.5")}
    alone = measure(drawn)
    assert "agreement" not in {**alone, **alone["definitions"]}
    assert "members_share" not in alone["lesions"][0]
