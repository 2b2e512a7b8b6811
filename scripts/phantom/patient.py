"""A patient of the chest phantom: anatomy, independent of the scan protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.phantom.branching import Tree, draw_bronchi, draw_vessels
from scripts.phantom.build import Build, draw_build
from scripts.phantom.mediastinum import Mediastinum, draw_mediastinum
from scripts.phantom.outlines import Outlines, draw_outlines
from scripts.phantom.parenchyma import draw_texture
from scripts.phantom.skeleton import rib_tables
from scripts.phantom.solids import Array


@dataclass(frozen=True)
class Patient:
    """The anatomy of one patient's chest, independent of the scan protocol."""

    build: Build
    outlines: Outlines
    organs: Mediastinum
    vessels: Tree
    bronchi: Tree
    ribs: tuple[Array, Array]
    texture: Array


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient's chest."""
    build = draw_build(rng)
    organs = draw_mediastinum(build, rng)
    outlines = draw_outlines(build, organs, rng)
    ribs = rib_tables(outlines, rng)
    vessels, bronchi = draw_vessels(outlines, rng), draw_bronchi(outlines, rng)
    return Patient(build, outlines, organs, vessels, bronchi, ribs, draw_texture(build, rng))
