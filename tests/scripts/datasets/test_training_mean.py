import json

import pytest

from scripts.datasets.datalist import training_mean

MEAN = {"hu": -460.0, "windowed": 0.19, "window_hu": [-150.0, 250.0], "outside_window": "clip"}


@pytest.fixture
def write(tmp_path):
    def write(**content):
        sections = {"training": [], "validation": [], "test": []}
        path = tmp_path / "datalist.json"
        path.write_text(json.dumps({**sections, **content}))
        return path

    return write


def test_mean_then_is_that_of_the_windowed_images(write):
    assert training_mean(write(training_mean=MEAN), [-150, 250]) == 0.19


@pytest.mark.parametrize(
    ("window", "outside"), [([-200, 250], "clip"), ([-150, 250], "zero")], ids=["window", "outside"]
)
def test_mean_of_another_window_then_is_refused(write, window, outside):
    with pytest.raises(ValueError, match=r"mean after the window \[-150.0, 250.0, 'clip'\]"):
        training_mean(write(training_mean=MEAN), window, outside_window=outside)


def test_datalist_without_a_mean_then_is_refused(write):
    with pytest.raises(ValueError, match="no mean of the training images; prepare again"):
        training_mean(write(), [-150, 250])
