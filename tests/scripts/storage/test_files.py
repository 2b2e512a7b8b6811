from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from scripts.storage.files import (
    atomic_path,
    plain,
    read_json,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)


def test_atomic_path_when_block_fails_leaves_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "mask.nii.gz"
    target.write_text("old")

    def stop_half_way() -> None:
        with atomic_path(target) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_path_then_the_file_is_flushed_before_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, flushed = tmp_path / "a.json", []

    def note(descriptor: int) -> None:
        flushed.append((os.path.samestat(os.fstat(descriptor), tmp_path.stat()), target.exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_text(target, "whole")
    assert flushed == [(False, False), (True, True)]  # the file without its name, the folder


def test_atomic_path_keeps_suffix_and_makes_folders(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "image.npy"
    with atomic_path(target) as beside:
        assert beside.parent == target.parent
        np.save(beside, np.arange(3))
    assert np.load(target).tolist() == [0, 1, 2]
    assert list(target.parent.iterdir()) == [target]


def test_atomic_path_when_nothing_written_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing was written"), atomic_path(tmp_path / "x"):
        pass


def test_atomic_path_when_target_is_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"), atomic_path(tmp_path):
        pass


def test_write_text_and_bytes_replace_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "a long first content\n")
    write_text(path, "µ\n")
    assert path.read_bytes() == b"\xc2\xb5\n"
    write_bytes(path, b"\x00")
    assert path.read_bytes() == b"\x00"


def test_write_json_turns_nan_to_null_and_numpy_to_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": np.float32(0.5), "b": float("nan"), "c": np.arange(2), "d": tmp_path})
    assert json.loads(path.read_text()) == {"a": 0.5, "b": None, "c": [0, 1], "d": str(tmp_path)}


def test_write_json_when_infinite_raises_and_keeps_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(ValueError, match="finite or NaN"):
        write_json(path, [float("inf")])
    assert json.loads(path.read_text()) == [1]


def test_plain_when_object_is_foreign_raises() -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON: set"):
        plain({"a": {1}})


def test_write_csv_round_trip_with_quotes_and_undefined(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_csv(path, [{"uid": 'a,"b"', "dice": float("nan")}, {"uid": "c", "dice": np.float64(0.5)}])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"uid": 'a,"b"', "dice": ""}, {"uid": "c", "dice": "0.5"}]


def test_write_csv_without_rows_needs_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [], columns=("uid", "dice"))
    assert (tmp_path / "a.csv").read_text() == "uid,dice\n"
    with pytest.raises(ValueError, match="columns: must be given"):
        write_csv(tmp_path / "b.csv", [])


def test_write_csv_when_row_differs_names_the_keys(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 1.*differs from the header in .'dice'"):
        write_csv(tmp_path / "a.csv", [{"dice": 1}, {"iou": 1}])


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "must be JSON"), ("[1]", "got a list"), ("[" * 100_000, "nested too deeply")],
    ids=["cut", "a list", "endless"],
)
def test_read_json_when_no_object_then_refused_by_name(tmp_path: Path, text, reason) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=f"a.json: .*{reason}"):
        read_json(tmp_path / "a.json")


def test_read_json_when_it_begins_with_a_byte_order_mark_then_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}
