"""What the parts of a config would do."""

import pytest

from scripts.audit.audit import audit_paths
from tests.scripts.audit.samples import write


@pytest.mark.parametrize(
    ("part", "level", "kind"),
    [
        ({"_target_": "Compose", "transforms": [{"_target_": "os.system"}]}, "high", "process"),
        ({"_target_": "$@name"}, "high", "process"),
        ({"_target_": "$@part2"}, "medium", "target"),
        ({"_target_": "$'Com' + 'pose'"}, "medium", "target"),
        ({"_target_": "$'os.' + 'system'"}, "high", "process"),
        ({"_target_": "@name"}, "high", "process"),
        ({"_target_": {"_target_": "Compose"}}, "medium", "target"),
        ({"_target_": "os.system", "_disabled_": True, "a": "$1"}, "medium", "process"),
        ({"_target_": "Compose", "_disabled_": True, "a": "$eval('1')"}, "high", "code"),
        ({"_target_": "Compose", "_requires_": "$exec('1')"}, "high", "code"),
        ({"_target_": "Compose", "_mode_": "debug"}, "medium", "code"),
        ({"_target_": "Compose", "_mode_": "later"}, "medium", "code"),
        ({"_target_": "LoadImage", "_mode_": "callable"}, "medium", "code"),
        ({"_target_": "SaveImage", "_mode_": "callable", "output_dir": "out"}, "low", "target"),
        ({"_target_": "VNet", "_mode_": "callable"}, "low", "target"),
        ({"_target_": "DiceLoss", "sigmod": True}, "problem", "name"),
        ({"_target_": "DiceLoss", "sigmoid": True}, "low", "target"),
        ({"_target_": "scripts.transforms.crops.RandCropWithLabeld", "shar": 1}, "problem", "name"),
        ({"_target_": "LoadImaged", "keys": "a", "reader": "os.abort"}, "high", "process"),
        (
            {"_target_": "LoadImaged", "keys": "a", "reader": ["ITKReader", "a.b"]},
            "medium",
            "target",
        ),
        ({"_target_": "LoadImaged", "keys": "a", "reader": "@name"}, "high", "process"),
        ({"_target_": "LoadImaged", "keys": "a", "reader": "NibabelReader"}, "low", "target"),
        ({"_target_": "Dataset", "data": "@list", "transform": "os.abort"}, "high", "process"),
        ({"_target_": "torch.load", "f": "a", "weights_only": True}, "low", "target"),
        ({"_target_": "torch.load", "f": "/a.pt", "weights_only": True}, "medium", "read"),
        ({"_target_": "torch.load", "f": "$@part2.name", "weights_only": True}, "medium", "read"),
        ({"_target_": "torch.load", "f": "a"}, "high", "pickle"),
        ({"_target_": "torch.load", "f": "a", "weights_only": "@part2"}, "high", "pickle"),
        ({"_target_": "NumpyReader", "allow_pickle": True}, "high", "pickle"),
        ({"_target_": "resnet18", "pretrained": True}, "medium", "code"),
        ({"_target_": "resnet18", "pretrained": False, "spatial_dims": 3}, "low", "target"),
        ({"_target_": "resnet18", "pretrained": "/a.pt"}, "medium", "read"),
        ({"_target_": "EfficientNetBN", "model_name": "efficientnet-b0"}, "medium", "network"),
        ({"_target_": "Compose", "map_items": "https://example.org/a.pt"}, "high", "network"),
        ({"_target_": "SaveImaged", "keys": "a", "output_dir": "/etc"}, "high", "write"),
        (
            {"_target_": "SaveImaged", "keys": "a", "output_dir": "$@output_dir + '/../..'"},
            "high",
            "write",
        ),
        (
            {"_target_": "SaveImaged", "keys": "a", "output_dir": "$@output_dir + '/a'"},
            "low",
            "write",
        ),
        ({"_target_": "SaveImaged", "keys": "a", "output_dir": "$@part2.name"}, "medium", "write"),
        ({"_target_": "SaveImaged", "keys": "a", "data_root_dir": "@dataset_dir"}, "low", "target"),
        ({"_target_": "SaveImaged", "keys": "a", "data_root_dir": "a/b/c"}, "medium", "write"),
        (
            {"_target_": "CheckpointSaver", "save_dir": "out", "final_filename": "a.py"},
            "high",
            "write",
        ),
        (
            {"_target_": "DataLoader", "dataset": [], "batch_size": 2, "shuffle": True},
            "low",
            "target",
        ),
        ({"_target_": "DataLoader", "dataset": [], "unheard": 2}, "medium", "target"),
        ({"_target_": "Dataset", "data": [{"image": "/home/me/secret.nii"}]}, "medium", "read"),
        ({"_target_": "Dataset", "data": [{"a#b": 1}]}, "medium", "id"),
        ({"_target_": "Compose", "_desc_": "see https://example.org"}, "low", "target"),
    ],
)
def test_component_then_judged_by_all_of_it(tmp_path, part, level, kind):
    config = {"name": "os.system", "output_dir": "out", "dataset_dir": "data", "list": []}
    config |= {"part2": {"_target_": "Compose"}, "part": part, "run": ["@part", "@name"]}
    found = audit_paths([str(write(tmp_path / "a.json", config))])
    mine = [f for f in found if f.place.split("::")[0] == "part"]
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


def test_import_anywhere_in_a_config_then_known_to_every_expression(tmp_path):
    config = {
        "run": ["$o.path.join('a', 'b')", "$m.sqrt(2)", "$o.getcwd()"],
        "late": ["$import os as o", "$import math as m"],
    }
    found = audit_paths([str(write(tmp_path / "a.json", config))])
    levels = {(f.place, f.level) for f in found if f.kind != "id"}
    assert {("run::0", "low"), ("run::1", "low"), ("run::2", "medium")} <= levels
    assert ("late::0", "low") in levels


def test_metadata_then_prose_unless_it_runs(tmp_path):
    write(tmp_path / "metadata.json", {"see": "https://example.org", "version": "$import socket"})
    found = audit_paths([str(write(tmp_path / "a.json", {"run": ["$1"]}))])
    high = [(f.place, f.kind) for f in found if f.level == "high"]
    assert high == [("_meta_::version", "network")]
