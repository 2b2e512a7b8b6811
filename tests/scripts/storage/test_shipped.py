from pathlib import Path

import pytest

from scripts.storage.shipped import ROOT, shipped, shipped_below

LOSS = "configs/losses/dice.json"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_file_of_configs_when_not_here_then_that_of_the_installation():
    assert shipped(LOSS) == ROOT / LOSS


def test_file_of_configs_when_here_then_this_one(tmp_path):
    own = tmp_path / LOSS
    own.parent.mkdir(parents=True)
    own.touch()
    assert shipped(LOSS) == Path(LOSS)


@pytest.mark.parametrize("name", ["setup.cfg", "configs/none.json", "/configs/losses/dice.json"])
def test_other_path_then_as_given(name):
    assert shipped(name) == Path(name)


def test_listing_then_own_and_shipped_files_each_once(tmp_path):
    folder = tmp_path / "configs" / "losses"
    folder.mkdir(parents=True)
    for name in ("dice.json", "mine.json"):
        (folder / name).touch()
    listed = shipped_below("configs/losses", "*.json")
    assert listed == sorted(set(listed))
    assert {Path(LOSS), Path("configs/losses/mine.json")} <= set(listed)
    assert Path("configs/losses/cross_entropy.json") in listed
