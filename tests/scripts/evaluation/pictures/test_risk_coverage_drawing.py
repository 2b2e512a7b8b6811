import numpy as np
from PIL import Image

from scripts.evaluation.figures.risk_coverage import RiskCoverage
from scripts.evaluation.pictures.risk_coverage_drawing import draw_risk_coverage

FOUND = RiskCoverage([0.9, 0.8, 0.3], [0.1, 0.2, 0.9], ["a", "b", "c"])


def test_curve_then_a_readable_picture_and_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        draw_risk_coverage(FOUND, tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (pixels.reshape(-1, 3) == (0x1F, 0x5F, 0xA8)).all(axis=1).sum() > 500


def test_limit_then_drawn_beside_the_cases(tmp_path):
    draw_risk_coverage(FOUND, tmp_path / "without.png")
    draw_risk_coverage(FOUND, tmp_path / "with.png", limit=0.5)
    greys = []
    for name in ("without", "with"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        half = pixels[:, pixels.shape[1] // 2 :].reshape(-1, 3)
        greys.append((half == (0x77, 0x77, 0x77)).all(axis=1).sum())
    assert greys[1] > greys[0] + 100
