from __future__ import annotations

import numpy as np

from scripts.phantom.build import CONTRAST_HU, TISSUE_HU, draw_build


def builds(count: int = 300) -> list:
    rng = np.random.default_rng(0)
    return [draw_build(rng) for _ in range(count)]


def test_builds_then_vary_within_what_people_have() -> None:
    drawn = builds()
    assert all(0.9 <= factor <= 1.06 for build in drawn for factor in build.scale)
    assert all(4 <= build.fat_mm <= 24 for build in drawn)
    assert 0.35 < np.mean([build.breast_mm > 0 for build in drawn]) < 0.65
    assert 0.1 < np.mean([build.emphysema > 0 for build in drawn]) < 0.3


def test_contrast_medium_then_only_its_tissues_are_brighter() -> None:
    for build in builds(20):
        for tissue, plain in TISSUE_HU.items():
            lit = build.contrast and tissue in CONTRAST_HU
            assert (build.hu(tissue) > plain) is lit
