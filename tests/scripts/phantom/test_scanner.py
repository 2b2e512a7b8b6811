from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scripts.phantom.patient import Patient, draw_patient
from scripts.phantom.scanner import (
    PADDING_HU,
    Protocol,
    draw_protocol,
    noise,
    noise_spectrum,
    round_field,
    scan,
)


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(np.random.default_rng(0))


def make_protocol(patient: Patient, **changes: object) -> Protocol:
    drawn = draw_protocol(patient, np.random.default_rng(0), slices=20, flipped=False)
    return replace(drawn, **changes)  # type: ignore[arg-type]


def test_protocols_vary_within_what_luna16_has(patient: Patient) -> None:
    drawn = [
        draw_protocol(patient, np.random.default_rng(seed), slices=None, flipped=False)
        for seed in range(60)
    ]
    assert {p.spacing_z_mm for p in drawn} >= {1.25, 2.5}
    assert all(0.7 <= p.spacing_z_mm <= 2.5 and 330 <= p.field_mm <= 380 for p in drawn)
    assert {p.padded for p in drawn} == {True, False}
    low, high = patient.outlines.extent_mm
    for protocol in drawn:
        assert protocol.start_mm <= low
        assert protocol.start_mm + protocol.slices * protocol.spacing_z_mm >= high


@pytest.mark.parametrize(("slices", "spacing"), [(20, 2.5), (600, 0.7)])
def test_slices_asked_for_are_given_at_a_real_spacing(
    patient: Patient, slices: int, spacing: float
) -> None:
    protocol = draw_protocol(patient, np.random.default_rng(0), slices=slices, flipped=False)
    assert (protocol.slices, protocol.spacing_z_mm) == (slices, spacing)


def test_slices_that_cover_the_chest_spread_over_it(patient: Patient) -> None:
    protocol = draw_protocol(patient, np.random.default_rng(0), slices=150, flipped=False)
    low, high = patient.outlines.extent_mm
    assert 1.0 < protocol.spacing_z_mm < 2.5
    assert protocol.start_mm + 149 * protocol.spacing_z_mm >= high
    assert protocol.start_mm <= low


def test_field_of_view_does_not_depend_on_the_size(patient: Patient) -> None:
    protocol = make_protocol(patient)
    for size in (64, 512):
        grid = protocol.grid(size)
        assert grid.spacing_mm[0] * size == pytest.approx(protocol.field_mm)
        assert grid.x.mean() == pytest.approx(protocol.centre_mm[0], abs=0.01)


def test_padding_fills_the_corners_only_where_asked(patient: Patient) -> None:
    grid = make_protocol(patient).grid(64)
    clean = np.full(grid.shape, -1000.0, dtype=np.float32)
    rng = np.random.default_rng(0)
    padded = scan(clean, grid, make_protocol(patient, padded=True), rng)
    plain = scan(clean, grid, make_protocol(patient, padded=False), rng)
    assert (padded[:, ~round_field(64)] == PADDING_HU).all()
    assert padded[:, round_field(64)].min() >= -1024
    assert plain.min() >= -1024


def test_noise_has_the_strength_asked_for_and_is_correlated(patient: Patient) -> None:
    grid = make_protocol(patient).grid(256)
    clean = np.zeros(grid.shape, dtype=np.float32)
    for level in (10.0, 30.0):
        protocol = make_protocol(patient, noise_hu=level, padded=False)
        middle = scan(clean, grid, protocol, np.random.default_rng(0))[:, 108:148, 108:148]
        assert middle.std() == pytest.approx(1.08 * level, rel=0.1)


def test_noise_then_of_complex_waves_with_the_spectrum_as_their_amplitude() -> None:
    spectrum = noise_spectrum(16, 0.7, 0.4)
    drawn = noise(spectrum, np.random.default_rng(3))
    parts = np.random.default_rng(3).standard_normal((2, 16, 9), dtype=np.float32)
    waves = (parts[0] + 1j * parts[1]) * spectrum * (16 * 16 / np.sqrt(2))
    assert np.allclose(drawn, np.fft.irfft2(waves, s=(16, 16)), atol=1e-5)


def test_noise_grain_follows_the_kernel() -> None:
    rng = np.random.default_rng(0)
    soft = noise(noise_spectrum(256, 0.7, 0.3), rng)
    sharp = noise(noise_spectrum(256, 0.7, 0.5), rng)
    neighbours = [float(np.mean(n[:, 1:] * n[:, :-1]) / n.var()) for n in (soft, sharp)]
    assert soft.std() == pytest.approx(1.0, rel=0.05)
    assert neighbours[0] > neighbours[1] > 0.1
