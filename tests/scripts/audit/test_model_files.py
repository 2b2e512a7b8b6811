import io
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import onnx
import pytest
import torch

from scripts.audit.bundle_files import FolderFiles, ZipFiles
from scripts.audit.model_files import (
    MOST_PICKLES,
    UNKNOWN,
    audit_model_file,
    globals_in,
    unsafe_globals,
)
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


@pytest.mark.parametrize(
    ("path", "level"),
    [("weights.bin", "low"), ("../../secret", "medium"), ("/etc/passwd", "medium")],
)
def test_onnx_with_weights_in_another_file_then_its_path_judged(tmp_path, path, level):
    tensor = onnx.helper.make_tensor("a", onnx.TensorProto.FLOAT, [1], [0.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)
    graph = onnx.helper.make_graph([], "net", [], [], [tensor])
    (tmp_path / "net.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    (sign,) = audit_model_file(FolderFiles(tmp_path), "net.onnx")
    assert (sign.level, sign.what) == (level, path)


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_of_any_protocol_then_its_imports_without_running(canary, protocol):
    expected = ["posix.mkdir"] if protocol < 4 else [UNKNOWN]
    assert globals_in(pickle.dumps(Bomb(canary), protocol)) == expected


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_of_plain_values_then_no_imports(protocol):
    assert globals_in(pickle.dumps({"a": [1, "os system"], "b": None}, protocol)) == []


def test_pickle_when_a_name_is_not_stated_then_unknown():
    built = b"\x80\x04\x8c\x02os\x94]\x94(h\x00\x8c\x06systeme0\x93."
    assert globals_in(built) == [UNKNOWN]


def test_several_pickles_then_all_read_and_what_follows_ignored(canary):
    two = pickle.dumps(1) + pickle.dumps(Bomb(canary), 2) + b"rest of a torch file"
    assert globals_in(two) == ["posix.mkdir"]
    hidden = pickle.dumps(1) * MOST_PICKLES + pickle.dumps(Bomb(canary))
    assert globals_in(hidden) == []  # no reader goes so far


@pytest.mark.parametrize("content", [b"nonsense", b"", pickle.dumps([1, 2])[:-3]])
def test_pickle_when_damaged_then_refused(content):
    with pytest.raises(ValueError, match="cannot be read as a pickle"):
        globals_in(content)


def test_tensors_then_safe_and_other_classes_named():
    content = pickle.dumps({"a": OrderedDict(), "b": torch.Size([1])}, 2)
    assert unsafe_globals(content) == []
    assert unsafe_globals(pickle.dumps(np.random.RandomState, 2)) == [
        "numpy.random.mtrand.RandomState"
    ]


def test_torchscript_then_its_own_classes_are_safe():
    content = b"c__torch__.net\nNet\n."
    assert unsafe_globals(content) == ["__torch__.net.Net"]
    assert unsafe_globals(content, torchscript=True) == []
