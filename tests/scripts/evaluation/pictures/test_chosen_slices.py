import logging

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from ignite.engine import Engine

from scripts.evaluation.kinds import Classes, Instances
from scripts.evaluation.pictures.chosen_slices import EvaluationPictures, choose_ranks, read_hu

NAMES = ["background", "liver", "bone"]


def stack(folder):
    """Write three slices of HU."""
    path = folder / "image.npy"
    np.save(path, np.arange(3 * 40 * 40, dtype=np.int16).reshape(3, 40, 40) - 1000)
    return path


def run(folder, *samples, kind=None, **options):
    """Evaluate slices of one series with a real engine; return the folder of results."""
    facts = {"image": str(stack(folder)), "rows": [0, 1, 2], "class_known": [True] * 3}
    facts |= {"series_uid": "1.2.3", "patient_id": "a", "spacing_mm": [1.0, 1.0, 2.0]}
    cases = [{**facts, "slice": 7 + k} for k in range(len(samples))]
    engine = Engine(lambda _, batch: batch)
    kind = kind or Instances()
    EvaluationPictures(cases, folder / "out", kind=kind, **options).attach(engine)
    engine.run([[{**sample, "case": k} for k, sample in enumerate(samples)]])
    return folder / "out"


def sample(nodules):
    """Nodules one below the other, which are also the classes; the first is predicted."""
    instances = torch.zeros(1, 40, 40)
    for number in range(nodules):
        instances[0, 10 * number : 10 * number + 6, 4:10] = number + 1
    pred = torch.zeros(1, 40, 40)
    pred[0, 0:6, 4:9] = 1 if nodules else 0
    return {"pred": pred, "instances": instances, "annotation": instances}


@pytest.fixture
def drawn(monkeypatch):
    """Panels that would be drawn, and the window."""
    calls = []

    def draw(self, panels, path, *, window_hu):
        calls.append((list(panels), path.name, window_hu))

    monkeypatch.setattr(Instances, "draw", draw)
    monkeypatch.setattr(Classes, "draw", draw)
    return calls


@pytest.mark.parametrize(
    ("kind", "name"), [(Instances(), "overlays.png"), (Classes(NAMES), "pictures.png")]
)
def test_pictures_then_one_file_at_the_end(tmp_path, kind, name):
    out = run(tmp_path, sample(2), kind=kind)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 2, 9])
def test_count_then_limits_the_panels(tmp_path, drawn, count):
    run(tmp_path, sample(3), count=count)
    assert len(drawn[0][0]) == min(count, 3)


def test_slices_asked_for_then_these_in_this_order(tmp_path, drawn):
    samples = [sample(2), sample(1), sample(0)]
    run(tmp_path, *samples, kind=Classes(NAMES), slices=[["1.2.3", 9], ["1.2.3", 7]])
    assert [panel.title for panel in drawn[0][0]] == ["…1.2.3, slice 9", "…1.2.3, slice 7"]


def test_slice_asked_for_that_was_not_evaluated_then_refused(tmp_path):
    with pytest.raises(ValueError, match=r"slices: must be among .*1.2.3', 99"):
        run(tmp_path, sample(1), kind=Classes(NAMES), slices=[["1.2.3", 99]])


def test_window_then_that_of_the_kind_unless_given(tmp_path, drawn):
    run(tmp_path, sample(1))
    run(tmp_path, sample(1), kind=Classes(NAMES))
    run(tmp_path, sample(1), window_hu=[-5, 5])
    assert [window for _, _, window in drawn] == [(-1200, 200), (-150, 250), (-5, 5)]


@pytest.mark.parametrize("kind", [Instances(), Classes(NAMES)], ids=["instances", "classes"])
def test_nothing_to_show_then_a_warning_and_no_file(tmp_path, caplog, kind):
    with caplog.at_level(logging.WARNING):
        out = run(tmp_path, sample(0), kind=kind)
    assert list(out.iterdir()) == []
    assert "no slice to show was evaluated" in caplog.text


def test_panel_then_shows_the_hu_of_its_slice(tmp_path, drawn):
    run(tmp_path, sample(1))
    assert drawn[0][0][0].image_hu[0, 0] == 1600 - 1000


@pytest.mark.parametrize(
    ("total", "count", "first", "between", "chosen"),
    [
        (9, 4, (0, 8), 2, [0, 8, 3, 5]),
        (9, 9, (0, 8), 0, [0, 8, 1, 2, 3, 4, 5, 6, 7]),
        (3, 2, (2, 2, 0), 5, [2, 0]),
        (0, 3, (0, -1), 2, []),
    ],
    ids=["spread", "all", "first twice", "nothing"],
)
def test_ranks_then_first_ones_spread_ones_and_the_rest(total, count, first, between, chosen):
    assert choose_ranks(total, count, first=first, between=between) == chosen


def test_hu_of_a_prepared_slice_is_the_middle_row(tmp_path):
    plane = read_hu({"image": str(stack(tmp_path)), "rows": [1, 2, 2]}, 99)
    assert plane[0, 0] == 2 * 1600 - 1000


def test_hu_of_a_flipped_volume_is_turned_to_lps(tmp_path):
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    image = sitk.GetImageFromArray(array)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "a.mhd"))
    plane = read_hu({"image": str(tmp_path / "a.mhd")}, 1)
    assert np.array_equal(plane, array[1, ::-1, ::-1])


def test_count_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match="count: must be at least 1, got 0"):
        run(tmp_path, sample(1), count=0)
