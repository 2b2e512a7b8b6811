from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from ignite.engine import Engine

from scripts.evaluation.pictures import Candidate, OverlayPictures, choose, read_hu
from scripts.evaluation.series import PackedArray

PACKED = PackedArray.pack(np.zeros((2, 2)))


def candidate(number: int, dice: float, diameter: float = 5.0) -> Candidate:
    return Candidate("1.2", number, dice, diameter, 0, 0, PACKED, PACKED, (1.0, 1.0))


def stack(folder: Path) -> Path:
    """Write three slices of HU."""
    path = folder / "image.npy"
    np.save(path, np.arange(3 * 40 * 40, dtype=np.int16).reshape(3, 40, 40) - 1000)
    return path


def run(folder: Path, items: list[Any], **options: Any) -> Path:
    case = {
        **{"image": str(stack(folder)), "rows": [0, 1, 2], "slice": 7},
        **{"series_uid": "1.2.3", "patient_id": "a", "spacing_mm": [1.0, 1.0, 2.0]},
    }
    engine = Engine(lambda _, batch: batch)
    OverlayPictures(folder / "out", [case], **options).attach(engine)
    engine.run([items])
    return folder / "out" / "overlays.png"


def item(nodules: int) -> Any:
    instances = torch.zeros(1, 40, 40)
    for number in range(nodules):
        instances[0, 10 * number : 10 * number + 6, 4:10] = number + 1
    pred = torch.zeros(1, 40, 40)
    pred[0, 0:6, 4:9] = 1
    return {"pred": pred, "instances": instances, "case": 0}


def test_pictures_are_written_at_the_end(tmp_path: Path) -> None:
    path = run(tmp_path, [item(2)])
    assert path.stat().st_size > 10_000


def test_count_limits_the_panels(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    many, few = run(tmp_path / "a", [item(3)]), run(tmp_path / "b", [item(3)], count=1)
    assert few.stat().st_size < many.stat().st_size


def test_without_nodules_nothing_is_written_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        path = run(tmp_path, [item(0)])
    assert not path.exists()
    assert "no annotated nodule was evaluated" in caplog.text


def test_choice_names_best_median_worst_and_largest_in_order_of_dice() -> None:
    found = [candidate(i, dice) for i, dice in enumerate((0.5, 0.9, 0.7, 0.1, 0.8))]
    found.append(candidate(9, 0.6, diameter=22.0))
    chosen = choose(found, 4)
    assert [(c.dice, why) for c, why in chosen] == [
        (0.9, "Best"),
        (0.7, "Median"),
        (0.6, "Largest"),
        (0.1, "Worst"),
    ]
    assert len(choose(found, 5)) == 5
    assert choose(found, 9)[1][1] == "Rank 2 of 6"


def test_choice_of_one_nodule_is_every_kind_at_once() -> None:
    assert [why for _, why in choose([candidate(1, 0.5)], 6)] == ["Best, Worst, Median, Largest"]


def test_choice_with_little_room_keeps_best_and_worst() -> None:
    found = [candidate(i, i / 10) for i in range(9)]
    assert [c.dice for c, _ in choose(found, 2)] == [0.8, 0.0]


def test_hu_of_a_prepared_slice_is_the_middle_row(tmp_path: Path) -> None:
    plane = read_hu({"image": str(stack(tmp_path)), "rows": [1, 2, 2]}, 99)
    assert plane[0, 0] == 2 * 1600 - 1000


def test_hu_of_a_flipped_volume_is_turned_to_lps(tmp_path: Path) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    image = sitk.GetImageFromArray(array)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(tmp_path / "a.mhd"))
    plane = read_hu({"image": str(tmp_path / "a.mhd")}, 1)
    assert np.array_equal(plane, array[1, ::-1, ::-1])


def test_count_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="count: must be at least 1, got 0"):
        run(tmp_path, [item(1)], count=0)
