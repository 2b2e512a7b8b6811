import math

import pytest

from scripts.datasets.ratings import RATINGS
from scripts.evaluation.readers.reader_figures import (
    figures_of,
    grouped,
    labels,
    rating,
    several_series,
    text_of,
)


def row(number, *, listed=True, readers=4, dice=0.8, size="6_to_10_mm", votes=(9, 6, 3, 0), **more):
    known = {"series_uid": f"1.{number}", "patient": f"P{number}", "nodule": 1}
    known |= {"listed": listed, "readers": readers, "size_group": size, "texture_group": "solid"}
    known |= {f"voxels_ge{n}": count for n, count in enumerate(votes, start=1)}
    known |= {"readers_dice": dice, "ball_dice": (dice or 0) / 2}
    known["ball_volume_ratio"] = 2 * (dice or 0)
    return {**known, **dict.fromkeys(RATINGS, "3|4"), **more}


LOST = {"series_uid": "1.9", "patient": "P9", "nodule": None, "listed": True, "readers": 0}


def test_labels_then_what_each_keeps_loses_and_has_besides():
    rows = [row(1), row(2, votes=(9, 6, 3, 1)), row(3, listed=False, votes=(9, 1, 0, 0)), LOST]
    assert labels(rows) == {
        "ball": {"listed": 3, "lost": 0, "not_listed": 0},
        "readers_1": {"listed": 2, "lost": 1, "not_listed": 1},
        "readers_2": {"listed": 2, "lost": 1, "not_listed": 1},
        "readers_3": {"listed": 2, "lost": 1, "not_listed": 0},
        "readers_4": {"listed": 1, "lost": 2, "not_listed": 0},
    }


def test_means_then_by_size_and_texture_with_patients():
    rows = [row(1, dice=0.6), row(2, dice=0.8), row(3, dice=None, size="over_20_mm")]
    figures = grouped(rows, "readers_dice", 0)
    assert figures["6_to_10_mm"]["value"] == pytest.approx(0.7)
    assert (figures["all"]["n"], figures["all"]["patients"]) == (2, 2)
    assert figures["solid"]["value"] == pytest.approx(0.7)
    assert math.isnan(figures["ground_glass"]["value"])
    assert figures["over_20_mm"]["n"] == 0


def test_rating_then_counts_and_difference_of_two_readers():
    rows = [{"margin": "1|1|4"}, {"margin": "5"}, {"margin": ""}]
    found = rating(rows, "margin")
    assert found["counts"] == {"1": 2, "2": 0, "3": 0, "4": 1, "5": 1}
    assert found["mean_difference_of_two_readers"] == 2.0
    assert found["share_of_pairs_within_one"] == pytest.approx(1 / 3, abs=1e-4)


def test_figures_then_of_listed_nodules_with_outlines_only():
    rows = [
        row(1, position="header", shift_error_mm=0.4),
        row(2, dice=0.4, position="shifted"),
        row(3, listed=False, dice=0.1),
        LOST,
    ]
    pairs = [{**row(k, dice=0.5), "dice": value} for k, value in ((1, 0.9), (2, 0.5), (3, 0.0))]
    figures = figures_of(rows, pairs)
    assert figures["readers_dice"]["all"]["value"] == pytest.approx(0.6)
    assert figures["pairs_dice"]["all"]["value"] == pytest.approx(0.7)
    assert figures["ball_dice"]["all"]["value"] == pytest.approx(0.3)
    assert figures["ball_dice_where_the_position_is_known"]["all"]["n"] == 1
    assert figures["ball_volume_ratio"]["all"]["median"] == pytest.approx(1.2)
    assert figures["shift_error_mm"] == {"median": 0.4, "percentile_95": 0.4, "n": 1}
    assert figures["readers_of_listed"] == {0: 1, 4: 2}
    assert figures["texture_of_listed"] == {"solid": 2, "-": 1}
    shown = text_of(figures)
    assert "6 to 10 mm          0.600      2    0.300" in shown
    assert "label readers_2: listed 2, lost 1, not_listed 1" in shown


def test_patients_with_several_series_then_those_alone():
    assert several_series({"1.2": "A", "1.1": "A", "1.3": "B"}) == {"A": ["1.1", "1.2"]}
