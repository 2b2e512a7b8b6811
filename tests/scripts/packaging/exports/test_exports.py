"""The exported networks: measured, and on a whole CT."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from custom_nets.unet import TransferUNet
from scripts.bundle.record import sha256_of
from scripts.packaging.exports import exports
from scripts.packaging.exports.exported_program import run_program
from scripts.packaging.exports.exports import check_exports, compared
from scripts.packaging.exports.onnx_file import run_onnx
from scripts.packaging.exports.torchscript import run_torchscript
from scripts.training.inferers import SlicewiseInferer
from tests.scripts.packaging.packages import SMALL

LOADERS = {"model.pt2": run_program, "model.onnx": run_onnx, "model.ts": run_torchscript}


@pytest.fixture(scope="module")
def eager(bundle):
    network = TransferUNet("resnet18", norm="group", decoder_channels=SMALL["decoder_channels"])
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    return network.eval()


def test_tolerances_then_recorded_with_the_files_they_are_of(bundle, eager):
    record = json.loads((bundle / "models" / "exports.json").read_text())
    assert list(record) == ["model.pt2", "model.onnx", "model.ts"]
    for name, load in LOADERS.items():
        told = record[name]
        assert told["sha256"] == sha256_of(bundle / "models" / name)
        assert told["largest_difference"] <= told["tolerance"]
        again = compared(load(bundle / "models" / name), eager, channels=3)
        assert again["largest_difference"] == pytest.approx(told["largest_difference"], abs=1e-5)


def test_export_that_differs_then_refused(eager):
    with pytest.raises(ValueError, match="differs from the network by up to 0.0"):
        compared(lambda image: eager(image) * 1.01, eager, channels=3, shapes=[(1, 32, 32)])
    with pytest.raises(ValueError, match="must give shape"):
        compared(lambda image: eager(image)[..., 1:], eager, channels=3, shapes=[(1, 32, 32)])


# LoadImaged sets all of MONAI's readers up, those that are not named too
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize(("name", "load"), LOADERS.items(), ids=LOADERS)
def test_export_on_a_whole_ct_then_the_eager_mask(bundle, cohort, eager, name, load):
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    scan = min((cohort / "phantoms").glob("subset*/*.mhd"))
    image = parser.get_parsed_content("preprocessing")({"image": str(scan)})["image"]
    inferer = SlicewiseInferer()  # in float32, as the exports are; the config's may use bfloat16
    with torch.no_grad():
        volume = image.as_tensor()[None]
        expected, found = (inferer(volume, net) for net in (eager, load(bundle / "models" / name)))
    middle = float(expected.median())  # random weights: a threshold that both sides have much of
    masks = [(logits > middle).numpy() for logits in (expected, found)]
    assert 0.4 < masks[0].mean() < 0.6
    differing = np.flatnonzero(masks[0] != masks[1])
    near = (expected - middle).abs().flatten()[differing]
    assert (near < 1e-4).all()
    assert len(differing) < 1e-4 * masks[0].size
    assert ((expected > 0) == (found > 0)).all()


def test_export_that_cannot_be_run_then_one_line():
    def broken(image):
        raise RuntimeError("Concat node:\n dimensions must match")

    network = torch.nn.Conv2d(1, 1, 1)
    with pytest.raises(
        ValueError, match=r"export: cannot be run on .*Concat node: dim.*leave"
    ) as e:
        compared(broken, network, channels=1)
    assert "\n" not in str(e.value)


def test_formats_then_in_their_order_and_torchscript_said_to_end(caplog):
    assert check_exports(()) == ()
    assert check_exports(" onnx, pt2") == ("pt2", "onnx")
    assert not caplog.records
    assert check_exports("torchscript,pt2") == ("pt2", "torchscript")
    assert "deprecated in PyTorch and ends with Python 3.14; use pt2" in caplog.text
    with pytest.raises(ValueError, match="exports: must be of pt2, onnx, torchscript, got tflite"):
        check_exports("pt2,tflite")


def test_torchscript_under_a_python_without_it_then_refused(monkeypatch):
    monkeypatch.setattr("scripts.packaging.exports.exports.END_OF_TORCHSCRIPT", (3, 0))
    with pytest.raises(ValueError, match=r"no torchscript under Python 3.14; use pt2"):
        check_exports("torchscript")


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def test_exports_then_their_progress_is_shown_and_none_without_any(tmp_path, monkeypatch):
    screen, network = Screen(), torch.nn.Conv2d(1, 1, 1).eval()
    written = tmp_path / "model.onnx"
    written.touch()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(exports, "export_onnx", lambda *_, **__: written)
    monkeypatch.setattr(exports, "run_onnx", lambda path: network)
    monkeypatch.setattr(exports, "SHAPES", {2: ((1, 8, 8),)})
    monkeypatch.setattr(exports, "spatial_dims", lambda _: 2)
    assert exports.export_all(tmp_path, network, (), {}, channels=1, folded=False) == {}
    assert screen.getvalue() == ""
    exports.export_all(tmp_path, network, ("onnx",), {}, channels=1, folded=False)
    assert "exports: 100%" in screen.getvalue()
    assert "2/2 [" in screen.getvalue()
