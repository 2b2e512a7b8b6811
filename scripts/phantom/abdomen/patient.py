"""A patient of the abdomen phantom: everything that does not depend on how it is scanned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.phantom.abdomen.build import PHASES, Body, draw_body
from scripts.phantom.abdomen.organs import Organs, draw_organs
from scripts.phantom.abdomen.shapes import draw_field
from scripts.phantom.abdomen.torso import Torso, draw_torso
from scripts.phantom.abdomen.vessels import draw_great_vessels, draw_liver_vessels
from scripts.phantom.branching import Tree
from scripts.phantom.mediastinum import Tube
from scripts.phantom.solids import Array

FIELDS = {"ripple": (9.0, 2.2), "bowel": (6.0, 1.6), "mottle": (4.5, 0.7)}  # step in mm, smoothness


@dataclass(frozen=True)
class Patient:
    """Everything about one patient that does not depend on how it is scanned."""

    body: Body
    torso: Torso
    organs: Organs
    vessels: tuple[Tube, ...]
    trees: tuple[tuple[str, Tree], ...]
    fields: dict[str, Array]


def draw_patient(rng: np.random.Generator, phase: str) -> Patient:
    """Draw a patient's abdomen in one phase of contrast medium.

    Raises:
        ValueError: for an unknown phase.
    """
    if phase not in PHASES:
        raise ValueError(f"phase must be one of {', '.join(PHASES)}, got {phase!r}")
    body = draw_body(rng, phase)
    torso = draw_torso(body, rng)
    organs = draw_organs(body, rng)
    vessels = draw_great_vessels(body, rng)
    trees = draw_liver_vessels(organs, torso, rng)
    fields = {name: draw_field(rng, *numbers) for name, numbers in FIELDS.items()}
    return Patient(body, torso, organs, vessels, trees, fields)
