"""The pictures of a report show what the figures are, and are written whole."""

import matplotlib.image
import numpy as np

from scripts.study.reporting.drawings import (
    OURS,
    draw_comparison,
    draw_curves,
    draw_same_slices,
    mean_curve,
)
from scripts.study.reporting.results import CaseValue, Result


def result(value):
    cases = [CaseValue(f"p{i}", (str(i),), value, 1.0) for i in range(4)]
    return Result("row", 0, {"Dice": cases})


def columns_of(path, colour):
    """Columns of a picture that hold a colour."""
    rgb = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    wanted = list(bytes.fromhex(colour[1:]))
    return np.flatnonzero((np.abs(rgb - wanted) <= 2).all(axis=-1).any(axis=0))


def test_comparison_then_a_higher_figure_lies_further_right(tmp_path):
    for name, value in (("low", 0.2), ("high", 0.8)):
        rows = {"row": [result(value)]}
        draw_comparison(rows, ["row", "hole"], "Dice", {"row": 0.9}, tmp_path / f"{name}.png")
    low, high = (columns_of(tmp_path / f"{name}.png", OURS).max() for name in ("low", "high"))
    assert high > low + 100


def test_curve_then_the_mean_over_seeds_and_epochs_without_a_value_left_out():
    seeds = [
        [{"epoch": "1", "loss": "1.0"}, {"epoch": "2", "loss": ""}],
        [{"epoch": "1", "loss": "3.0"}, {"epoch": "3", "loss": "5.0"}],
    ]
    assert mean_curve(seeds, "loss") == ([1, 3], [2.0, 5.0])


def test_curves_then_a_picture_and_nothing_else_in_the_folder(tmp_path):
    history = [
        {"epoch": str(k), "stage_epoch": "1", "train_loss": "0.5", "val_dice": "0.1"}
        for k in (1, 2)
    ]
    draw_curves({"BSFT": [history]}, "val_dice", tmp_path / "curves.png")
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    assert matplotlib.image.imread(tmp_path / "curves.png").std() > 0


def test_same_slices_then_drawn_where_there_are_some(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[15:25, 15:25] = 1
    arrays = {
        "hu_0": np.full((40, 40), -700, np.int16),
        "manual_0": mask,
        "pred_0": np.roll(mask, 3, axis=1),
        "spacing_0": np.array([0.7, 0.7]),
        "dice_0": np.array(0.7),
    }
    (tmp_path / "a").mkdir()
    np.savez(tmp_path / "a" / "same_slices.npz", **arrays)
    assert draw_same_slices({"A": tmp_path / "a"}, tmp_path / "slices.png")
    assert (tmp_path / "slices.png").is_file()
    assert not draw_same_slices({"B": tmp_path / "b"}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
