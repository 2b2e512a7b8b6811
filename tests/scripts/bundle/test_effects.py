"""Options and files that set what nothing reads: refused, or reported."""

import json

import pytest

from scripts.bundle.compose import META, compose
from scripts.bundle.config_files import files_below
from scripts.bundle.effects import check_effects, ids_read
from scripts.bundle.launch import ENTRIES, NEEDED
from tests.bundles.config_files import ROOT
from tests.scripts.bundle.commands import LIVER, LUNG, WORKFLOWS, run_words

NINE = {"stage_epochs": 9}


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_default_of_stages_that_all_have_their_own_then_refused(monkeypatch, tmp_path):
    files = f"['{LIVER}/train.json','configs/runtime/small_organs.json']"
    words = ("training", "--config_file", files)
    with pytest.raises(ValueError, match=r"--stage_epochs: would have .* its own epochs \(4, 2\)"):
        run_words(monkeypatch, *words, "--stage_epochs", "9")
    run_words(monkeypatch, *words, "--learning_rate", "0.01")  # one of two stages has its own
    (tmp_path / "mine.json").write_text('{"strategy": {"name": "a", "stages": [{"name": "b"}]}}')
    files = files.replace("]", f",'{tmp_path / 'mine.json'}']")
    run_words(monkeypatch, "training", "--config_file", files, "--stage_epochs", "9")
    stages = [{"name": "b", "epochs": 3}]
    packaged = {"strategy": "$@prepared::strategy", "prepared": {"strategy": {"stages": stages}}}
    (tmp_path / "package.json").write_text(json.dumps(packaged))
    composed = compose([str(tmp_path / "package.json")], files_below(), overrides={**NINE})
    with pytest.raises(ValueError, match=r"--stage_epochs: would have no effect.*\(3\)"):
        check_effects(composed, entries=["run"], sign="--")


def test_default_of_stages_in_a_file_then_refused_as_an_option_is(monkeypatch, write_json):
    mine = write_json("mine.json", **NINE)
    files = [f"{LIVER}/train.json", "configs/runtime/small_organs.json", str(mine)]
    said = (
        r"mine.json: stage_epochs: would have .* in configs/runtime/small_organs.json has its own"
    )
    with pytest.raises(ValueError, match=said):
        run_words(monkeypatch, "training", "--config_file", repr(files))
    own = write_json("strategy.json", strategy={"name": "a", "stages": [{"name": "b"}]})
    run_words(monkeypatch, "training", "--config_file", repr([*files, str(own)]))


def test_default_of_which_stages_make_their_own_then_taken(monkeypatch, write_json):
    stages = [{"name": "b", "learning_rate": "$@learning_rate / 10", "epochs": "@stage_epochs"}]
    mine = write_json("mine.json", strategy={"name": "a", "stages": stages}, learning_rate=0.01)
    words = ("training", "--config_file", f"['{LUNG}/train.json','{mine}']", "--stage_epochs", "9")
    run_words(monkeypatch, *words)
    run_words(monkeypatch, *words, "--learning_rate", "0.02")
    write_json("mine.json", strategy={"name": "a", "stages": [{**stages[0], "final_rate": 0.1}]})
    with pytest.raises(ValueError, match="--final_rate: would have no effect"):
        run_words(monkeypatch, *words, "--final_rate", "0.2")


@pytest.mark.parametrize(
    ("file", "word", "value"),
    [
        ("configs/networks/vnet.json", "encoder", "resnet50"),
        ("configs/data/luna16_volume_patches.json", "patch_size", "[64,64]"),
        ("configs/optimisers/sgd.json", "betas", "[0.8,0.9]"),
    ],
)
def test_option_that_nothing_reads_with_a_file_then_refused(monkeypatch, file, word, value):
    words = ("training", "--config_file", f"['{LUNG}/train.json','{file}']")
    with pytest.raises(ValueError, match=f"--{word}: would have no effect: with these config fil"):
        run_words(monkeypatch, *words, f"--{word}", value)
    run_words(monkeypatch, "training", "--config_file", f"{LUNG}/train.json", f"--{word}", value)
    run_words(monkeypatch, *words, "--bundle_root", "elsewhere", "--encoder_weights", "none")


def test_ids_of_a_file_without_effect_then_reported(monkeypatch, write_json, caplog):
    mine = write_json("mine.json", patch_size=[64, 64], seed=3)
    patches = "configs/data/luna16_volume_patches.json"
    run_words(
        monkeypatch, "training", "--config_file", repr([f"{LUNG}/train.json", str(mine), patches])
    )
    assert [record.getMessage() for record in caplog.records] == [
        f"{mine}: patch_size: has no effect: with these config files, nothing that runs reads it"
    ]


def test_ids_of_a_file_that_a_later_shipped_one_replaces_then_reported(
    monkeypatch, write_json, caplog
):
    mine, small = write_json("mine.json", **NINE), "configs/runtime/small.json"
    files = [f"{LUNG}/train.json", str(mine), small]
    run_words(monkeypatch, "training", "--config_file", repr(files))
    assert [record.getMessage() for record in caplog.records] == [
        f"{mine}: stage_epochs: has no effect: {small}, a later file, sets it too"
    ]
    caplog.clear()
    files = [f"{LUNG}/train.json", small, str(mine)]
    run_words(monkeypatch, "training", "--config_file", repr(files))
    assert not caplog.records


@pytest.mark.parametrize("file", WORKFLOWS)
def test_shipped_workflow_then_each_id_is_read_by_a_network_or_a_command(file):
    config = compose([file], files_below()).complete()
    unread = config.keys() - ids_read(config, ENTRIES.values()) - {META, "imports"}
    by_others = {"segments", "decoder_channels", "decoder_norm", "skip_norm"}  # predict, unet.json
    assert unread <= by_others | NEEDED.keys()
