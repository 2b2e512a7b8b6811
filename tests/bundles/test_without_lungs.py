"""Lesions outside the lungs: what the lung bundle's files of configs/data read of such CTs."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.transforms import Compose

from tests.bundles.config_files import LUNG, parser_of

pytestmark = pytest.mark.usefixtures("_at_root")
LIVER_TUMOUR = (slice(3, 6), slice(10, 20), slice(12, 22))


@pytest.fixture
def case(tmp_path):
    """Soft tissue in air, as a volume and as a prepared slice without a lung field."""
    hu = np.full((8, 40, 44), -1000, np.int16)
    hu[:, 4:36, 4:40] = np.random.default_rng(0).normal(40, 10, (8, 32, 36))
    label = np.zeros(hu.shape, np.uint8)
    label[LIVER_TUMOUR], hu[LIVER_TUMOUR] = 1, 120
    files = {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")}
    stacks = {name: str(tmp_path / f"{name}.npy") for name in files}
    for name, array in (("image", hu), ("label", label)):
        sitk.WriteImage(sitk.GetImageFromArray(array), files[name])
        np.save(stacks[name], array)
    sliced = {**stacks, "rows": [3, 4, 5], "slice": 4, "affine_lps": np.eye(4).tolist()}
    return {"volume": files, "slice": sliced}


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ("luna16_two_windows", "slice"),
        ("luna16_volumes", "volume"),
        ("luna16_volume_patches", "volume"),
        ("luna16_volume_two_windows", "volume"),
    ],
)
def test_training_when_lungs_mask_nothing_then_none_are_looked_for(case, data, form):
    files = [LUNG / "train.json", f"configs/data/{data}.json"]
    asked = {"lung_masking": False, "window_hu": [-100, 300], "outside_window": "clip"}
    steps = parser_of(*files, **asked).get_parsed_content("sample_transforms")
    item = Compose(steps)(case[form])
    label = np.load(case["slice"]["label"])
    assert int(item["label"].sum()) == int(label.sum() if form == "volume" else label[4].sum())
    first = item["image"][0].as_tensor()
    assert first.max() > 0.5
    assert "lung" not in item


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("data", ["ct_volume_patches", "ct_two_windows", "ct_volume_two_windows"])
def test_ct_when_the_bundle_has_no_lung_field_then_read_whole_and_restored(case, data, crop):
    files = [LUNG / "inference.json", f"configs/data/{data}.json"]
    asked = {"lung_field": False, "lung_masking": False, "crop": crop, "ckpt_path": "none"}
    own = {"window_hu": [-100, 300], "outside_window": "clip", "in_channels": 1}
    parser = parser_of(*files, **asked, **own)
    item = parser.get_parsed_content("preprocessing")({"image": case["volume"]["image"]})
    assert item["image"].shape[1:] == (40, 44, 8)
    item["pred"] = (item["image"][:1] > 0.5).float()
    steps = [parser.get_parsed_content(name) for name in ("cleaning", "restoring")]
    restored = Compose(steps)(item)["pred"][0]
    expected = sitk.GetArrayFromImage(sitk.ReadImage(case["volume"]["label"])).transpose(2, 1, 0)
    assert torch.equal(restored.as_tensor() > 0, torch.from_numpy(expected) > 0)
