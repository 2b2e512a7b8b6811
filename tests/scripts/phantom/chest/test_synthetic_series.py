from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.chest.synthetic_series import (
    measure,
    run_backwards,
    series_of,
    series_uid,
    world_geometry,
)
from scripts.phantom.files import Geometry
from scripts.phantom.patient import draw_patient
from scripts.phantom.scanner import draw_protocol

UNIT = Geometry((10.0, 20.0, 30.0), (1, 1, 1), (1.0, 1.0, 2.0))


def test_ball_of_voxels_then_its_centre_volume_and_diameter() -> None:
    z, y, x = np.mgrid[:21, :41, :41]
    mask = (x - 20) ** 2 + (y - 20) ** 2 + (2 * (z - 10)) ** 2 <= 81
    nodule = measure(mask, 3, "solid", UNIT)
    assert nodule.centre_lps_mm == pytest.approx((30, 40, 50))
    assert nodule.diameter_mm == pytest.approx(18, rel=0.03)
    assert nodule.volume_mm3 == mask.sum() * 2
    assert (nodule.id, nodule.kind) == (3, "solid")


def test_array_run_backwards_twice_then_itself() -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    turned = run_backwards(array)
    assert turned[0, 0, 0] == array[0, -1, -1]
    np.testing.assert_array_equal(run_backwards(turned), array)


def test_flipped_scan_then_every_voxel_in_the_same_place() -> None:
    patient = draw_patient(np.random.default_rng(0))
    straight, flipped = (
        draw_protocol(patient, np.random.default_rng(1), slices=20, flipped=each)
        for each in (False, True)
    )
    grid = straight.grid(64)
    first = world_geometry(straight, grid).world(np.array([0, 0, 0]))
    last = world_geometry(flipped, grid).world(np.array([63, 63, 0]))
    np.testing.assert_allclose(first, last, atol=1e-3)


def test_uids_then_one_for_each_patient_and_series_of_a_seed() -> None:
    pairs = [(seed, *pair) for seed in (0, 1) for index in range(7) for pair in series_of(index)]
    assert len({series_uid(*each) for each in pairs}) == len(pairs)
