import json
from functools import partial

import pytest

import scripts.retraining.context.context_maps_command as command
from scripts.bundle.model_file import read_model
from scripts.datasets.datalist import load_datalist
from scripts.study.workshop import Workshop
from tests.scripts.retraining.patients import PretendedTrainings, recipe_for, write_patients

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
CONTEXT = "configs/data/ircadb_volume_context.json"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command on volumes of liver patients, with pretended trainings."""
    trainings = PretendedTrainings(volumes=True)
    monkeypatch.setattr(command, "Workshop", partial(Workshop, launch=trainings))
    datalist = write_patients(tmp_path / "prepared")
    recipe = recipe_for(tmp_path, volumes=True)

    def run(**options):
        usual = {"bundle": recipe.bundle, "config_file": list(recipe.overlays)}
        command.context_maps(str(datalist), str(tmp_path / "out"), **{**usual, **options})
        return trainings

    return run


def test_command_then_a_datalist_whose_volumes_have_maps_and_which_loads(run, tmp_path, capsys):
    run()
    written = tmp_path / "out" / "datalist.json"
    assert str(written) in capsys.readouterr().out
    for partition, count in (("training", 5), ("validation", 1), ("test", 1)):
        entries = load_datalist(written, f"volumes/{partition}")
        assert [len(entry["context"]) for entry in entries] == [4] * count
    assert not any("context" in entry for entry in load_datalist(written, "training"))
    content = json.loads(written.read_text())
    assert (
        content["classes"]
        == json.loads((tmp_path / "prepared/datalist.json").read_text())["classes"]
    )


def test_two_rounds_then_networks_of_the_second_read_the_maps_of_the_first(run, tmp_path):
    trainings = run(rounds=2, context_config=CONTEXT)
    assert len(trainings.commands) == 6
    files = [" ".join(words) for words in trainings.commands]
    assert [CONTEXT in words for words in files] == [False] * 3 + [True] * 3
    assert all(words.index("settings.json") > words.index(CONTEXT) for words in files[3:])
    second = tmp_path / "out" / "round2" / "fold0"
    maps = {file for e in load_datalist(second / "datalist.json", "volumes/training")
            for file in e["context"]}  # fmt: skip
    assert all("/round1/maps/training/" in file for file in maps)
    entries = load_datalist(tmp_path / "out" / "datalist.json", "volumes/test")
    models = json.loads((tmp_path / "out" / "prediction.json").read_text())["earlier_models"]
    assert [read_model(model).settings["network_def"]["in_channels"] for model in models] == [2, 6]
    assert all("/round2/maps/test/" in file for file in entries[0]["context"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 2}, "context_config: networks of the second round read maps"),
        ({"context_config": CONTEXT}, "context_config: is for the networks of further rounds, got"),
        ({"rounds": 0}, "rounds: must be a whole number, at least 1"),
        ({"context_folds": 1}, "context_folds: must be a whole number, at least 2"),
        ({"context_folds": 5}, "context_folds: must be from 2 to the number of .* 4, got 5"),
    ],
    ids=["no further config", "config for one round", "no round", "one fold", "too many folds"],
)
def test_option_that_does_not_fit_then_refused_before_any_training(run, options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_output_that_holds_the_datalist_then_refused(tmp_path):
    datalist = write_patients(tmp_path / "prepared")
    with pytest.raises(ValueError, match="output: .* holds the datalist itself"):
        command.context_maps(str(datalist), str(datalist.parent), bundle="b")


def test_datalist_without_volumes_then_refused_when_the_networks_read_them(run, tmp_path):
    datalist = tmp_path / "prepared" / "datalist.json"
    content = json.loads(datalist.read_text())
    del content["volumes"]
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lists no volumes"):
        run()
