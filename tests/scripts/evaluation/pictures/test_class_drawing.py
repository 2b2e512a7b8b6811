import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from scripts.evaluation.pictures import class_drawing
from scripts.evaluation.pictures.class_drawing import (
    COLUMNS,
    OPACITY,
    colour_classes,
    draw_classes,
    write_classes,
)
from scripts.evaluation.pictures.colours import COLOURS
from scripts.evaluation.pictures.drawing import Panel

NAMES = ["background", "liver", "bone"]
WINDOW = (-150.0, 250.0)


@pytest.fixture
def panel():
    image = np.random.default_rng(0).integers(-100, 200, (20, 30))
    manual, ours = np.zeros((2, 20, 30), np.uint8)
    manual[5:10, 5:10], ours[6:11, 5:10], ours[15:18, 20:25] = 1, 1, 2
    return Panel(image, ours, manual, (0.8, 0.7), title="patient", caption="IoU")


def height_of(path):
    return int.from_bytes(path.read_bytes()[20:24], "big")


def test_grid_then_one_row_for_each_slice(panel, tmp_path):
    for count in (1, 3):
        write_classes(
            [panel] * count, tmp_path / f"{count}.png", class_names=NAMES, window_hu=WINDOW
        )
    assert height_of(tmp_path / "3.png") > 2 * height_of(tmp_path / "1.png")


def test_background_then_stays_clear_and_each_class_has_its_own_colour():
    colours = colour_classes(np.array([[0, 1, 2]], np.uint8))[0]
    assert colours[:, 3].tolist() == [0, OPACITY, OPACITY]
    assert not np.array_equal(colours[1], colours[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"panels": []}, "panels: must not be empty"),
        ({"path": "a.jpg"}, "must end in .png"),
        ({"window_hu": (5.0, 5.0)}, "must be low < high"),
        ({"class_names": ["background"]}, f"must be 2 to {len(COLOURS) + 1}"),
    ],
    ids=["no panels", "suffix", "window", "classes"],
)
def test_grid_of_what_cannot_be_drawn_then_is_refused(panel, tmp_path, changes, message):
    asked = {"panels": [panel], "path": tmp_path / "a.png", "class_names": NAMES}
    with pytest.raises(ValueError, match=message):
        write_classes(**{**asked, "window_hu": WINDOW, **changes})


def test_classes_then_coloured_and_outlined_over_the_ct(panel):
    axes = Figure().add_subplot()
    draw_classes(axes, panel, panel.ours, WINDOW)
    assert len(axes.images) == 2
    assert [to_hex(lines.get_edgecolor()[0]) for lines in axes.collections] == [
        colour.lower() for colour in COLOURS[:2]
    ]
    bare = Figure().add_subplot()
    draw_classes(bare, panel, None, WINDOW)
    assert len(bare.images) == 1


def test_grid_then_names_columns_and_classes(panel, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(class_drawing, "write_page", lambda figure, path: figures.append(figure))
    write_classes([panel], tmp_path / "a.png", class_names=NAMES, window_hu=WINDOW)
    titles = [axes.get_title(loc="left") for axes in figures[0].axes]
    assert titles == ["patient", *COLUMNS[1:]]
    names = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert names[:2] == NAMES[1:]
