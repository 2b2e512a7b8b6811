"""``.pt2`` files: a network's own is allowed, one with a change that runs code is not."""

import json
import pickle
import re
import zipfile

import pytest
import torch

from scripts.audit.bundle_files import FolderFiles
from scripts.audit.exported_programs import audit_program, computes, is_program
from scripts.audit.model_files import audit_model_file
from tests.scripts.audit.samples import Bomb


class Padding(torch.nn.Module):
    """Computes with the image's size, as networks that pad it do."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 1, 3)

    def forward(self, x):
        missing = -x.shape[-1] % 8
        return self.convolution(torch.nn.functional.pad(x, (0, missing)))[..., : x.shape[-1]]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    free = {0: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(
        Padding().eval(), (torch.zeros(2, 1, 16, 24),), dynamic_shapes=(free,)
    )
    torch.export.save(exported, folder / "net.pt2", extra_files={"a.json": "{}"})
    return folder / "net.pt2"


def changed(program, folder, change, **added):
    """Copy a program with its description changed and members added; return its signs."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(folder / "bad.pt2", "w") as new:
        for info in old.infolist():
            content = old.read(info)
            if info.filename.endswith(".json") and not info.filename.endswith("a.json"):
                content = change(content.decode()).encode()
            new.writestr(info.filename, added.pop(info.filename, content))
        for name, content in added.items():
            new.writestr(name, content)
    return audit_model_file(FolderFiles(folder), "bad.pt2")


def test_network_of_any_size_then_low(program):
    signs = audit_model_file(FolderFiles(program.parent), program.name)
    assert [sign.level for sign in signs] == ["low"]
    with zipfile.ZipFile(program) as archive:
        assert is_program(archive)
        assert list(audit_program(archive)) == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("torch.ops.aten.conv2d.default", "torch.os.system", "calls torch.os.system"),
        ("torch.ops.aten.conv2d.default", "torch.ops.aten.from_file.default", "no operator"),
        ("torch.ops.aten.conv2d.default", "#extension:op", "calls #extension:op"),
        ('"use_pickle": false', '"use_pickle": true', "unpickles convolution"),
        ("Integer(8)", "__import__('os')", "evaluates .*import"),
        ('"guards_code": [', '"guards_code": ["exit()", ', "evaluates 'exit"),
    ],
)
def test_program_that_runs_code_then_high(program, tmp_path, old, new, why):
    def change(text):
        return text.replace(old, new)

    signs = changed(program, tmp_path, change)
    assert {sign.level for sign in signs} == {"high"}
    assert any(re.search(why, sign.why) for sign in signs)


@pytest.mark.parametrize(
    "name",
    ["data/constants/opaque_obj_0", "data/constants/custom_obj_0", "data/aotinductor/model/a.so"],
)
def test_part_that_is_pickled_or_compiled_then_high(program, tmp_path, name):
    signs = changed(program, tmp_path, lambda text: text, **{f"net/{name}": b"x"})
    assert [(sign.level, sign.what) for sign in signs] == [("high", name)]


def test_example_with_a_bomb_then_high(program, tmp_path):
    canary = tmp_path / "canary"
    bomb = {"net/data/sample_inputs/model.pt": pickle.dumps(Bomb(canary))}
    signs = changed(program, tmp_path, lambda text: text, **bomb)
    assert [(sign.level, sign.kind) for sign in signs] == [("high", "pickle")]
    assert not canary.exists()


def test_pt2_of_another_format_then_not_examined(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", json.dumps({}))
    (sign,) = audit_model_file(FolderFiles(tmp_path), "old.pt2")
    assert (sign.level, sign.why) == ("high", "of an earlier format of torch: not examined")


@pytest.mark.parametrize("text", ["(lambda: 1)()", "L['x'].__class__", "[1]", "", 3, "f('a')"])
def test_expression_of_anything_but_sizes_then_refused(text):
    assert not computes(text)
