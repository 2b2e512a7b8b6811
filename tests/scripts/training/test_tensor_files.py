from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.training import tensor_files
from scripts.training.tensor_files import mark_outdated, refuse_outdated, write_tensors


def test_content_then_is_read_again_without_running_code(tmp_path: Path) -> None:
    content = {"model": {"weight": torch.arange(6.0).view(2, 3)}, "epoch": 4, "name": "bsft"}
    write_tensors(tmp_path / "new" / "model.pt", content)
    found = torch.load(tmp_path / "new" / "model.pt", weights_only=True)
    assert torch.equal(found["model"]["weight"], content["model"]["weight"])
    assert (found["epoch"], found["name"], found.keys()) == (4, "bsft", content.keys())


def test_older_file_then_is_replaced(tmp_path: Path) -> None:
    for epoch in (1, 2):
        write_tensors(tmp_path / "model.pt", {"epoch": epoch})
    assert torch.load(tmp_path / "model.pt", weights_only=True) == {"epoch": 2}


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("writing failed")])
def test_writing_when_it_fails_then_the_older_file_stays_and_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / "model.pt"
    write_tensors(path, {"epoch": 1})

    def fail(content: Any, part: Path) -> None:
        part.write_bytes(b"half")
        raise error

    monkeypatch.setattr(tensor_files.torch, "save", fail)
    with pytest.raises(OSError, match=rf"output_dir: cannot write .*model\.pt: {error}; .* resume"):
        write_tensors(path, {"epoch": 2})
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_then_are_removed_and_those_of_other_files_stay(
    tmp_path: Path,
) -> None:
    (tmp_path / ".part-0a-model.pt").touch()
    (tmp_path / ".part-0a-other.pt").touch()
    write_tensors(tmp_path / "model.pt", {})
    assert sorted(file.name for file in tmp_path.iterdir()) == [".part-0a-other.pt", "model.pt"]


def test_results_that_a_newer_run_replaces_then_refused_until_they_are_written_again(
    tmp_path: Path,
) -> None:
    results = [tmp_path / "model.pt", tmp_path / "stages" / "stage_1.pt"]
    for file in results:
        write_tensors(file, {"epoch": 1})
    mark_outdated(tmp_path)
    for file in results:
        with pytest.raises(ValueError, match=rf"{file.name} is the result of an earlier run"):
            refuse_outdated(file)
        write_tensors(file, {"epoch": 1})  # the same content, from the newer run
        refuse_outdated(file)
    assert not (tmp_path / "outdated.json").exists()


def test_outdated_result_when_moved_or_another_is_put_in_its_place_then_accepted(
    tmp_path: Path,
) -> None:
    write_tensors(tmp_path / "model.pt", {"epoch": 1})
    mark_outdated(tmp_path)
    (tmp_path / "kept").mkdir()
    moved = (tmp_path / "model.pt").rename(tmp_path / "kept" / "model.pt")
    refuse_outdated(moved)
    torch.save({"epoch": 7}, tmp_path / "model.pt")
    refuse_outdated(tmp_path / "model.pt")


def test_folder_without_results_then_nothing_is_marked(tmp_path: Path) -> None:
    mark_outdated(tmp_path)
    assert not list(tmp_path.iterdir())
