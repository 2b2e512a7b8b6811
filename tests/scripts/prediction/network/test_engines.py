"""The same network by torch and by OpenVINO; what is refused needs no OpenVINO to be told."""

import importlib.util
import json
from dataclasses import replace

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from torch import nn

from scripts.__main__ import main
from scripts.prediction.network import engines, openvino_network
from scripts.prediction.network.engines import Engine, check_engine
from scripts.prediction.network.model import Model
from scripts.prediction.writing.manifest import fingerprint
from scripts.training.inferers import AutocastInferer, SlicewiseInferer
from scripts.training.precision import native_dtype
from tests.scripts.prediction.network.test_openvino_network import Random
from tests.scripts.prediction.shapes import chest
from tests.scripts.prediction.studies import bright_chest, write_nifti

CPU = torch.device("cpu")
ROOM = "scripts.prediction.network.engines.importlib.util.find_spec"


@pytest.fixture
def _installed(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(ROOM, lambda name: object() if name == "openvino" else find(name))


def test_unknown_engine_then_the_valid_ones_named():
    with pytest.raises(
        ValueError, match="engine: must be one of auto, torch, openvino, openvino-int8, got 'onnx'"
    ):
        check_engine("onnx")


def test_no_engine_named_then_auto():
    assert check_engine(None) == "auto"


def test_openvino_not_installed_then_said_what_to_install(monkeypatch):
    monkeypatch.setattr(ROOM, lambda name: None)
    with pytest.raises(ValueError, match=r"pip install openvino -c constraints\.txt"):
        check_engine("openvino")
    assert check_engine("torch") == "torch"


@pytest.mark.usefixtures("_installed")
def test_openvino_on_a_gpu_then_refused():
    with pytest.raises(ValueError, match="openvino runs on the CPU only, got device 'cuda:0'"):
        Engine("openvino", torch.device("cuda:0"))


@pytest.mark.usefixtures("_at_the_root", "_installed", "_fresh_model")
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("--device", "cuda", "--engine", "openvino"), "runs on the CPU only, got device"),
        (("--engine", "onnx"), "must be one of auto, torch, openvino"),
    ],
    ids=["openvino on a GPU", "unknown"],
)
def test_command_with_a_wrong_engine_then_one_line_and_nothing_written(
    lung_options, tmp_path, capsys, monkeypatch, given, reason
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    source = write_nifti(tmp_path / "a.nii.gz", chest())
    words = ["predict", "--bundle", str(lung_options.bundle), "--source", str(source)]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--output", str(tmp_path / "out"), *given])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "engine: " in line
    assert reason in line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("_at_the_root", "_installed")
def test_engine_then_part_of_what_a_result_is_known_by(lung_options):
    marks = {
        fingerprint(Model(replace(lung_options, engine=name)), "one source")
        for name in engines.ENGINES
    }
    assert len(marks) == len(engines.ENGINES) - 1  # auto is one of them


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_then_the_network_itself_and_its_precision_recorded(dtype):
    engine, network = Engine("torch", CPU), nn.Conv2d(3, 1, 1)
    assert engine.prepare(network) is network
    AutocastInferer(SlicewiseInferer(), dtype=dtype)(torch.rand(1, 3, 4, 5, 2), network)
    version = torch.__version__
    record = {"name": "torch", "version": version, "precision": dtype}
    assert engine.record() == {**record, "asked": "torch", "reason": "asked for"}


@pytest.mark.usefixtures("_at_the_root", "_fresh_model")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_command_when_the_network_cannot_be_converted_then_one_line_before_any_study(
    lung_options, tmp_path, capsys, jobs
):
    overlay = tmp_path / "random.json"
    definition = {"_target_": f"{Random.__module__}.Random", "out_channels": 1, "kernel_size": 1}
    overlay.write_text(json.dumps({"network_def": {**definition, "in_channels": 3}}))
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", chest())
    words = ["predict", "--bundle", str(lung_options.bundle), "--source", str(tmp_path / "in")]
    words += ["--output", str(tmp_path / "out"), "--device", "cpu", "--engine", "openvino"]
    words += ["--config_file", str(overlay), "--ckpt_path", lung_options.checkpoints[0]]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--jobs", jobs])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "engine: OpenVINO cannot run this network" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("_at_the_root", "_fresh_model")
def test_command_with_either_engine_then_one_mask_and_made_anew_for_the_other(
    lung_options, tmp_path
):
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest())
    words = ["predict", "--bundle", str(lung_options.bundle), "--source", str(source)]
    words += ["--output", str(tmp_path / "out"), "--products", "mask", "--device", "cpu"]
    words += ["--config_file", lung_options.config_files[0]]
    words += ["--ckpt_path", lung_options.checkpoints[0], "--engine"]
    masks, manifests = [], []
    for name in ("torch", "openvino", "openvino"):
        main([*words, name])
        masks.append((tmp_path / "out" / "scan" / "mask.nii.gz").read_bytes())
        manifests.append(json.loads((tmp_path / "out" / "scan" / "manifest.json").read_text()))
    assert masks[0] == masks[1]
    assert [m["engine"]["name"] for m in manifests] == ["torch", "openvino", "openvino"]
    assert manifests[1]["engine"]["version"]
    assert "--engine openvino" in manifests[1]["provenance"]["command"]
    assert manifests[2] == manifests[1]  # kept


@pytest.mark.usefixtures("_at_the_root")
@pytest.mark.parametrize("asked", ["auto", "openvino"])
def test_network_of_volumes_then_said_on_one_line_that_openvino_computes_slices(
    lung_options, monkeypatch, asked
):
    model = Model(replace(lung_options, engine=asked))
    network = nn.Conv3d(1, 1, 1).eval()
    model.networks = (model.engine.prepare(network),)
    monkeypatch.setattr(model, "_built", lambda _: SlidingWindowInferer((16, 16, 16)))
    told = "OpenVINO computes slices, and the network or its inferer does not take a small one: "
    if asked == "auto":
        model.check_engine()
        assert model.engine.line().startswith(f"engine: torch ({told}Inputs must have 5 dim")
        assert "\n" not in model.engine.line()
    else:
        with pytest.raises(ValueError, match=f"^engine: {told}.*; use --engine torch$"):
            model.check_engine()


class Minded(nn.Conv2d):
    """Computes something else on images wider than 160 voxels."""

    def forward(self, x):
        return super().forward(x) * (2 if x.shape[-1] > 160 else 1)


def test_auto_on_a_gpu_or_without_openvino_then_torch_and_why(monkeypatch):
    on_gpu = Engine("auto", torch.device("cuda:0"))
    assert on_gpu.line() == "engine: torch (the device is cuda:0)"
    monkeypatch.setattr(ROOM, lambda name: None)
    assert Engine("auto", CPU).line() == "engine: torch (OpenVINO is not installed)"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_auto_on_a_cpu_then_openvino_in_the_precision_asked_for(dtype):
    engine, network = Engine("auto", CPU), nn.Conv2d(3, 1, 1).eval()
    ready, image = engine.prepare(network), torch.rand(1, 3, 4, 5)
    with torch.no_grad(), torch.autocast("cpu", getattr(torch, dtype), enabled=dtype != "float32"):
        logits = ready(image)
    if dtype == "bfloat16" and native_dtype("cpu") != torch.bfloat16:
        return  # the engine is that of the processor
    assert engine.name == "openvino"
    assert engine.record()["precision"] == dtype
    torch.testing.assert_close(logits, network(image).detach(), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("kind", [Minded, Random], ids=["decides by size", "unknown operation"])
def test_auto_when_openvino_disagrees_then_torch_from_then_on_and_why(kind):
    engine = Engine("auto", CPU)
    network, other = kind(3, 1, 1).eval(), nn.Conv2d(3, 1, 1).eval()
    first, second = engine.prepare(network), engine.prepare(other)
    wide = torch.rand(1, 3, 8, 170)
    with torch.no_grad():
        second(wide)
        assert engine.name == "openvino"
        assert torch.equal(first(wide), network(wide))
        assert engine.name == "torch"
        assert torch.equal(second(wide), other(wide))
    assert "OpenVINO" in engine.record()["reason"]
    assert "use --engine" not in engine.line()


def test_auto_when_openvino_is_installed_but_does_not_load_then_torch(monkeypatch):
    def broken():
        raise ImportError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr(openvino_network, "load_openvino", broken)
    engine, network, image = Engine("auto", CPU), nn.Conv2d(3, 1, 1).eval(), torch.rand(1, 3, 8, 9)
    assert torch.equal(engine.prepare(network)(image), network(image))
    assert "libtbb.so.12: cannot open" in engine.line()


@pytest.mark.usefixtures("_at_the_root")
def test_auto_when_openvino_is_given_up_within_a_ct_then_all_of_it_by_torch(lung_options):
    model = Model(replace(lung_options, engine="auto"))
    network, asked = Minded(3, 1, 1).eval(), []
    first = model.engine.prepare(nn.Conv2d(3, 1, 1).eval())
    first.network.register_forward_pre_hook(lambda *_: asked.append(model.engine.name))
    model.networks = (first, model.engine.prepare(network))
    image = MetaTensor(torch.rand(3, 8, 170, 1), affine=torch.eye(4))
    found = model.probabilities(image)
    assert (model.engine.name, asked[-1]) == ("torch", "torch")
    model.engine = Engine("torch", CPU)
    assert torch.equal(found, model.probabilities(image))


def test_auto_when_the_network_itself_refuses_an_image_then_its_own_error_and_openvino_stays():
    engine = Engine("auto", CPU)
    ready = engine.prepare(nn.Conv2d(3, 1, 3).eval())
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        ready(torch.rand(1, 3, 2, 2))
    assert engine.name == "openvino"


@pytest.mark.usefixtures("_at_the_root", "_fresh_model")
def test_command_with_auto_then_results_of_either_engine_kept(lung_options, tmp_path, capsys):
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest())
    words = ["predict", "--bundle", str(lung_options.bundle), "--source", str(source)]
    words += ["--output", str(tmp_path / "out"), "--products", "mask", "--device", "cpu"]
    words += ["--config_file", lung_options.config_files[0]]
    words += ["--ckpt_path", lung_options.checkpoints[0]]
    told = []
    for engine in ("auto", "torch", "auto"):
        main([*words, *(() if engine == "auto" else ("--engine", engine))])
        manifest = json.loads((tmp_path / "out" / "scan" / "manifest.json").read_text())
        told.append((manifest["engine"]["name"], manifest["options"]["engine"]))
        lines = capsys.readouterr().out.splitlines()
        told.append(lines[-1])
        assert lines[0].startswith(f"engine: {'torch' if engine == 'torch' else 'openvino'} (")
    first, second = ("openvino", "auto"), ("torch", "torch")
    assert told == [first, "1 predicted", second, "1 predicted", second, "1 already there"]
