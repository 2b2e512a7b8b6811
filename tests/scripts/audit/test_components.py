"""What the parts of a config would do."""

import pytest

from scripts.audit.audit import audit_paths
from scripts.audit.components import static_text
from tests.scripts.audit.samples import write


@pytest.mark.parametrize(
    ("part", "level", "kind"),
    [
        ({"_target_": "Compose", "transforms": [{"_target_": "os.system"}]}, "high", "process"),
        ({"_target_": "$@name"}, "medium", "target"),
        ({"_target_": "$'os.' + 'system'"}, "high", "code"),
        ({"_target_": "@name"}, "high", "process"),
        ({"_target_": "os.system", "_disabled_": True, "a": "$1"}, "medium", "process"),
        ({"_target_": "Compose", "_disabled_": True, "a": "$eval('1')"}, "high", "code"),
        ({"_target_": "Compose", "_requires_": "$exec('1')"}, "high", "code"),
        ({"_target_": "Compose", "_mode_": "debug"}, "medium", "code"),
        ({"_target_": "Compose", "_mode_": "later"}, "problem", "name"),
        ({"_target_": "DiceLoss", "sigmod": True}, "problem", "name"),
        ({"_target_": "DiceLoss", "sigmoid": True}, "low", "target"),
        ({"_target_": "scripts.transforms.crops.RandCropWithLabeld", "shar": 1}, "problem", "name"),
        ({"_target_": "LoadImaged", "keys": "a", "reader": "os.abort"}, "high", "process"),
        ({"_target_": "torch.load", "f": "a", "weights_only": True}, "medium", "read"),
        ({"_target_": "torch.load", "f": "a"}, "high", "pickle"),
        ({"_target_": "NumpyReader", "allow_pickle": True}, "high", "pickle"),
        ({"_target_": "resnet18", "pretrained": True}, "medium", "network"),
        ({"_target_": "Compose", "weights": "https://example.org/a.pt"}, "high", "network"),
        ({"_target_": "SaveImaged", "output_dir": "/etc"}, "high", "write"),
        ({"_target_": "SaveImaged", "output_dir": "$@output_dir + '/../..'"}, "high", "write"),
        ({"_target_": "SaveImaged", "output_dir": "$@output_dir + '/a'"}, "low", "write"),
        ({"_target_": "LoadImaged", "path": "/home/me/secret.nii"}, "medium", "read"),
        ({"_target_": "Compose", "_desc_": "see https://example.org"}, "low", "target"),
    ],
)  # fmt: skip
def test_component_then_judged_by_all_of_it(tmp_path, part, level, kind):
    config = {"name": "os.system", "output_dir": "out", "part": part, "run": ["@part", "@name"]}
    found = audit_paths([str(write(tmp_path / "a.json", config))])
    mine = [f for f in found if f.place.startswith("part")]
    assert (level, kind) in {(f.level, f.kind) for f in mine}
    order = ("high", "medium", "problem", "low")
    assert min((f.level for f in mine), key=order.index) == level


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("class RandCropWithLabeld:\n    def __init__(self, keys, wide): ...", []),
        (
            "class RandCropWithLabeld:\n    def __init__(self, keys, wider): ...",
            ["takes no wide; did you mean wider?"],
        ),
        ("@more\ndef RandCropWithLabeld(keys): ...", []),
        ("class RandCropWithLabeld(:", []),
        ("x = 1", []),
    ],
    ids=["takes it", "takes it not", "decorated", "no Python", "not in it"],
)
def test_component_of_a_bundle_then_its_arguments_are_of_the_bundles_source(
    tmp_path, source, wrong
):
    part = {"_target_": "scripts.transforms.crops.RandCropWithLabeld", "keys": "a", "wide": 1}
    write(tmp_path / "b" / "scripts" / "transforms" / "crops.py", source)
    write(tmp_path / "b" / "configs" / "train.json", {"part": part, "run": ["@part"]})
    found = audit_paths([str(tmp_path / "b")])
    assert [f.why for f in found if f.place == "part" and f.level == "problem"] == wrong


def test_text_of_constants_and_references_then_put_together():
    config = {"a": "models", "b": {"c": "$@a + '/x'"}, "d": "$@b::c + '/model.pt'", "e": "$f(@a)"}
    assert static_text(config, "@d") == "models/x/model.pt"
    assert static_text(config, "@e") is None
    assert static_text(config, "@none") is None
    assert static_text({"a": "@b", "b": "@a"}, "@a") is None


def test_import_anywhere_in_a_config_then_known_to_every_expression(tmp_path):
    config = {
        "run": ["$o.getcwd()", "$m.sqrt(2)"],
        "late": ["$import os as o", "$import math as m"],
    }
    found = audit_paths([str(write(tmp_path / "a.json", config))])
    levels = {(f.place, f.level) for f in found if f.kind != "id"}
    assert ("run::1", "low") in levels
    assert ("late::0", "medium") in levels
    assert not [f for f in found if "nothing imports or defines" in f.why]


def test_metadata_then_prose_unless_it_runs(tmp_path):
    write(tmp_path / "metadata.json", {"see": "https://example.org", "version": "$import socket"})
    found = audit_paths([str(write(tmp_path / "a.json", {"run": ["$1"]}))])
    high = [(f.place, f.kind) for f in found if f.level == "high"]
    assert high == [("_meta_::version", "network")]
