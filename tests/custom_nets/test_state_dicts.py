from __future__ import annotations

import argparse
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.serialization import config as serialization

from custom_nets.state_dicts import (
    UnreadableError,
    flattened,
    read_content,
    refuse_non_finite,
    unwrap,
)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.Sequential(nn.Linear(3, 1))))


OWN = network().state_dict()
HEAD = {"head.weight": torch.zeros(2)}


def named(prefix: str) -> dict[str, Any]:
    return {f"{prefix}{key}": tensor for key, tensor in OWN.items()}


@pytest.mark.parametrize(
    ("content", "prefix"),
    [
        (OWN, ""),
        (named("module."), "module."),
        (named("_orig_mod."), "_orig_mod."),
        (named("net.encoder.backbone."), "net.encoder.backbone."),
        (named("model._orig_mod.module."), "model._orig_mod.module."),
        (named("any_name.of_mine."), "any_name.of_mine."),
        ({"state_dict": OWN, "epoch": 3}, "state_dict."),
        ({"model_state_dict": named("module."), "optimizer": {"state": {0: HEAD}}}, None),
        ({"ema": {"network": named("model.")}, "args": {"lr": 1.0}}, "ema.network.model."),
        ({"teacher": {**named("backbone."), **HEAD}}, "teacher.backbone."),
        ({"state_dict": OWN, "model": {k: t.clone() for k, t in OWN.items()}}, "model."),
    ],
)
def test_weights_in_any_wrapping_then_their_own_names_and_the_prefix(content, prefix):
    found = unwrap(flattened(content), OWN)
    assert prefix in (found.prefix, None)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in OWN.items())


def test_wrappers_inside_names_then_removed():
    compiled = {key.replace(".", "._orig_mod.module.", 1): tensor for key, tensor in OWN.items()}
    assert "a._orig_mod.module.weight" in compiled
    assert set(unwrap(compiled, OWN).tensors) == set(OWN)


def test_network_with_a_part_named_module_then_it_keeps_its_name():
    own = {"module.weight": torch.ones(1), "last.weight": torch.zeros(1)}
    assert unwrap(own, own).tensors == own
    assert set(unwrap({f"module.{k}": t for k, t in own.items()}, own).tensors) == set(own)


def test_two_different_sets_of_weights_then_refused_by_their_names():
    other = {key: tensor + 1 for key, tensor in OWN.items()}
    with pytest.raises(ValueError, match=r"2 sets .*under 'student.', 'teacher.'; save the one"):
        unwrap(flattened({"student": OWN, "teacher": other}), OWN)


def save(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_numbers_of_numpy_and_options_beside_tensors_then_read(tmp_path):
    content = {
        "state_dict": OWN,
        "best": np.float64(0.5),
        "loss": np.float32(0.25),
        "epoch": np.int64(3),
        "args": argparse.Namespace(lr=0.1),
    }
    read = read_content(save(content, tmp_path / "checkpoint.pth"))
    assert set(flattened(read)) == {f"state_dict.{key}" for key in OWN}
    assert (read["best"], read["epoch"]) == (0.5, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "no file of torch.save"),
        (b"\x80", "no file of torch.save"),
        (b"GIF89a", "no file of torch.save"),
        (b"PK\x03\x04", "damaged or was not written completely"),
    ],
)
def test_file_without_weights_then_one_line(tmp_path, content, reason):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match=reason) as caught:
        read_content(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("b/models/model.pt", r"is a zip that holds b/models/model\.pt; unpack it and name that"),
        ("b/configs/train.json", "is a zip without a file of weights"),
    ],
)
def test_zip_of_files_then_said_to_unpack_it(tmp_path, inside, reason):
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b/", "")
        archive.writestr(inside, b"x")
    with pytest.raises(UnreadableError, match=reason):
        read_content(path)


@pytest.mark.parametrize("checksums", [True, False])
def test_bit_of_a_weight_flipped_then_refused_if_the_file_has_checksums(tmp_path, checksums):
    path = tmp_path / "weights.pth"
    with patch.object(serialization.save, "compute_crc32", checksums):
        save({"model": {"w": torch.full((1000,), 1.0)}}, path)
    assert read_content(path)["model"]["w"].eq(1).all()
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((9,), 1.0).numpy().tobytes()) + 2] ^= 0x40
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["model"]["w"][0] == 1.5  # torch compares nothing
    if not checksums:
        return
    with pytest.raises(UnreadableError, match="damaged or was not written completely"):
        read_content(path)


def test_object_beside_tensors_then_its_type_in_one_line(tmp_path):
    with pytest.raises(UnreadableError, match="type torch.nn.modules.linear.Linear, not only") as e:
        read_content(save({"model": nn.Linear(1, 1)}, tmp_path / "whole.pth"))
    assert "\n" not in str(e.value)


def test_safetensors_then_read_and_damage_in_one_line(tmp_path):
    files = pytest.importorskip("safetensors.torch")
    path = tmp_path / "weights.safetensors"
    files.save_file(named("backbone."), path)
    assert unwrap(flattened(read_content(path)), OWN).prefix == "backbone."
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UnreadableError, match="damaged"):
        read_content(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_value_that_is_not_finite_then_refused_by_the_tensors_name(value):
    tensors = {key: tensor.clone() for key, tensor in OWN.items()}
    refuse_non_finite(tensors, "file.pt")
    tensors["b.0.weight"][0, 1] = value
    with pytest.raises(
        ValueError, match=r"file.pt holds .* in 1 of 4 tensors: b.0.weight \(1 of 3 "
    ):
        refuse_non_finite(tensors, "file.pt")
