"""A pretraining layer by layer: what it writes, and that it reads no labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import RandGaussianNoised

from custom_nets.encoders import make_encoder
from custom_nets.survey.csae import ConvolutionalSparseNetwork
from custom_nets.survey.sparse_layers import sparse_layers
from custom_nets.unet import TransferUNet
from scripts.unsupervised.pretraining import ImageBatches, LayerwisePretraining
from tests.bundles.bundle_commands import CONFIGS, run_here
from tests.bundles.conftest import _at_root  # noqa: F401
from tests.custom_nets.conftest import tiny  # noqa: F401
from tests.scripts.datasets.prepared import write_prepared


def loader() -> DataLoader:
    samples = [{"image": torch.full((1, 32, 32), k / 6)} for k in range(6)]
    data = Dataset(samples, RandGaussianNoised("image", prob=1.0))
    return DataLoader(data, batch_size=3, shuffle=True)


def pretrain(folder: Path, encoder: str, seed: int = 0) -> TransferUNet:
    torch.manual_seed(0)
    network = TransferUNet(encoder, in_channels=1, decoder_channels=(4,) * 5)
    layers = sparse_layers(network)
    options: dict[str, Any] = {"epochs": 2, "learning_rate": 0.01, "output_dir": folder}
    LayerwisePretraining(network, layers, loader(), seed=seed, **options).run()
    return network


def test_encoder_then_written_as_a_network_takes_it(tmp_path: Path, tiny: str) -> None:  # noqa: F811
    network = pretrain(tmp_path, tiny)
    content = torch.load(tmp_path / "encoder.pt", weights_only=True)
    assert (content["encoder"], content["epoch"]) == (tiny, 10)
    taken = make_encoder(tiny, in_channels=1, weights=str(tmp_path / "encoder.pt"))
    for key, tensor in network.encoder.state_dict().items():
        assert torch.equal(taken.state_dict()[key], tensor)
    rows = list(csv.DictReader((tmp_path / "layers.csv").read_text().splitlines()))
    assert [(row["layer"], row["epoch"]) for row in rows][:3] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
    ]
    assert len(rows) == 10
    assert (tmp_path / "pretraining_record.json").is_file()


def test_seed_then_decides_every_weight(tmp_path: Path, tiny: str) -> None:  # noqa: F811
    states = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)
        states.append(pretrain(tmp_path / name, tiny, seed).encoder.state_dict())
    key = "blocks.0.0.weight"
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0][key], states[2][key])


def test_batches_then_another_order_and_noise_in_each_epoch() -> None:
    one, other = (ImageBatches(loader(), "cpu", seed=4) for _ in range(2))
    first, second = torch.cat(list(one)), torch.cat(list(one))
    assert torch.equal(first, torch.cat(list(other)))
    assert not torch.equal(first.sort(dim=0)[0], second.sort(dim=0)[0])


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """Prepare two slices whose entries, and whose folder, have no label."""
    datalist = write_prepared(tmp_path / "prepared", size=(40, 44))
    content = json.loads(datalist.read_text())
    for entry in content["training"]:
        del entry["label"], entry["nodules"]
    datalist.write_text(json.dumps(content))
    (datalist.parent / "scans" / "a" / "label.npy").unlink()
    return datalist.parent


@pytest.mark.usefixtures("_at_root")
def test_pretraining_when_slices_have_no_labels_then_the_network_starts_from_it(
    unlabelled: Path, tmp_path: Path
) -> None:
    files = [f"{CONFIGS}/pretrain.json", "configs/networks/csae.json"]
    files.append("configs/pretrainings/sparse.json")
    asked = {"dataset_dir": str(unlabelled), "output_dir": str(tmp_path / "out")}
    asked |= {"patch_size": [32, 32], "num_workers": 0, "sub_patches": 50}  # type: ignore[dict-item]
    asked |= {"csae_widths": [4, 4, 6], "max_epochs": 2}  # type: ignore[dict-item]
    run_here("pretraining", files, asked)
    file = tmp_path / "out" / "encoder.pt"
    network = ConvolutionalSparseNetwork(widths=(4, 4, 6), weights=str(file))
    written = torch.load(file, weights_only=True)["state_dict"]
    assert torch.equal(network.encoder.conv3.weight, written["conv3.weight"])
    rows = list(csv.DictReader((tmp_path / "out" / "layers.csv").read_text().splitlines()))
    assert [row["layer"] for row in rows] == ["1", "1", "2", "2", "3", "3"]


@pytest.mark.usefixtures("_at_root")
def test_pretraining_that_restores_when_slices_have_no_labels_then_runs(
    unlabelled: Path, tmp_path: Path
) -> None:
    asked = {"dataset_dir": str(unlabelled), "output_dir": str(tmp_path / "out")}
    asked |= {"max_epochs": 1, "patch_size": [32, 32], "num_workers": 0, "batch_size": 20}  # type: ignore[dict-item]
    asked |= {"csae_widths": [4, 4, 6]}  # type: ignore[dict-item]
    run_here("pretraining", [f"{CONFIGS}/pretrain.json", "configs/networks/csae.json"], asked)
    assert (tmp_path / "out" / "encoder.pt").is_file()
