"""What a package holds: the zoo's rules, equal bytes, nothing that only this machine knows."""

import hashlib
import json
import re
import zipfile
from dataclasses import replace
from importlib import metadata

import pytest
import torch

from custom_nets.unet import TransferUNet
from scripts.__main__ import main
from scripts.bundle.model_file import read_model
from scripts.packaging import package_command
from scripts.packaging.new_bundle import new_bundle
from scripts.packaging.package_command import package
from scripts.prediction.network.model import Model
from scripts.prediction.network.packed_bundle import unpacked_bundle
from scripts.prediction.predict_options import Options
from scripts.storage.locks import InUseError
from tests.scripts.packaging.packages import LIVER, LUNG, OVERLAYS, ROOT, SMALL
from tests.scripts.packaging.test_new_bundle import write_datalist
from tests.scripts.storage.holding import held_by_another

pytestmark = pytest.mark.usefixtures("_at_root")


@pytest.fixture
def pack(tmp_path, checkpoint):
    """Package without exports; return the zip."""

    def one(name="lung.zip", bundle=LUNG, ckpt_path=checkpoint, overlays=OVERLAYS, **options):
        (tmp_path / "small.json").write_text(json.dumps(SMALL))
        files = [*overlays, str(tmp_path / "small.json")]
        package(
            str(bundle), str(tmp_path / name), config_file=files, ckpt_path=ckpt_path, **options
        )
        return tmp_path / name

    return one


def test_package_then_holds_what_the_zoo_asks_for(bundle):
    wanted = ["LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json"]
    wanted += ["configs/evaluate.json", "configs/multi_gpu_train.json", "configs/logging.conf"]
    wanted += [
        "docs/README.md",
        "docs/bundle.md",
        "docs/data_license.txt",
        "models/model.pt",
        "models/exports.json",
    ]
    assert [name for name in wanted if not (bundle / name).is_file()] == []
    meta = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert meta["version"] in meta["changelog"]
    formats = meta["network_data_format"]
    assert list(formats["inputs"]) == ["image"]
    assert list(formats["outputs"]) == ["pred"]
    for name in ("train", "evaluate", "inference"):
        assert "run" in json.loads((bundle / "configs" / f"{name}.json").read_text())


def test_package_under_the_strict_policy_then_allowed(packed, tmp_path, capsys):
    """Configs, Python, weights and exports, in the zip and unpacked."""
    with zipfile.ZipFile(packed / "lung.zip") as archive:
        archive.extractall(tmp_path)
    for path in (packed / "lung.zip", tmp_path / LUNG.name):
        main(["audit", "--policy", "strict", "--config", str(path)])
        assert capsys.readouterr().out == f"allowed: {path}\n"


def test_metadata_then_the_versions_that_are_installed(bundle):
    meta = json.loads((bundle / "configs" / "metadata.json").read_text())
    packages = meta["required_packages_version"]
    assert {"pytorch-ignite", "SimpleITK", "pydicom", "matplotlib", "fire"} <= packages.keys()
    packages |= {"monai": meta["monai_version"], "numpy": meta["numpy_version"]}
    assert packages == {name: metadata.version(name) for name in packages}
    assert torch.__version__.startswith(meta["pytorch_version"])


def test_python_then_only_what_the_configs_need(bundle):
    found = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*.py")}
    assert "scripts/training/fine_tuning/stages.py" in found
    assert not [name for name in found if re.search("phantom|luna16|ircadb|demo|study/", name)]
    assert {"scripts/__main__.py", "scripts/prediction/predict_command.py"} <= found
    for name in found:
        assert (bundle / name).read_bytes() == (ROOT / name).read_bytes()


def test_nothing_then_tells_of_this_machine(packed):
    with zipfile.ZipFile(packed / "lung.zip") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert str(ROOT).encode() not in content, name
            assert str(packed).encode() not in content, name


def test_bundle_of_ones_own_then_neither_its_folder_nor_that_of_the_data_is_named(pack, tmp_path):
    own = tmp_path / "Miller^John" / "my_segmentation"
    own.parent.mkdir()
    datalist = write_datalist(own.parent, names=("background", "nodule"), lung=True)
    new_bundle(datalist, str(own))
    with zipfile.ZipFile(pack("own.zip", bundle=own)) as archive:
        names = archive.namelist()
        content = b"".join(map(archive.read, names))
    assert "my_segmentation/docs/bundle.md" in names
    assert str(tmp_path).encode() not in content
    assert b"Miller" not in content


def test_configs_then_say_what_the_model_is(bundle):
    for name in ("train", "evaluate", "inference"):
        config = json.loads((bundle / "configs" / f"{name}.json").read_text())
        assert "trained" not in config
        assert config["window_hu"] == [-1000, 400]
        network = config["network_def"]
        assert network["_target_"] == "custom_nets.unet.TransferUNet"
        assert (network["encoder"], network["norm"]) == ("resnet18", "group")
        assert network["weights"] == ("@encoder_weights" if name == "train" else "none")
    model = read_model(bundle / "models" / "model.pt")
    assert model.settings["network_def"]["decoder_channels"] == SMALL["decoder_channels"]


def test_weights_without_settings_then_refused_unless_accepted_unchecked(pack, tmp_path):
    network = TransferUNet("vgg16", decoder_channels=[4] * 5)
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    with pytest.raises(ValueError, match="does not say how it was trained, so that network_def, "):
        pack(ckpt_path=tmp_path / "theirs.pt")


def test_control_with_shuffled_labels_then_refused(pack, tmp_path, checkpoint):
    content = torch.load(checkpoint, weights_only=True)
    content["data"] = {**content.get("data", {}), "labels": ["shuffled"]}
    torch.save(content, tmp_path / "control.pt")
    with pytest.raises(ValueError, match="is a control, trained on shuffled labels"):
        pack("control.zip", ckpt_path=tmp_path / "control.pt")
    assert not (tmp_path / "control.zip").exists()


def test_weights_then_alone_and_loadable_without_code(bundle, checkpoint):
    packaged = torch.load(bundle / "models" / "model.pt", weights_only=True)
    trained = torch.load(checkpoint, weights_only=True)["model"]
    assert packaged.keys() == trained.keys()
    assert all(torch.equal(packaged[key], trained[key]) for key in trained)


def test_zip_then_one_folder_sorted_and_without_times(packed):
    with zipfile.ZipFile(packed / "lung.zip") as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert {name.split("/")[0] for name in names} == {LUNG.name}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert len(set(names)) == len(names)


def test_package_when_made_twice_then_equal_bytes(pack):
    first, second = pack("a.zip").read_bytes(), pack("b.zip").read_bytes()
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


def test_large_model_then_packaged_with_a_warning(pack, caplog):
    with zipfile.ZipFile(pack()) as archive:
        assert f"{LUNG.name}/models/model.pt" in archive.namelist()
    assert "no file over 25 MB: for it, pass --model_url" in caplog.text


def test_address_of_the_model_then_large_files_in_its_place(pack):
    path = pack(model_url="https://example.org/model.pt")
    content = path.with_name("lung_model.pt").read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert f"{LUNG.name}/models/model.pt" not in archive.namelist()
        listed = archive.read(f"{LUNG.name}/large_files.yml").decode()
    assert f'hash_val: "{hashlib.sha256(content).hexdigest()}"' in listed
    assert 'hash_type: "sha256"' in listed
    assert 'url: "https://example.org/model.pt"' in listed
    assert 'path: "models/model.pt"' in listed


def test_window_of_an_overlay_when_not_the_models_then_refused_and_nothing_left(pack, tmp_path):
    (tmp_path / "window.json").write_text('{"window_hu": [-500, 100]}')
    with pytest.raises(ValueError, match=r"window_hu: the file has \[-1000, 400\], the config has"):
        pack(overlays=[*OVERLAYS, str(tmp_path / "window.json")])
    (tmp_path / "window.json").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json"]


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04"])
def test_file_that_holds_no_weights_then_refused(pack, tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match="ckpt_path"):
        pack(ckpt_path=str(tmp_path / "model.pt"))


def test_package_when_an_export_fails_then_no_zip(pack, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("exports: torch cannot export this network")

    monkeypatch.setattr(package_command, "export_all", fail)
    with pytest.raises(ValueError, match="torch cannot export"):
        pack(exports="onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bundle", "nowhere"], "bundle: no such folder"),
        (["--bundle", "bundles"], "must contain 'segmentation'"),
        (["--output", "lung.tar"], "must be a file ending in .zip"),
        (["--model_url", "ftp://a/b"], "must start with https://"),
        (["--ckpt_path", "none.pt"], "no trained network at none.pt"),
    ],
    ids=["no folder", "no task", "no zip", "no address", "no weights"],
)
def test_mistake_then_one_line(options, said, tmp_path, capsys):
    asked = {"--bundle": str(LUNG), "--output": str(tmp_path / "a.zip")}
    asked |= dict([options])
    with pytest.raises(SystemExit) as stop:
        main(["package", *(word for pair in asked.items() for word in pair)])
    assert stop.value.code == 2
    said_there = capsys.readouterr().err
    assert said in said_there
    assert list(tmp_path.iterdir()) == []


def test_zip_that_another_process_writes_then_refused_and_what_a_killed_one_left_is_removed(
    pack, tmp_path
):
    left = tmp_path / ".part-abc-lung.zip"
    left.mkdir()
    (left / "model.pt").touch()
    (tmp_path / ".part-abc-other.zip").touch()
    with held_by_another(tmp_path / ".lung.zip.lock"), pytest.raises(InUseError, match="writing"):
        pack()
    pack()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".part-abc-other.zip", "lung.zip", "small.json"]


@pytest.mark.parametrize("bundle", [LUNG, LIVER], ids=lambda folder: folder.name)
def test_bundle_and_its_package_then_the_same_members_for_a_limit_of_their_agreement(
    simple, tmp_path, bundle
):
    """A limit that was calibrated with one holds for the other, and for no other config."""
    weights = str(simple / f"{bundle.name}.pt")
    options = Options(bundle, checkpoints=(weights,), flips=("x",), engine="torch")
    of_folder = Model(options).members_identity
    with unpacked_bundle(simple / f"{bundle.name}.zip") as folder:
        packed = Options(folder, flips=("x",), engine="torch")
        assert Model(packed).members_identity == of_folder
        (tmp_path / "other.json").write_text('{"filled": [1, 1]}')
        other = replace(packed, config_files=(str(tmp_path / "other.json"),))
        assert Model(other).members_identity.differences(of_folder) == ["another config"]
