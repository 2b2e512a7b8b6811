"""Networks of volumes and of earlier networks' maps: the model file alone, and its package."""

import json
import zipfile

import pytest
import torch

from custom_nets.survey.cen import ConvolutionalEncoderNetwork
from custom_nets.survey.voxresnet import VoxResNet
from scripts.bundle.data_files import ID
from scripts.bundle.held_models import holding
from scripts.bundle.model_file import (
    NETWORK,
    content_of,
    read_model,
    settings_of,
    settings_of_config,
)
from scripts.bundle.training_scans import hashed_case
from scripts.packaging.exports.exports import FORMATS
from scripts.packaging.package_command import package
from scripts.prediction.network.model import Model
from scripts.prediction.predict_options import Options
from tests.bundles.conftest import tiny_encoder
from tests.scripts.packaging.packages import LUNG, ROOT

__all__ = ["tiny_encoder"]
pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    # LoadImaged sets all of MONAI's readers up, those that are not named too
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
]
PATCH = [32, 32, 16]
TWO, MAPS = "volume, two windows, the second [-160, 240]", ", and context maps"
SLICES = "window and context maps"


def data_of(name):
    """What a training with this file of configs/data records, but with smaller patches."""
    told = json.loads((ROOT / "configs" / "data" / f"{name}.json").read_text())[ID]
    numbers = {"volume_patch_size": PATCH, "second_window_hu": [-160, 240]}
    return {key: numbers.get(key, value) for key, value in told.items()}


def save(path, network, kind, *, data="", channels=2, threshold=0.5, earlier=()):
    """Write a model file as training does."""
    settings = settings_of_config(LUNG / "configs" / "train.json")
    settings |= {"input_kind": kind, "in_channels": channels, "threshold": threshold}
    settings |= {ID: data_of(data) if data else {}}
    del settings[NETWORK]
    told = settings_of(network, settings)
    scans = {"cases": [hashed_case(path.name, "")], "salt": ""}  # trained on a scan of its name
    torch.save({**content_of(network.state_dict(), told, scans), **holding(earlier)}, path)
    return path


def voxresnet(folder, **options):
    network = VoxResNet(2, 1, widths=(2, 4)).eval()
    return save(folder / "m.pt", network, TWO, data="luna16_volume_two_windows", **options)


def auto_context(folder, **options):
    save(folder / "first.pt", VoxResNet(2, 1, widths=(2, 4)), TWO, channels=2)
    options |= {"channels": 3, "data": "luna16_volume_context"}
    options |= {"earlier": [read_model(folder / "first.pt")]}
    return save(folder / "m.pt", VoxResNet(3, 1, widths=(2, 4)), TWO + MAPS, **options)


def cen_s(folder, **options):
    network = ConvolutionalEncoderNetwork(filters=2, kernel_size=[3, 3, 3])
    options |= {"channels": 1, "data": "luna16_volume_patches"}
    return save(folder / "m.pt", network, "volume", **options)


def model_of(path, **others):
    options = {"checkpoints": (str(path),), "device": "cpu", "engine": "torch"}  # as a package
    return Model(Options(LUNG.relative_to(ROOT), **options, **others))


def unpacked(folder, weights, files=("configs/networks/voxresnet.json",), **options):
    package(str(LUNG), str(folder / "p.zip"), config_file=files, ckpt_path=str(weights), **options)
    with zipfile.ZipFile(folder / "p.zip") as archive:
        archive.extractall(folder)
    return folder / LUNG.name


def test_scans_of_the_earlier_networks_then_known_as_those_of_the_network(tmp_path):
    held = auto_context(tmp_path)
    (tmp_path / "named.json").write_text(
        json.dumps({"earlier_models": [str(tmp_path / "first.pt")]})
    )
    for files in ((), (str(tmp_path / "named.json"),)):
        model = model_of(held, config_files=files)
        _ = model.networks
        for name in ("m.pt", "first.pt"):
            assert any(scans.includes([name]) for scans in model.trained_on), name


def test_exports_of_a_network_of_volumes_then_measured(tmp_path):
    torch.manual_seed(0)
    bundle = unpacked(tmp_path, cen_s(tmp_path), (), exports=FORMATS)
    record = json.loads((bundle / "models" / "exports.json").read_text())
    for name in ("model.pt2", "model.onnx", "model.ts"):
        assert record[name]["largest_difference"] < 1e-4
        assert all(len(shape) == 5 for shape in record[name]["images"])


def test_model_without_the_files_it_needs_then_refused_in_one_line(tmp_path):
    weights = save(tmp_path / "m.pt", VoxResNet(2, 1, widths=(1, 1)), TWO)
    with pytest.raises(ValueError, match=r"trained on 'volume, two w.* ct_\*.json \(lungs\)") as e:
        model_of(weights)
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="train.json gives the network 'window', it was trained"):
        unpacked(tmp_path, weights)


def test_network_that_is_given_the_place_of_the_lesion_then_refused_in_one_line(tmp_path):
    network = torch.nn.Conv2d(3, 1, 1)
    weights = save(tmp_path / "m.pt", network, "patches of a slice", data="luna16_nodule_patches")
    with pytest.raises(ValueError, match="for a CT there is none: such networks are evaluated on"):
        model_of(weights)
    with pytest.raises(ValueError, match="inference.json gives .* are evaluated only"):
        unpacked(tmp_path, weights, files=[])


def test_package_without_the_losses_of_side_outputs_then_refused(tmp_path):
    with pytest.raises(ValueError, match="add configs/networks/voxresnet.json, so that train.json"):
        unpacked(tmp_path, voxresnet(tmp_path), files=[])


def test_earlier_networks_of_a_config_then_held_by_the_package(tmp_path):
    """A model file without them, and the prediction.json of ``context_maps``."""
    save(tmp_path / "first.pt", VoxResNet(2, 1, widths=(2, 4)), TWO, channels=2)
    (tmp_path / "prediction.json").write_text(
        json.dumps({"earlier_models": [str(tmp_path / "first.pt")]})
    )
    second = VoxResNet(3, 1, widths=(2, 4))
    options = {"channels": 3, "data": "luna16_volume_context"}
    weights = save(tmp_path / "m.pt", second, TWO + MAPS, **options)
    with pytest.raises(ValueError, match="does not hold the networks whose maps it reads; add"):
        unpacked(tmp_path, weights)
    files = ["configs/networks/voxresnet.json", str(tmp_path / "prediction.json")]
    bundle = unpacked(tmp_path, weights, files)
    assert json.loads((bundle / "configs" / "inference.json").read_text())["earlier_models"] == []
    held = read_model(bundle / "models" / "model.pt").record["earlier"]
    first = read_model(tmp_path / "first.pt").weights
    assert all(torch.equal(held[0]["model"][key], first[key]) for key in first)
