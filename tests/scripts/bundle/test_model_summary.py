import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import pytest
import torch

from scripts.bundle.model_file import ModelFile, bare, content_of
from scripts.bundle.model_summary import read_summary

SETTINGS = {"class_names": ["background", "nodule"], "window_hu": [-1000, 400]}
WEIGHTS = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}


def test_model_of_a_training_then_settings_data_and_versions(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(content_of(WEIGHTS, SETTINGS, {"samples": 3}), path)
    summary = read_summary(path)
    assert summary["settings"] == SETTINGS
    assert summary["data"] == {"samples": 3}
    assert summary["versions"]["torch"] == torch.__version__


def test_model_of_a_package_then_its_settings(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(bare(ModelFile(path, WEIGHTS, SETTINGS, {"data": {"samples": 3}}), WEIGHTS), path)
    assert read_summary(path) == {"settings": SETTINGS, "data": {"samples": 3}}


def test_weights_of_another_program_then_nothing(tmp_path):
    path = tmp_path / "other.pt"
    torch.save(OrderedDict(WEIGHTS), path)
    assert read_summary(path) == {}


def test_weights_within_a_dictionary_then_nothing(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"epoch": 3, "state_dict": WEIGHTS}, path)
    assert read_summary(path) == {}


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.ones(2), [torch.ones(2)]], ids=str)
def test_file_of_torch_without_weights_by_name_then_refused(tmp_path, content):
    path = tmp_path / "list.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"list\.pt holds no weights by name"):
        read_summary(path)


class Harmful:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_pickle_that_would_run_code_then_it_does_not(tmp_path):
    path, target = tmp_path / "model.pt", tmp_path / "made"
    with zipfile.ZipFile(path, "w") as archive:
        content = {"settings": SETTINGS, "data": Harmful(str(target))}
        archive.writestr("model/data.pkl", pickle.dumps(content))
    assert read_summary(path) == {"settings": SETTINGS}
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip"])
def test_damaged_file_then_refused(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bundle: .*model.pt cannot be read"):
        read_summary(path)


def test_reading_then_torch_is_not_imported():
    program = "import sys, scripts.bundle.model_summary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
