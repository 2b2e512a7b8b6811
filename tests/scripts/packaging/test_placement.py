"""Large files of a package: in it with a warning, or at addresses with their hashes."""

import hashlib

import pytest
import yaml

from scripts.packaging import placement
from scripts.packaging.placement import place_weights


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(placement, "LARGE", 10)
    (tmp_path / "made" / "models").mkdir(parents=True)
    for name, size in (("model.pt", 4), ("model.onnx", 20), ("exports.json", 3)):
        (tmp_path / "made" / "models" / name).write_bytes(bytes(size))
    return tmp_path / "made"


def test_without_an_address_then_kept_and_each_large_file_said(unpacked, tmp_path, caplog):
    told = place_weights(unpacked, tmp_path / "a.zip", None)
    assert told == f"`models/model.pt`, sha256 {hashlib.sha256(bytes(4)).hexdigest()}"
    assert [record.args[0] for record in caplog.records] == ["model.onnx"]
    assert len(list((unpacked / "models").iterdir())) == 3


def test_with_an_address_then_weights_and_large_exports_beside_the_zip(unpacked, tmp_path):
    place_weights(unpacked, tmp_path / "a.zip", "https://example.org/lung/weights.pt?x=1")
    listed = yaml.safe_load((unpacked / "large_files.yml").read_text())["large_files"]
    assert [(one["path"], one["url"]) for one in listed] == [
        ("models/model.pt", "https://example.org/lung/weights.pt?x=1"),
        ("models/model.onnx", "https://example.org/lung/model.onnx"),
    ]
    for one, name in zip(listed, ("a_model.pt", "a_model.onnx"), strict=True):
        content = (tmp_path / name).read_bytes()
        assert one["hash_val"] == hashlib.sha256(content).hexdigest()
    assert [path.name for path in (unpacked / "models").iterdir()] == ["exports.json"]


def test_plain_package_then_its_pt2_is_the_weights(tmp_path):
    (tmp_path / "made" / "models").mkdir(parents=True)
    (tmp_path / "made" / "models" / "model.pt2").write_bytes(b"x")
    told = place_weights(tmp_path / "made", tmp_path / "a.zip", None)
    assert told.startswith("`models/model.pt2`, sha256 ")
