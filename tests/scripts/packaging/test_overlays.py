import json

import pytest

from scripts.bundle.config_files import files_below
from scripts.packaging.overlays import check_inputs, overlays_of

TRAINING, PREDICTION = "configs/data/prepared.json", "configs/data/ct.json"
SETTINGS = {
    "input_kind": "volume",
    "data_files": {"training": TRAINING, "prediction": PREDICTION, "patch": [8]},
}


@pytest.fixture
def laid(tmp_path, monkeypatch):
    """Names and contents of the files of a workflow."""
    monkeypatch.chdir(tmp_path)
    files = {
        TRAINING: {"data_files": SETTINGS["data_files"] | {"patch": "@patch"}, "patch": [4]},
        PREDICTION: {"patch": [4], "inferer": {}},
        "configs/strategy.json": {"lr": 1},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))

    def one(workflow, given, settings):
        return overlays_of(workflow, given, settings, read=files_below())

    return one


@pytest.mark.parametrize(
    ("workflow", "own"), [("train", TRAINING), ("evaluate", TRAINING), ("inference", PREDICTION)]
)
def test_files_that_the_network_needs_then_first_with_the_numbers_of_its_training(
    laid, workflow, own
):
    found = laid(workflow, ["configs/strategy.json"], SETTINGS)
    assert [name for name, _ in found] == [own, "configs/strategy.json"]
    assert found[0][1]["patch"] == [8]


def test_file_that_is_given_then_taken_as_it_is_by_its_own_workflow_alone(laid):
    given = ["configs/strategy.json", PREDICTION, TRAINING]
    found = {name: laid(name, given, SETTINGS) for name in ("train", "inference")}
    assert [name for name, _ in found["train"]] == ["configs/strategy.json", TRAINING]
    assert [name for name, _ in found["inference"]] == ["configs/strategy.json", PREDICTION]
    assert found["inference"][1][1]["patch"] == [4]


def test_network_of_slices_then_the_files_that_are_given(laid):
    assert [name for name, _ in laid("inference", ["configs/strategy.json"], {})] == [
        "configs/strategy.json"
    ]


def test_other_input_then_refused_with_the_workflow_and_the_files():
    own = {"model_settings": SETTINGS, "input_kind": "volume"}
    check_inputs({"train": own, "multi_gpu_train": {}}, SETTINGS)
    check_inputs({"train": {"input_kind": "window"}}, {})
    configs = {"train": own, "evaluate": {"input_kind": "$'win' + @rest", "rest": "dow"}}
    with pytest.raises(ValueError, match=f"evaluate.json gives the network 'window'.*{TRAINING}"):
        check_inputs(configs, SETTINGS)


def test_network_of_another_bundle_then_refused():
    own = {"model_settings": SETTINGS, "input_kind": "volume"}
    with pytest.raises(ValueError, match="settings lung_masking, which this bundle does not have"):
        check_inputs({"train": own}, SETTINGS | {"lung_masking": True})
