"""A patient of the abdomen phantom, and the protocol of its scan: field of view, slices, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.phantom.abdomen.build import PHASES, Body, draw_body
from scripts.phantom.abdomen.organs import Organs, draw_organs
from scripts.phantom.abdomen.torso import Torso, draw_torso
from scripts.phantom.abdomen.vessels import draw_great_vessels, draw_liver_vessels
from scripts.phantom.branching import Tree
from scripts.phantom.mediastinum import Tube
from scripts.phantom.parenchyma import draw_field
from scripts.phantom.scanner import Protocol
from scripts.phantom.solids import Array, Grid

FIELDS = {"ripple": (9.0, 2.2), "bowel": (6.0, 1.6), "mottle": (4.5, 0.7)}  # step in mm, smoothness
SPACINGS_Z_MM = (1.0, 1.25, 1.6, 2.0, 2.5, 4.0)
SPACING_SHARES = (0.1, 0.2, 0.25, 0.25, 0.1, 0.1)
PIXELS_MM = (0.56, 0.96)  # of an image of 512 x 512
TOP_MM, BOTTOM_MM = 104.0, -118.0
MIDDLE_MM = 8.0  # of scans too short for the whole: shows liver and kidneys
LIVER_MM = (-45.0, 84.0)


@dataclass(frozen=True)
class Patient:
    """The anatomy of one patient, independent of the scan protocol."""

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


def draw_protocol(
    patient: Patient, rng: np.random.Generator, *, slices: int | None = None
) -> Protocol:
    """Draw the protocol of a patient's scan.

    With ``slices`` given, their distance is chosen to cover the upper abdomen, within 1 to 4 mm;
    too few slices for that show an excerpt around the hilum of the liver.
    """
    scale = patient.body.scale[2]
    top, bottom = TOP_MM * scale, (BOTTOM_MM - float(rng.uniform(0, 40))) * scale
    spacing = float(rng.choice(SPACINGS_Z_MM, p=SPACING_SHARES))
    if slices is not None:
        spacing = round(float(np.clip((top - bottom) / slices, 1.0, 4.0)), 2)
    count = slices if slices is not None else int((top - bottom) / spacing) + 1
    extent = (count - 1) * spacing
    covers = extent > 0.95 * (top - bottom - spacing)
    middle = 0.5 * (top + bottom) if covers else MIDDLE_MM * scale
    width = float(2 * np.median(patient.torso.skin[:, 0])) * float(rng.uniform(1.02, 1.12))
    pixel = round(float(np.clip(width / 512, *PIXELS_MM)), 3)
    return Protocol(
        field_mm=pixel * 512,
        spacing_z_mm=spacing,
        slices=count,
        start_mm=middle - 0.5 * extent,
        centre_mm=(float(rng.normal(0, 3)), float(rng.normal(2, 3))),
        origin_mm=tuple(np.round(rng.uniform((-25, -60, -350), (25, 190, -50)), 1).tolist()),
        flipped=False,
        noise_hu=float(np.clip(rng.lognormal(np.log(14.0), 0.3), 8.0, 28.0)),
        sharpness=float(rng.uniform(0.3, 0.45)),
        padded=False,
    )


def liver_heights(grid: Grid) -> tuple[float, float]:
    """Return the range of heights at which liver lesions are well inside the scan."""
    low, high = LIVER_MM
    margin = 8.0
    return max(low, float(grid.z[0]) + margin), min(high, float(grid.z[-1]) - margin)
