"""Every network of ``configs/networks``: its model file alone, and its package, give one mask."""

import json
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import verify_net_in_out
from monai.transforms import Compose

from scripts.bundle.config_files import find_shipped_files
from scripts.bundle.held_models import holding
from scripts.bundle.model_file import NETWORK, content_of, read_model, settings_of
from scripts.packaging.domain_model import write_domain
from scripts.packaging.package_command import package
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import Options
from tests.bundles.bundle_commands import run_here
from tests.bundles.config_files import names_of, parser_of
from tests.bundles.conftest import tiny_encoder
from tests.custom_nets.tiny import TinyEncoder
from tests.scripts.packaging.packages import LUNG, ROOT
from tests.scripts.packaging.test_deploy import deployed, received
from tests.scripts.packaging.test_label import inferred_by_label
from tests.scripts.prediction.studies import bright_chest, write_nifti

__all__ = ["tiny_encoder"]
pytestmark = [
    pytest.mark.usefixtures("_at_root", "tiny_encoder"),
    # LoadImaged sets all of MONAI's readers up, those that are not named too
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
]
ENCODER = {"encoder": TinyEncoder.name, "encoder_weights": "none"}
DECODED = {**ENCODER, "decoder_channels": [4] * 5}
PATCH = {"volume_patch_size": [32, 32, 16]}
WINDOW = {"second_window_hu": [-200, 300]}
VOX = {**PATCH, **WINDOW, "voxresnet_widths": [2, 4], "network_def::thick_slices": True}
# MONAI's V-Net has 45 million weights: a narrow network of volumes stands in its place
V_NET = {**PATCH, "network_def::network::_target_": "BasicUNet"}
V_NET |= {"network_def::network::features": [2, 2, 4, 4, 4, 2]}
# name of the case -> file of configs/networks, file of configs/data, settings
CASES = {
    "U-Net": ("unet", "", DECODED),
    "fast U-Net": ("unet_fast", "", {**ENCODER, "decoder_channels": [4] * 4}),
    "plain U-Net": ("unet_plain", "", {"unet_channels": [4, 4, 8, 8, 8, 4]}),
    "refined U-Net": ("unet_context", "luna16_slices_context", DECODED),
    "two windows": ("cross_modal", "luna16_two_windows", {**DECODED, **WINDOW}),
    "window and lung": ("cross_modal", "luna16_window_and_lung", DECODED),
    "one of two domains": ("multi_domain", "nodules_and_organs", DECODED),
    "FCN": ("fcn", "", {**ENCODER, "fully_connected": "none", "width": 0}),
    "FCRN": ("fcrn", "", ENCODER),
    "residual U-Net": ("tong_unet", "", {"residual_unet_widths": [4, 4, 8]}),
    "CSAE": ("csae", "", {"csae_widths": [2, 2, 2]}),
    "multi-scale CNN": ("multi_scale_cnn", "", {"multi_scale_widths": [2, 3, 4]}),
    "V-Net": ("vnet", "luna16_volume_patches", V_NET),
    "CEN-s": ("cen_s", "luna16_volume_patches", {**PATCH, "cen_filters": 2, "cen_kernel": [3] * 3}),
    "VoxResNet": ("voxresnet", "luna16_volume_two_windows", VOX),
    "auto-context": ("voxresnet", "luna16_volume_context", VOX),
}
TOLD_WHERE = {"cf_cnn", "cdp_resnet"}  # the nodule is: they are evaluated only
FIRST = {"refined U-Net": "", "auto-context": "luna16_volume_two_windows"}
"""Cases that read the maps of an earlier network -> the file of configs/data of that one."""
SECOND = {
    "two windows": "slice above, -200 to 300 HU",
    "window and lung": "lung field of the slice",
    "VoxResNet": "volume, -200 to 300 HU",
    **dict.fromkeys(FIRST, "probability of nodule, by an earlier network"),
}
"""Last channel of the input, where it is not that of the bundle."""


def test_networks_then_each_has_a_case_here():
    named = {Path(file).stem for file in names_of("networks")}
    assert named == {network for network, *_ in CASES.values()} | TOLD_WHERE


def save(case, path, data):
    """Write a model file of random weights, as a training with these config files would."""
    find_shipped_files()
    network, _, settings = CASES[case]
    files = [LUNG / "configs" / "train.json", f"configs/networks/{network}.json"]
    files += [f"configs/data/{data}.json"] if data else []
    parser = parser_of(*files, **settings)
    made = parser.get_parsed_content(NETWORK)
    if getattr(made, "context", None) is not None:
        torch.nn.init.normal_(made.context.weight)  # zero at first: the maps would not count
    told = settings_of(made, parser.get_parsed_content("model_settings"))
    torch.save(content_of(made.state_dict(), told, {}), path)
    return path


def trained(case, folder):
    """A model file, with the earlier network whose maps it reads, or of one of its domains."""
    torch.manual_seed(1)
    path = save(case, folder / "m.pt", CASES[case][1])
    if case in FIRST:
        first = read_model(save(case, folder / "first.pt", FIRST[case]))
        torch.save({**torch.load(path, weights_only=True), **holding([first])}, path)
        (folder / "first.pt").unlink()
    if CASES[case][0] == "multi_domain":
        write_domain(str(path), "nodules", str(LUNG), str(folder / "nodules.pt"))
        path = folder / "nodules.pt"
    return path


def model_of(path):
    options = {"checkpoints": (str(path),), "device": "cpu", "engine": "torch"}  # as a package
    return Model(Options(LUNG.relative_to(ROOT), **options))


def split_at_middle(path, scan):
    """Store as threshold the median probability in the lungs, which half of their voxels exceed."""
    model = model_of(path)
    item = Compose(model.preprocessing.transforms)({"image": str(scan)})
    found = model.probabilities(item["image"]).as_tensor()
    content = torch.load(path, weights_only=True)
    content["settings"]["threshold"] = float(found[item["lung"].as_tensor() > 0].median())
    torch.save(content, path)


def packed(case, folder, scan):
    """A model file, the mask of ``predict`` by it, and the folder of its package."""
    weights = trained(case, folder)
    split_at_middle(weights, scan)
    expected = predict_volume(model_of(weights), scan, study="a").mask > 0
    assert 0.02 * expected.size < expected.sum() < 0.5 * expected.size
    network = CASES[case][0]
    files = [] if network == "multi_domain" else [f"configs/networks/{network}.json"]
    package(str(LUNG), str(folder / "p.zip"), config_file=files, ckpt_path=str(weights))
    with zipfile.ZipFile(folder / "p.zip") as archive:
        archive.extractall(folder)
    return expected, folder / LUNG.name


def mask_in(folder):
    (file,) = folder.glob("*.nii.gz")
    return np.squeeze(np.asarray(nibabel.load(file).dataobj)).T > 0


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_nifti(tmp_path_factory.mktemp("scan") / "scan.nii.gz", bright_chest())


@pytest.mark.parametrize("case", CASES)
def test_model_file_alone_then_predicted_and_its_package_gives_the_same_mask(case, scan, tmp_path):
    expected, bundle = packed(case, tmp_path, scan)
    inference, metadata = (bundle / "configs" / f"{n}.json" for n in ("inference", "metadata"))
    places = {"bundle_root": str(bundle), "device": "cpu", "progress": False}
    asked = {**places, "dataset_dir": str(scan), "output_dir": str(tmp_path / "masks")}
    run_here("inferring", [inference], asked)
    np.testing.assert_array_equal(mask_in(tmp_path / "masks"), expected)
    if case in SECOND or "volume" in CASES[case][1]:
        files = {"meta_file": str(metadata), "config_file": str(inference)}
        verify_net_in_out(NETWORK, **files, any=32, **places)
        np.testing.assert_array_equal(inferred_by_label(bundle, scan).T > 0, expected)
        network = model_of(bundle / "models" / "model.pt").networks[0]
        sent = deployed([str(inference)], network, received(bright_chest(), np.int16), **places)
        np.testing.assert_array_equal(sent[0].T > 0, expected)
    image = json.loads(metadata.read_text())["network_data_format"]["inputs"]["image"]
    volumes = "volume" in CASES[case][1]
    assert image["spatial_shape"] == (PATCH["volume_patch_size"] if volumes else ["*", "*"])
    *_, last = image["channel_def"].values()
    assert last == SECOND.get(case, "volume, -1000 to 400 HU" if volumes else "slice above")
