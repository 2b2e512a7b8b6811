import numpy as np
import pytest

from scripts.evaluation.class_drawing import (
    COLOURS,
    OPACITY,
    ClassPanel,
    class_grid,
    colour_classes,
)

NAMES = ["background", "liver", "bone"]
WINDOW = (-150.0, 250.0)


@pytest.fixture
def panel():
    image = np.random.default_rng(0).integers(-100, 200, (20, 30))
    manual, ours = np.zeros((2, 20, 30), np.uint8)
    manual[5:10, 5:10], ours[6:11, 5:10], ours[15:18, 20:25] = 1, 1, 2
    return ClassPanel(image, manual, ours, (0.8, 0.7), title="patient", caption="IoU")


def height_of(path):
    return int.from_bytes(path.read_bytes()[20:24], "big")


def test_grid_then_one_row_for_each_slice(panel, tmp_path):
    for count in (1, 3):
        class_grid([panel] * count, tmp_path / f"{count}.png", class_names=NAMES, window_hu=WINDOW)
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
        class_grid(**{**asked, "window_hu": WINDOW, **changes})


def test_panel_of_other_shapes_or_spacing_then_is_refused(panel):
    with pytest.raises(ValueError, match="of one shape"):
        ClassPanel(panel.image_hu, panel.manual[:-1], panel.ours, (1.0, 1.0))
    with pytest.raises(ValueError, match="spacing_mm"):
        ClassPanel(panel.image_hu, panel.manual, panel.ours, (1.0, 0.0))
