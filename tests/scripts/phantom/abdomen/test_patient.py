from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.abdomen.patient import draw_patient, draw_protocol, liver_heights


def test_unknown_phase_is_refused() -> None:
    with pytest.raises(ValueError, match="phase must be one of native, arterial.*got 'venous'"):
        draw_patient(np.random.default_rng(0), "venous")


@pytest.mark.parametrize("slices", [None, 24, 60, 300])
def test_scan_has_the_geometry_of_the_data_set_and_shows_the_liver(slices: int | None) -> None:
    patient = draw_patient(np.random.default_rng(3), "portal")
    protocol = draw_protocol(patient, np.random.default_rng(3), slices=slices)
    assert 0.56 <= protocol.field_mm / 512 <= 0.96
    assert 1.0 <= protocol.spacing_z_mm <= 4.0
    assert slices in (None, protocol.slices)
    low, high = liver_heights(protocol.grid(64))
    assert high - low > 40
    assert protocol.grid(64).z[0] < low < high < protocol.grid(64).z[-1]


def test_same_stream_then_the_same_patient_and_another_stream_another() -> None:
    first, again, other = (
        draw_patient(np.random.default_rng(seed), "portal") for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.torso.skin, again.torso.skin)
    np.testing.assert_array_equal(first.trees[1][1].ends, again.trees[1][1].ends)
    assert not np.array_equal(first.torso.skin, other.torso.skin)
