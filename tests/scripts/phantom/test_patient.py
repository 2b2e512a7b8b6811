from __future__ import annotations

import numpy as np

from scripts.phantom.patient import draw_patient


def test_same_stream_draws_the_same_patient() -> None:
    patient, again = (draw_patient(np.random.default_rng(3)) for _ in range(2))
    assert again.build == patient.build
    np.testing.assert_array_equal(again.vessels.ends, patient.vessels.ends)
    np.testing.assert_array_equal(again.texture, patient.texture)


def test_another_stream_then_another_patient() -> None:
    first, other = (draw_patient(np.random.default_rng(seed)) for seed in (3, 4))
    assert first.build != other.build
    assert not np.array_equal(first.outlines.skin, other.outlines.skin)
