import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from scripts.audit.bundle_files import FolderFiles, ZipFiles
from scripts.audit.model_files import audit_model_file
from tests.scripts.audit.samples import Bomb


@pytest.fixture
def canary(tmp_path):
    canary = tmp_path / "canary"
    yield canary
    assert not canary.exists()


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_torch_file_then_high_for_a_bomb_and_low_for_weights(tmp_path, canary, new_format):
    weights = {"model": torch.nn.Linear(2, 2).state_dict(), "epoch": 3}
    for name, content in (("good.pt", weights), ("bad.pt", {**weights, "x": Bomb(canary)})):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=new_format)
    good, bad = (audit_model_file(FolderFiles(tmp_path), name) for name in ("good.pt", "bad.pt"))
    assert [sign.level for sign in good] == ["low"]
    assert [(sign.level, sign.kind) for sign in bad] == [("high", "pickle")]
    assert "imports posix.mkdir" in bad[0].why


def test_whole_module_then_the_classes_that_it_needs(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pt")
    signs = audit_model_file(FolderFiles(tmp_path), "net.pt")
    assert any("torch.nn.modules.linear.Linear" in sign.why for sign in signs)
    assert {sign.level for sign in signs} == {"high"}


def test_torchscript_then_low_until_a_pickle_is_put_in(tmp_path, canary):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "net.ts"))
    assert [sign.level for sign in audit_model_file(FolderFiles(tmp_path), "net.ts")] == ["low"]
    with (
        zipfile.ZipFile(tmp_path / "net.ts") as old,
        zipfile.ZipFile(tmp_path / "b.ts", "w") as new,
    ):
        for info in old.infolist():
            bomb = info.filename.endswith("/data.pkl")
            new.writestr(info.filename, pickle.dumps(Bomb(canary)) if bomb else old.read(info))
    assert audit_model_file(FolderFiles(tmp_path), "b.ts")[0].level == "high"


@pytest.mark.parametrize(
    ("array", "level"), [(np.zeros(3), "low"), (np.array([{}], dtype=object), "high")]
)
def test_array_then_high_where_it_holds_objects(tmp_path, array, level):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.zeros(2), y=array)
    for name in ("a.npy", "a.npz"):
        assert audit_model_file(FolderFiles(tmp_path), name)[-1].level == level


def test_model_in_a_zip_then_looked_into_in_place(tmp_path, canary):
    buffer = io.BytesIO()
    torch.save({"x": Bomb(canary)}, buffer)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/models/model.pt", buffer.getvalue())
    assert audit_model_file(ZipFiles(tmp_path / "b.zip"), "models/model.pt")[0].level == "high"


def test_file_that_is_no_model_then_said(tmp_path):
    (tmp_path / "a.pt").write_text("not a model")
    signs = audit_model_file(FolderFiles(tmp_path), "a.pt")
    assert signs[0].level == "high"
    assert "cannot be examined" in signs[0].why
