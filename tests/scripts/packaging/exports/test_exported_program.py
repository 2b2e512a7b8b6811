"""The network as ``.pt2``: of any size, the same bytes, loaded with torch alone."""

import json
import zipfile

import pytest
import torch

from custom_nets.unet import TransferUNet
from scripts.bundle.record import sha256_of
from scripts.packaging.exports.exported_program import description_of, exported, write_program
from tests.scripts.packaging.packages import ROOT, SMALL, run_elsewhere

# Python of a user who has torch only
USER = """
import json, sys
import torch

said = {"network.json": "", "metadata.json": ""}
program = torch.export.load(sys.argv[1], extra_files=said)
network = torch.export.unflatten(program).eval()
with torch.no_grad():
    for batch, height, width in ((1, 64, 64), (3, 50, 70)):
        image = torch.rand(batch, 3, height, width)
        assert torch.equal(network(image), program.module()(image))
assert not any(name.split(".")[0] in ("scripts", "custom_nets", "monai") for name in sys.modules)
print("SAID", said["network.json"])
"""


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TransferUNet("resnet18", norm="group", decoder_channels=SMALL["decoder_channels"]).eval()


@pytest.fixture(scope="module")
def program(network):
    return exported(network, channels=3).module()


@pytest.mark.parametrize("size", [(1, 64, 64), (4, 33, 47), (2, 128, 50)])
def test_program_at_another_batch_and_size_then_the_networks_logits(network, program, size):
    batch, *sides = size
    image = torch.rand(batch, 3, *sides)
    with torch.no_grad():
        expected, found = network(image), program(image)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_program_in_a_process_with_torch_alone_then_says_what_it_is(bundle, tmp_path):
    path = bundle / "models" / "model.pt2"
    printed = run_elsewhere(["-c", USER, path], folder=tmp_path)
    said = json.loads(printed.partition("SAID ")[2].splitlines()[0])
    assert said["labels"] == {"0": "nodule"}
    assert said["window_hu"] == [-1000, 400]
    assert said["channels"]["1"] == "slice"
    assert said["spacing_mm"].startswith("that of the CT")
    assert said["threshold"] == 0.5
    assert said["weights_sha256"] == sha256_of(bundle / "models" / "model.pt")
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert said["version"] == metadata["version"]


def test_program_written_twice_then_equal_bytes_without_paths(tmp_path):
    small = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.ReLU()).eval()
    files = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "model.pt2"
        files.append(write_program(small, path, channels=1, metadata={}, description={}))
    assert files[0].read_bytes() == files[1].read_bytes()
    with zipfile.ZipFile(files[0]) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert str(ROOT).encode() not in content
    assert b"site-packages" not in content


def test_network_that_torch_cannot_export_then_one_line():
    class Undecided(torch.nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    with pytest.raises(ValueError, match="exports: torch cannot export this network as pt2") as e:
        exported(Undecided(), channels=1)
    assert "\n" not in str(e.value)


def test_description_of_a_file_without_settings_then_nothing_is_made_up():
    ports = {"image": {"channel_def": {"0": "slice"}}}
    metadata = {
        "version": "1",
        "pytorch_version": "2",
        "network_data_format": {"inputs": ports, "outputs": {"pred": {"channel_def": {}}}},
    }
    said = description_of(metadata, {}, weights_sha256="00")
    assert "window_hu" not in said
    assert said["threshold"] is None
