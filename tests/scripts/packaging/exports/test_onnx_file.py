"""The ONNX file of a network."""

from functools import partial

from monai.networks.nets import BasicUNet

from custom_nets.plain import PlainNetwork
from scripts.packaging.exports.exports import compared
from scripts.packaging.exports.onnx_file import export_onnx, run_onnx


def test_plain_unet_as_onnx_then_equal_at_sizes_that_halve_unevenly(tmp_path):
    unet = partial(BasicUNet, 2, 1, 1, features=(4, 4, 4, 4, 4, 4))
    network = PlainNetwork(unet, in_channels=1, stride=16).eval()
    path = export_onnx(network, tmp_path / "model.onnx", channels=1)
    assert compared(run_onnx(path), network, channels=1)["largest_difference"] < 1e-5
