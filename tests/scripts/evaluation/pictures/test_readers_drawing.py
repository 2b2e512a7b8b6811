import matplotlib.image
import numpy as np

from scripts.evaluation.pictures.readers_drawing import BALL, READERS, draw_readers


def rows(*dice):
    return [
        {
            **{"listed": True, "readers": 2, "size_group": "6_to_10_mm"},
            **{"readers_dice": value, "ball_dice": value / 2, "ball_volume_ratio": 1 + value},
            "luna16_diameter_mm": 8.0,
        }
        for value in dice
    ]


def pixels_of(path, colour):
    picture = matplotlib.image.imread(path)[..., :3]
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return int((np.abs(picture - wanted).max(axis=-1) < 0.02).sum())


def test_picture_then_boxes_of_readers_and_balls_where_there_are_nodules(tmp_path):
    draw_readers(rows(0.7, 0.8, 0.9), tmp_path / "a.png")
    draw_readers([], tmp_path / "none.png")
    for colour in (READERS, BALL):
        assert pixels_of(tmp_path / "a.png", colour) > 500
        assert pixels_of(tmp_path / "none.png", colour) == 0
