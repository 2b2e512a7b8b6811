"""A bundle in a zip: predicted as its folder is, and refused before anything of it runs."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from scripts.prediction.network import packed_bundle
from scripts.prediction.network.bundle_parts import BundleParts
from scripts.prediction.network.packed_bundle import unpacked_bundle
from scripts.prediction.predict_options import Options
from scripts.storage.archive import Limits
from tests.scripts.audit.samples import Bomb


def zip_of(path, files, top="my_segmentation/"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return path


def inference(**more):
    return {"configs/inference.json": json.dumps(more)}


def test_folder_then_yielded_as_it_is(tmp_path):
    with unpacked_bundle(tmp_path) as folder:
        assert folder == tmp_path
    with unpacked_bundle(tmp_path / "absent") as folder:  # said where its config is read
        assert folder == tmp_path / "absent"


def test_zip_then_configs_and_models_alone_for_as_long_as_needed(tmp_path):
    files = inference(a=1) | {"models/m.json": "{}", "scripts/x.py": "", "docs/README.md": ""}
    with unpacked_bundle(zip_of(tmp_path / "b.zip", files)) as folder:
        assert folder.name == "my_segmentation"
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert found == {"configs/inference.json", "models/m.json"}
    assert not folder.exists()


def test_error_in_the_bundle_then_names_the_zip(tmp_path):
    packed = zip_of(tmp_path / "b.zip", inference(a=1))
    with (
        pytest.raises(FileNotFoundError, match=rf"no network at {packed}/models/model.pt"),
        unpacked_bundle(packed) as folder,
    ):
        raise FileNotFoundError(f"no network at {folder}/models/model.pt")


def test_plain_package_then_said_to_be_for_other_programs(tmp_path):
    module = {"_target_": "torch.export.load", "f": "$@bundle_root + '/models/model.pt2'"}
    network = {"_target_": "torch.export.unflatten", "module": module}
    packed = zip_of(tmp_path / "b.zip", inference(bundle_root=".", network_def=network))
    with (
        pytest.raises(ValueError, match=rf"bundle: {packed}/.*package without --plain"),
        unpacked_bundle(packed) as folder,
    ):
        BundleParts(Options(folder))


def test_zip_without_a_folder_then_named_after_the_zip(tmp_path):
    with unpacked_bundle(zip_of(tmp_path / "b.zip", inference(a=1), top="")) as folder:
        assert folder.name == "b"


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ({"_target_": "os.system", "command": "ls"}, "inference.json:a: runs programs"),
        ("$__import__('os').system('ls')", "inference.json:a: "),
        ("$import subprocess", "inference.json:a: imports subprocess"),
        ({"_target_": "scripts.mine.Thing"}, "not on the list"),
    ],
    ids=["component", "expression", "import", "its own Python"],
)
def test_config_that_would_run_anything_else_then_refused(tmp_path, harm, why):
    files = inference(a=harm) | {"scripts/mine.py": "class Thing: pass"}
    packed = zip_of(tmp_path / "b.zip", files)
    with pytest.raises(ValueError, match=rf"(?s)bundle: .*{why}.*nothing was run"):
        unpacked_bundle(packed).__enter__()


def test_weights_that_would_run_code_then_refused(tmp_path):
    canary = tmp_path / "canary"
    files = inference(a=1) | {"models/model.pt": pickle.dumps(Bomb(canary))}
    with pytest.raises(ValueError, match="models/model.pt:: a pickle that imports"):
        unpacked_bundle(zip_of(tmp_path / "b.zip", files)).__enter__()
    assert not canary.exists()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"configs/train.json": "{}"}, "holds no configs/inference.json"),
        (inference(a=1) | {"../../outside.json": "{}"}, "would be unpacked outside its folder"),
    ],
    ids=["no bundle", "outside"],
)
def test_zip_that_is_no_bundle_or_unsafe_then_refused(tmp_path, files, why):
    with pytest.raises(ValueError, match=f"bundle: .*{why}"):
        unpacked_bundle(zip_of(tmp_path / "b.zip", files)).__enter__()


def test_zip_that_unpacks_to_too_much_then_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed_bundle, "LIMITS", Limits(total_bytes=100))
    files = inference(a=1) | {"models/m.raw": np.zeros(200, np.uint8).tobytes()}
    with pytest.raises(ValueError, match="must unpack to at most 100 bytes"):
        unpacked_bundle(zip_of(tmp_path / "b.zip", files)).__enter__()


def test_file_that_is_no_zip_then_refused(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    (tmp_path / "model.zip").write_bytes(b"x")
    with pytest.raises(ValueError, match="must be a bundle's folder or a .zip of one, got"):
        unpacked_bundle(tmp_path / "model.pt").__enter__()
    with pytest.raises(ValueError, match="is not a complete zip archive"):
        unpacked_bundle(tmp_path / "model.zip").__enter__()
