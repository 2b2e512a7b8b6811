from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scripts.phantom.abdomen.build import PHASES, STEADY_HU, draw_body


def test_contrast_medium_lights_arteries_first_then_veins_then_the_renal_pelvis() -> None:
    bodies = {phase: draw_body(np.random.default_rng(4), phase) for phase in PHASES}
    assert max(PHASES, key=lambda phase: bodies[phase].hu("artery")) == "arterial"
    assert max(PHASES, key=lambda phase: bodies[phase].hu("portal_vein")) == "portal"
    assert max(PHASES, key=lambda phase: bodies[phase].hu("renal_pelvis")) == "late"
    assert bodies["native"].hu("artery") == pytest.approx(42)


def test_tissue_without_uptake_then_the_same_in_every_phase() -> None:
    for phase in PHASES:
        body = draw_body(np.random.default_rng(4), phase)
        assert body.hu("fat") == STEADY_HU["fat"]
        assert body.hu("bile") == STEADY_HU["bile"]


def test_bodies_then_vary_within_what_people_have() -> None:
    rng = np.random.default_rng(0)
    bodies = [draw_body(rng, "portal") for _ in range(200)]
    assert all(0.88 <= factor <= 1.12 for body in bodies for factor in body.scale)
    assert np.std([body.fat_mm for body in bodies]) > 3
    fatty = [body for body in bodies if body.fatty_liver_hu]
    assert 0.1 < len(fatty) / len(bodies) < 0.3
    for body in fatty:
        assert body.hu("liver") < replace(body, fatty_liver_hu=0.0).hu("liver") - 9
