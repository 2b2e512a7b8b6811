import json
import zipfile

import pytest
import torch

from scripts.bundle.model_file import content_of
from scripts.prediction.bundle_summary import summary_of
from tests.scripts.prediction.studies import LIVER, LUNG

NODULE = [{"label": 1, "name": "nodule", "numbered": True}]
TUMOUR = ["background", "liver", "bone", "kidney", "liver tumour"]


def write_weights(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"samples": 9, "salt": "00", "cases": ["a", "b"]}
    data |= {"validation_cases": ["c"], "test_cases": ["d", "e", "f"]}
    torch.save(content_of({}, {"class_names": names, "window_hu": [0, 1]}, data), path)
    return path


@pytest.fixture
def bundle(tmp_path):
    """A folder with the liver bundle's configs, as files of their own."""
    folder = tmp_path / "liver_ct_segmentation"
    (folder / "configs").mkdir(parents=True)
    for file in (LIVER / "configs").glob("*.json"):
        (folder / "configs" / file.name).write_bytes(file.read_bytes())
    return folder


def test_shipped_bundle_then_labels_window_and_workflows():
    summary = summary_of(LUNG)
    assert summary["labels"] == NODULE
    assert summary["window_hu"] == [-1000, 400]
    assert summary["workflows"] == ["training", "pretraining", "evaluating", "inferring"]
    assert summary["model"] is None


def test_folder_with_a_trained_network_then_the_labels_of_the_network(bundle):
    assert [one["name"] for one in summary_of(bundle)["labels"]] == TUMOUR[1:4]
    write_weights(bundle / "models" / "model.pt", TUMOUR)
    summary = summary_of(bundle)
    assert [one["name"] for one in summary["labels"]] == TUMOUR[1:]
    assert summary["window_hu"] == [0, 1]


def test_zip_of_a_package_then_values_of_its_configs(tmp_path, bundle):
    file = bundle / "configs" / "inference.json"
    config = json.loads(file.read_text()) | {"class_names": TUMOUR[:2], "window_hu": [5, 6]}
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("metadata", "train"):
            archive.write(bundle / "configs" / f"{name}.json", f"liver/configs/{name}.json")
        archive.writestr("liver/configs/inference.json", json.dumps(config))
    summary = summary_of(path)
    assert summary["form"] == "zip"
    assert summary["labels"] == [{"label": 1, "name": "liver", "numbered": False}]
    assert summary["window_hu"] == [5, 6]
    assert summary["workflows"] == ["training", "inferring"]


def test_plain_package_then_its_network_is_the_program(tmp_path, bundle):
    module = {"_target_": "torch.export.load", "f": "$@bundle_root + '/models/model.pt2'"}
    definition = {"network_def": {"_target_": "torch.export.unflatten", "module": module}}
    (bundle / "configs" / "inference.json").write_text(json.dumps(definition))
    assert summary_of(bundle)["model"] == {"file": "models/model.pt2"}


def test_model_file_then_its_labels_and_no_ids_of_scans(tmp_path):
    summary = summary_of(write_weights(tmp_path / "model.pt", TUMOUR[:2]))
    assert summary["labels"] == [{"label": 1, "name": "liver", "numbered": None}]
    assert summary["model"]["data"] == {
        **{"samples": 9, "cases": 2, "validation_cases": 1, "test_cases": 3},
    }


def test_forms_then_the_same_keys(tmp_path, bundle):
    model = write_weights(tmp_path / "model.pt", TUMOUR)
    assert summary_of(model).keys() == summary_of(bundle).keys()


def test_bundle_without_class_names_then_those_of_its_metadata(bundle):
    for name in ("inference", "train"):
        (bundle / "configs" / f"{name}.json").write_text("{}")
    assert [one["name"] for one in summary_of(bundle)["labels"]] == TUMOUR[1:4]


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_config_then_named(bundle, content):
    (bundle / "configs" / "train.json").write_text(content)
    with pytest.raises(ValueError, match="train.json must be"):
        summary_of(bundle)


def test_path_without_bundle_then_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        summary_of(tmp_path / "none")
    with pytest.raises(ValueError, match="is it a bundle"):
        summary_of(tmp_path)


def test_model_file_whose_cases_have_several_ids_then_the_cases_are_counted(tmp_path):
    data = {"cases": ["a", "b", "c", "d"], "test_cases": ["e", "f"]}
    data["partitions"] = {name: {"cases": k} for k, name in enumerate(("test", "training"), 1)}
    torch.save(content_of({}, {"class_names": TUMOUR}, data), tmp_path / "model.pt")
    shown = summary_of(tmp_path / "model.pt")["model"]["data"]
    assert (shown["cases"], shown["test_cases"]) == (2, 1)
