"""FCNs outside of Python, and from configs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from custom_nets.fcn import TransferFCN
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.undrawn import undrawn_weights

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "networks"
STRATEGIES = CONFIGS.parent / "strategies"
DYNAMIC = torch.export.Dim.DYNAMIC


def scored(network: TransferFCN) -> TransferFCN:
    """Give the skips' scores weights, as training would, so that their path shows."""
    with torch.no_grad():
        for parameter in network.decoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network.eval()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("encoder", "width"), [("vgg16", 8), *((encoder, 0) for encoder in KINDS)])
def test_torchscript_then_equals_the_network_at_any_size(encoder: str, width: int) -> None:
    network = scored(TransferFCN(encoder, stride=4, in_channels=1, width=width))
    exported = torch.jit.script(network)
    for size in ((40, 50), (33, 65)):
        image = torch.rand(2, 1, *size)
        with torch.no_grad():
            assert torch.equal(exported(image), network(image))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_then_equals_the_network_at_any_size(tiny: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = scored(TransferFCN(tiny, stride=4, in_channels=1, width=8))
    axes = {"x": {0: DYNAMIC, 2: DYNAMIC, 3: DYNAMIC}}
    image = torch.rand(2, 1, 40, 50)
    program = torch.onnx.export(network, (image,), dynamo=True, dynamic_shapes=axes, verbose=False)
    program.save(tmp_path / "fcn.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "fcn.onnx")
    for shape in ((3, 1, 33, 65), (1, 1, 64, 31)):
        image = torch.rand(shape)
        (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), network(image))


@pytest.mark.parametrize("stride", [32, 16, 8, 4])
@pytest.mark.parametrize("encoder", KINDS)
def test_the_config_then_builds_every_encoder_at_every_stride(
    encoder: str, stride: int, tmp_path: Path
) -> None:
    (tmp_path / "bundle.json").write_text('{"optional": {"normalise": "@normalise"}}')
    parser = ConfigParser()
    parser.read_config([str(tmp_path / "bundle.json"), str(CONFIGS / "fcn.json")])
    parser.update({"in_channels": 1, "out_channels": 3, "encoder_weights": "none"})
    parser.update({"normalise": None, "encoder": encoder, "stride": stride})
    if encoder == "vgg16":
        parser["width"] = 16  # 4096 by default, 120 million weights
    with undrawn_weights():
        network = parser.get_parsed_content("network_def")
    assert (network.stride, network.encoder.name) == (stride, encoder)
    assert (network.fully_connected is None) == (encoder != "vgg16")
    assert network.eval()(torch.rand(1, 1, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("asked", "steps"), [(None, 5), ("null", 5), (16, 4), (8, 3)])
def test_the_config_of_fcrn_then_scores_three_maps_with_dropout_or_fewer_if_dilated(
    asked: object, steps: int, tmp_path: Path
) -> None:
    optional = {"_target_": "scripts.bundle.values.read_optional", "normalise": None}
    (tmp_path / "bundle.json").write_text(json.dumps({"optional": optional}))
    parser = ConfigParser()
    parser.read_config([str(tmp_path / "bundle.json"), str(CONFIGS / "fcrn.json")])
    parser.update({"in_channels": 1, "out_channels": 3, "encoder_weights": "none"})
    assert (parser["encoder"], parser["stride"], parser["output_stride"]) == ("resnet50", 8, None)
    parser.update({"encoder": "resnet38", "output_stride": asked})
    with undrawn_weights():
        network = parser.get_parsed_content("network_def")
    scored = [step.score.in_channels for step in network.decoder.steps if step.score is not None]
    assert (len(network.decoder.steps), scored) == (steps, [1024, 512][5 - steps :])
    shares = [step.dropout.p for step in network.decoder.steps]
    assert (network.decoder.dropout.p, shares) == (0.5, [0.5] * steps)
    assert network.eval()(torch.rand(1, 1, 40, 33)).shape == (1, 3, 40, 33)


@pytest.mark.parametrize("path", sorted(STRATEGIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_strategy_then_names_parts_that_the_network_has(path: Path) -> None:
    encoder = "resnet34" if path.stem == "norms" else "vgg16"  # which has no norms
    with undrawn_weights():
        network = TransferFCN(encoder, width=8 if encoder == "vgg16" else 0)
    parser = ConfigParser()
    parser.read_config(str(path))
    parser.update(
        {"imports": ["$import scripts.training.fine_tuning.strategies"], "network_def": network}
    )
    parser.update({"network": network, "stage_epochs": 1, "learning_rate": 1e-4})
    for stage in parser.get_parsed_content("strategy")["stages"]:
        network.set_trainable(stage["trainable"])
        released = {name for name, p in network.named_parameters() if p.requires_grad}
        assert any(name.startswith("decoder.") for name in released)
        fully_connected = any(name.startswith("fully_connected.conv6") for name in released)
        assert fully_connected == (encoder == "vgg16")
