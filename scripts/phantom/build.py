"""Body proportions and tissue of one phantom patient, before any disease."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Radiodensity in HU; blood and organs vary with contrast medium, lungs with depth.
TISSUE_HU = {
    "air": -1000.0,
    "fat": -102.0,
    "skin": 20.0,
    "muscle": 52.0,
    "cortical_bone": 820.0,
    "spongy_bone": 210.0,
    "cartilage": 110.0,
    "disc": 85.0,
    "cord": 35.0,
    "heart_muscle": 50.0,
    "blood": 42.0,
    "liver": 58.0,
    "spleen": 50.0,
    "stomach": 25.0,
    "airway_wall": -20.0,
    "couch_shell": -420.0,
    "couch_foam": -935.0,
}
CONTRAST_HU = {"blood": 165.0, "heart_muscle": 95.0, "liver": 92.0, "spleen": 112.0}


@dataclass(frozen=True)
class Build:
    """Proportions and tissue of one patient.

    Args:
        scale: factors of the standard chest along x, y, z.
        fat_mm: thickness of the fat under the skin at the side.
        breast_mm: height of a breast above the chest wall.
        contrast: whether contrast medium was given.
        lung_hu: mean HU of the lung tissue.
        gravity_hu_per_mm: increase of the lung's HU towards the back.
        emphysema: share of the upper lung that is destroyed, 0 for most patients.
        wobble: amplitudes (3,) in mm of the slow irregularities of the outlines.
    """

    scale: tuple[float, float, float]
    fat_mm: float
    breast_mm: float
    contrast: bool
    lung_hu: float
    gravity_hu_per_mm: float
    emphysema: float
    wobble: tuple[float, float, float]

    def hu(self, tissue: str) -> float:
        """Radiodensity of a tissue in this patient, in HU."""
        return (CONTRAST_HU if self.contrast else {}).get(tissue, TISSUE_HU[tissue])


def draw_build(rng: np.random.Generator) -> Build:
    """Draw a patient's build."""
    size = rng.normal(0.98, 0.03)
    scale = np.clip(size * rng.normal(1.0, 0.025, 3), 0.9, 1.06)
    woman = bool(rng.random() < 0.5)
    return Build(
        scale=(float(scale[0]), float(scale[1]), float(scale[2])),
        fat_mm=float(np.clip(rng.gamma(4.0, 3.0), 4.0, 24.0)),
        breast_mm=float(rng.uniform(14.0, 34.0)) if woman else 0.0,
        contrast=bool(rng.random() < 0.5),
        lung_hu=float(rng.uniform(-885.0, -845.0)),
        gravity_hu_per_mm=float(rng.uniform(0.2, 0.5)),
        emphysema=float(rng.uniform(0.05, 0.3)) if rng.random() < 0.2 else 0.0,
        wobble=(
            float(rng.uniform(1.5, 3.0)),
            float(rng.uniform(0.8, 2.0)),
            float(rng.uniform(2.0, 4.5)),
        ),
    )
