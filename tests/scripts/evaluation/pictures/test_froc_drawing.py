import numpy as np
from PIL import Image

from scripts.evaluation.figures.froc import Marks, score
from scripts.evaluation.pictures.froc_drawing import draw_froc


def marks(scans):
    generator = np.random.default_rng(0)
    return [
        Marks(tuple(generator.random(2)), tuple(generator.random(5)), candidates=7)
        for _ in range(scans)
    ]


def blues(path):
    """Count the pixels of the curve's colour, and those of the paler band."""
    pixels = np.asarray(Image.open(path).convert("RGB"), int).reshape(-1, 3)
    pale = (pixels[:, 2] > pixels[:, 0] + 20) & (pixels[:, 0] > 150)
    return (pixels == (0x1F, 0x5F, 0xA8)).all(axis=1).sum(), pale.sum()


def test_curve_then_a_readable_picture_and_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        draw_froc(score(marks(9)), tmp_path / f"{name}.png", title="candidates.csv")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    curve, band = blues(tmp_path / "a.png")
    assert curve > 1000
    assert band > 20_000


def test_one_scan_then_a_curve_without_band(tmp_path):
    draw_froc(score(marks(1)), tmp_path / "one.png")
    curve, band = blues(tmp_path / "one.png")
    assert curve > 1000
    assert band < 2000
