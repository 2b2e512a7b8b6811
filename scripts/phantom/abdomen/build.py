"""Body proportions of the abdomen, and HU of each tissue in each phase of contrast medium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.phantom.build import TISSUE_HU, Build

PHASES = ("native", "arterial", "portal", "late")
# HU in the four phases; tissues without uptake of contrast medium are in STEADY_HU
PHASE_HU: dict[str, tuple[float, float, float, float]] = {
    "muscle": (52, 56, 62, 64),
    "artery": (42, 300, 165, 120),
    "cava": (40, 75, 145, 120),
    "portal_vein": (42, 130, 178, 125),
    "hepatic_vein": (42, 58, 166, 122),
    "liver": (58, 70, 108, 94),
    "spleen": (48, 118, 124, 100),
    "cortex": (33, 172, 188, 152),
    "medulla": (31, 62, 142, 156),
    "renal_pelvis": (8, 8, 14, 260),
    "pancreas": (40, 100, 86, 74),
    "bowel_wall": (42, 74, 84, 76),
    "heart": (45, 190, 140, 112),
    "metastasis": (38, 44, 58, 62),
    "carcinoma": (46, 128, 92, 74),
}
STEADY_HU = {
    **TISSUE_HU,
    "fat": -104.0,
    "lung": -850.0,
    "bile": 8.0,
    "cyst": 6.0,
    "fluid": 18.0,
    "faeces": 5.0,
    "gas": -960.0,
    "necrosis": 28.0,
}


@dataclass(frozen=True)
class Body:
    """Proportions of one patient's abdomen and the phase of the contrast medium.

    Args:
        scale: factors of the standard abdomen along x, y, z.
        fat_mm: thickness of the fat under the skin at the side.
        inner_fat: 0 to 1, how much fat lies between the organs.
        phase: one of :data:`PHASES`.
        uptake: factor of the enhancement by contrast medium.
        fatty_liver_hu: reduction of the liver's HU by fat.
        wobble_mm: amplitude of the slow irregularity of the outlines.
    """

    scale: tuple[float, float, float]
    fat_mm: float
    inner_fat: float
    phase: str
    uptake: float
    fatty_liver_hu: float
    wobble_mm: float

    def hu(self, tissue: str) -> float:
        """Radiodensity of a tissue in this patient, in HU."""
        if tissue not in PHASE_HU:
            return STEADY_HU[tissue]
        values = PHASE_HU[tissue]
        value = values[0] + self.uptake * (values[PHASES.index(self.phase)] - values[0])
        return value - self.fatty_liver_hu if tissue == "liver" else value

    def skeleton(self) -> Build:
        """The build by which the chest's spine and ribs are drawn here: lumbar, larger."""
        x, y, z = self.scale
        return Build(
            scale=(1.22 * x, 1.1 * y, 1.38 * z),
            fat_mm=self.fat_mm,
            breast_mm=0.0,
            contrast=False,
            lung_hu=STEADY_HU["lung"],
            gravity_hu_per_mm=0.0,
            emphysema=0.0,
            wobble=(0.0, 0.0, 0.0),
        )


def draw_body(rng: np.random.Generator, phase: str) -> Body:
    """Draw a patient's build."""
    size = rng.normal(1.0, 0.04)
    scale = np.clip(size * rng.normal(1.0, 0.03, 3), 0.88, 1.12)
    fat = float(np.clip(rng.gamma(3.5, 4.0), 5.0, 34.0))
    return Body(
        scale=(float(scale[0]), float(scale[1]), float(scale[2])),
        fat_mm=fat,
        inner_fat=float(np.clip(0.25 + 0.02 * fat + rng.normal(0, 0.12), 0.1, 1.0)),
        phase=phase,
        uptake=float(rng.uniform(0.85, 1.12)),
        fatty_liver_hu=float(rng.uniform(10.0, 30.0)) if rng.random() < 0.2 else 0.0,
        wobble_mm=float(rng.uniform(1.0, 2.5)),
    )
