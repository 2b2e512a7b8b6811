import pytest

from scripts.bundle.data_files import advice, data_files


def told(**content):
    return {"data_files": content}


def test_settings_without_files_then_none():
    assert data_files({}) == data_files(told()) == data_files({"data_files": None})
    assert (data_files({}).training, data_files({}).numbers) == ("", {})


def test_files_and_numbers_then_taken():
    found = data_files(told(prediction="configs/data/a.json", patch=[8, 8.5], width=3))
    assert (found.prediction, found.numbers) == (
        "configs/data/a.json",
        {"patch": [8, 8.5], "width": 3},
    )


@pytest.mark.parametrize(
    "name", ["/etc/a.json", "configs/data/../a.json", "configs/data/a.yaml", "a.json", 3]
)
def test_file_of_another_folder_then_refused(name):
    with pytest.raises(ValueError, match="must name files of configs/data"):
        data_files(told(prediction=name))


@pytest.mark.parametrize("value", ["$print(1)", ["@a"], {"a": 1}, True, [[1]]])
def test_anything_but_numbers_then_refused(value):
    with pytest.raises(ValueError, match="must hold numbers"):
        data_files(told(patch=value))


@pytest.mark.parametrize("content", [["configs/data/a.json"], "configs/data/a.json", {3: 4}])
def test_content_that_no_training_writes_then_refused(content):
    with pytest.raises(ValueError, match="must hold"):
        data_files({"data_files": content})


def test_advice_then_names_what_there_is():
    both = advice(told(training="configs/data/a.json", prediction="configs/data/b.json"))
    assert (
        both == "add for training and evaluation configs/data/a.json, for a CT configs/data/b.json"
    )
    assert "domain_model" in advice({"input_kind": "domains"})
    assert "abdomen_*.json" in advice({"input_kind": "volume"})
