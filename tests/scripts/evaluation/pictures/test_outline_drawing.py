from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from scripts.evaluation.pictures.colours import MANUAL_COLOUR, OURS_COLOUR
from scripts.evaluation.pictures.drawing import Panel
from scripts.evaluation.pictures.outline_drawing import draw_outlines, draw_pair, write_outlines


def make_panel(**changes: Any) -> Panel:
    """Return a body with a lung, in it a nodule annotated and predicted with a shift."""
    y, x = np.mgrid[:96, :128]
    image = np.where((x - 64) ** 2 + (y - 48) ** 2 < 44**2, 40, -1000)
    image = np.where((x - 50) ** 2 + (y - 48) ** 2 < 20**2, -850, image).astype(np.int16)
    manual = (x - 50) ** 2 + (y - 44) ** 2 < 6**2
    image[manual] = 30
    ours = np.roll(manual, 3, axis=1)
    facts = {"image_hu": image, "ours": ours, "manual": manual, "spacing_mm": (0.8, 0.7)}
    return Panel(**{**facts, **changes})


def pixels_of(path: Path, colour: str) -> int:
    """Count the pixels of a picture that have a colour."""
    picture = imread(path)[..., :3]
    return int((np.abs(picture - np.array(to_rgb(colour))).max(axis=-1) < 0.02).sum())


def test_grid_shows_both_outlines(tmp_path: Path) -> None:
    write_outlines([make_panel(title="Best")] * 3, tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png", MANUAL_COLOUR) > 500
    assert pixels_of(tmp_path / "a.png", OURS_COLOUR) > 500
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_grid_grows_with_its_panels_and_columns(tmp_path: Path) -> None:
    for name, panels, columns in (("one", 1, 2), ("three", 3, 2), ("column", 3, 1)):
        write_outlines([make_panel()] * panels, tmp_path / f"{name}.png", columns=columns)
    shapes = {p.stem: imread(p).shape[:2] for p in tmp_path.iterdir()}
    assert shapes["one"][1] == shapes["column"][1] < shapes["three"][1]
    assert shapes["one"][0] < shapes["three"][0] < shapes["column"][0]


def test_picture_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_outlines([make_panel()], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_window_changes_the_grey(tmp_path: Path) -> None:
    write_outlines([make_panel()], tmp_path / "lung.png")
    write_outlines([make_panel()], tmp_path / "soft.png", window_hu=(-160.0, 240.0))
    means = {p.stem: imread(p)[..., :3].mean() for p in tmp_path.iterdir()}
    assert means["lung"] > means["soft"]


def test_picture_without_annotation_or_prediction_is_drawn(tmp_path: Path) -> None:
    nothing = np.zeros((96, 128), bool)
    write_outlines([make_panel(manual=None)], tmp_path / "a.png")
    assert pixels_of(tmp_path / "a.png", MANUAL_COLOUR) == 0
    write_outlines([make_panel(manual=None, ours=nothing)], tmp_path / "b.png")
    write_outlines(
        [make_panel(ours=nothing, image_hu=np.full((96, 128), -1000))], tmp_path / "c.png"
    )


def test_pair_has_marks_scale_bars_and_the_legend() -> None:
    figure = draw_outlines([make_panel(title="Worst: Dice 0.31", caption="nodule 2")])
    whole, zoomed = figure.axes
    texts = [text.get_text() for text in whole.texts]
    assert {"R", "L", "A", "P", "20 mm", "nodule 2"} <= set(texts)
    assert "10 mm" in [text.get_text() for text in zoomed.texts]
    assert whole.get_title(loc="left") == "Worst: Dice 0.31"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["annotation", "network", "grey: -1200 to 200 HU"]
    right = next(text for text in whole.texts if text.get_text() == "R")
    assert right.get_position()[0] < 0.5  # patient's right on the left side


def test_pair_when_a_ct_has_hundreds_of_colours_then_only_those_of_the_slice_are_drawn() -> None:
    ours = np.where(make_panel().ours > 0, 7, 0)
    ours[:4, :4] = 300
    axes = Figure().subplots(1, 2)
    colours = {number: f"#0000{number % 256:02x}" for number in range(1, 301)}
    draw_pair(*axes, make_panel(manual=None, ours=ours), (-1200, 200), colours=colours)
    lines = [one for one in axes[0].collections if isinstance(one, LineCollection)]
    assert [to_hex(one.get_colors()[0]) for one in lines] == [colours[7], colours[300]]


def test_zoom_is_centred_on_the_focus_in_mm() -> None:
    focus = np.zeros((96, 128), bool)
    focus[60:64, 80:84] = True
    axes = draw_outlines([make_panel(focus=focus)]).axes[1]
    assert np.mean(axes.get_xlim()) == pytest.approx(82 * 0.7)
    assert np.mean(axes.get_ylim()) == pytest.approx(62 * 0.8)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # anterior on top


def test_crop_of_a_lesion_without_a_body_then_the_whole_slice_is_shown() -> None:
    y, x = np.mgrid[:50, :60]
    lesion = (x - 35) ** 2 + (y - 25) ** 2 < 8**2
    image = np.where(lesion, 30, -850).astype(np.int16)
    crop = make_panel(image_hu=image, manual=lesion, ours=lesion, spacing_mm=(1.0, 1.0))
    whole = draw_outlines([crop]).axes[0]
    assert whole.get_xlim()[0] <= 0
    assert whole.get_xlim()[1] >= 60
    assert whole.get_ylim()[1] <= 0
    assert whole.get_ylim()[0] >= 50
    body = draw_outlines([make_panel()]).axes[0]  # 88 of 128 columns
    assert body.get_xlim()[0] > 0
    assert body.get_xlim()[1] < 128 * 0.7


@pytest.mark.parametrize(
    ("panels", "name", "window", "match"),
    [
        (0, "a.png", (-1.0, 1.0), "panels: must not be empty"),
        (1, "a.jpg", (-1.0, 1.0), "must end in .png"),
        (1, "a.png", (1.0, 1.0), "window_hu: must be low < high"),
    ],
)
def test_grid_with_bad_arguments_is_refused(
    tmp_path: Path, panels: int, name: str, window: tuple[float, float], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        write_outlines([make_panel()] * panels, tmp_path / name, window_hu=window)
