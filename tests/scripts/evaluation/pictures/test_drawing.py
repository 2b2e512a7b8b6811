import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from scripts.evaluation.pictures.drawing import (
    DPI,
    FOOT_INCHES,
    PANEL_INCHES,
    Panel,
    check_page,
    draw_legend,
    draw_scale_bar,
    draw_slice,
    lay_out_page,
    mark_directions,
    voxel_edges,
    write_page,
)


def make_panel(**changes):
    mask = np.zeros((20, 30), bool)
    facts = {"image_hu": np.zeros((20, 30)), "ours": mask, "manual": mask, "spacing_mm": (2.0, 0.5)}
    return Panel(**{**facts, **changes})


def test_panel_then_size_in_mm():
    assert make_panel().size_mm == (40.0, 15.0)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"ours": np.zeros((3, 3), bool)}, "ours: must be .* like the image"),
        ({"manual": np.zeros((3, 3), np.uint8)}, "manual: must be"),
        ({"focus": np.zeros((3, 3), bool)}, "focus: must be"),
        ({"spacing_mm": (1.0, 0.0)}, "spacing_mm: must be two numbers above 0"),
    ],
    ids=["ours", "manual", "focus", "spacing"],
)
def test_panel_that_cannot_be_drawn_then_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        make_panel(**changes)


@pytest.mark.parametrize(
    ("panels", "name", "window", "match"),
    [
        (0, "a.png", (-1.0, 1.0), "panels: must not be empty"),
        (1, "a.jpg", (-1.0, 1.0), "must end in .png, got a.jpg"),
        (1, "a.png", (1.0, 1.0), "window_hu: must be low < high"),
    ],
    ids=["no panels", "suffix", "window"],
)
def test_page_that_cannot_be_drawn_then_refused(panels, name, window, match):
    with pytest.raises(ValueError, match=match):
        check_page([make_panel()] * panels, name, window)


def test_page_then_room_for_rows_titles_and_legend(tmp_path):
    figure, grid = lay_out_page(2, 3, width=6, title_inches=0.5, margin=0.1, gap=0.0)
    assert grid.get_geometry() == (2, 3)
    height = 2 * (PANEL_INCHES + 0.5) + FOOT_INCHES
    assert figure.get_figheight() == pytest.approx(height)
    axes = figure.add_subplot(grid[0, 0])
    assert axes.get_position().x0 == pytest.approx(0.1)
    write_page(figure, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[:2] == (int(height * DPI), 6 * DPI)


def test_slice_then_in_mm_and_in_its_window():
    axes = Figure().add_subplot()
    draw_slice(axes, make_panel(), (-100.0, 50.0))
    (image,) = axes.images
    assert image.get_extent() == [0, 15.0, 40.0, 0]
    assert image.get_clim() == (-100.0, 50.0)


def test_voxel_edges_then_surround_the_mask_exactly():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1:4] = True
    edges = voxel_edges(mask)
    assert len(edges) == 10
    assert edges.reshape(-1, 2).min(axis=0).tolist() == [1, 1]
    assert edges.reshape(-1, 2).max(axis=0).tolist() == [4, 3]


@pytest.mark.parametrize(("side", "length"), [(400, 100), (180, 50), (36, 10), (2, 1)])
def test_scale_bar_then_a_round_length_of_at_most_three_tenths(side, length):
    axes = Figure().add_subplot()
    draw_scale_bar(axes, (0.0, side, side, 0.0))
    assert np.ptp(axes.lines[0].get_xdata()) == pytest.approx(length)
    assert axes.texts[0].get_text() == f"{length} mm"


def test_directions_then_the_patients_right_on_the_left_side():
    axes = Figure().add_subplot()
    mark_directions(axes, top="H", bottom="F")
    positions = {text.get_text(): text.get_position() for text in axes.texts}
    assert positions["R"][0] < 0.5 < positions["L"][0]
    assert positions["F"][1] < 0.5 < positions["H"][1]


def test_legend_then_names_the_window_last():
    figure = Figure()
    draw_legend(figure, [Line2D([], [], label="network")], (-160.0, 240.0))
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["network", "grey: -160 to 240 HU"]
