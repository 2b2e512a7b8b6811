"""The networks that shipped studies train can be built with the weights that they would get."""

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from custom_nets.encoders import make_encoder
from custom_nets.freezing import Freezable
from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.sample_sources import Source
from tests.custom_nets.undrawn import undrawn_weights
from tests.scripts.study.studies import SMALL


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encoders as a pretraining writes them."""
    folder = tmp_path_factory.mktemp("encoders")
    for name in ("vgg16", "resnet34", "inception_v3", "densenet121", "resnet50"):
        torch.save(make_encoder(name, in_channels=3).state_dict(), folder / f"{name}.pt")
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", SMALL)
def test_small_form_then_every_network_can_be_built(name: str, pretrained: dict[str, Path]) -> None:
    built: set[str] = set()
    study = read_study(f"configs/studies/{name}.json", small=True)
    source = Source() if "phantoms" in study.data else Source(Path("crops"))
    for cell in make_cells(study, source):
        if cell.training is None:
            continue
        parser = ConfigParser(dict(cell.training.made_of["config"]))
        parser.update(dict(cell.training.files["settings.json"]))
        weights = "none"
        if len(cell.training.needs) > 1 and cell.method.encoder is not None:
            weights = str(pretrained[str(cell.method.encoder)])
        parser["encoder_weights"] = weights
        parser["encoder"] = cell.method.encoder
        parser["normalise"] = 0.2  # the mean of training images, of which there are none here
        key = str((cell.method.network, cell.method.encoder, weights, cell.training.files))
        if key not in built:
            with undrawn_weights():
                network: Any = parser.get_parsed_content("network_def")
            own = isinstance(network, Freezable)
            assert sum(p.numel() for p in network.parameters()) > 1e5
            assert own or weights == "none"
            built.add(key)
    assert built
