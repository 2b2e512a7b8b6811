"""MONAI Deploy's way through a bundle, repeated: its own package needs an environment of its own.

Its ``MonaiBundleInferenceOperator`` takes LoadImaged and SaveImaged out of the transforms, fills in
an image without channel axis, of whole numbers, and hands every tensor that preprocessing leaves to
the network, through the inferer. ``make interop`` runs the operator itself.
"""

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import predict_volume
from scripts.volumes.geometry import lps_to_ras
from tests.scripts.prediction.studies import (
    LIVER,
    LUNG,
    NODULES,
    ORGANS,
    bright_chest,
    options_of,
    write_nifti,
)


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(LUNG.parents[1])


def received(prediction, dtype):
    """What Deploy makes of a DICOM series: (X, Y, Z), whole numbers, RAS affine, no channel."""
    meta = {"original_channel_dim": "no_channel", "affine": lps_to_ras(prediction.affine)}
    meta["original_affine"] = meta["affine"].copy()
    meta["spatial_shape"] = np.array(prediction.hu.shape[::-1])
    return MetaTensor.ensure_torch_and_prune_meta(
        torch.from_numpy(np.ascontiguousarray(prediction.hu.T).astype(dtype)), meta
    )


def without_files(compose):
    kept = [t for t in compose.transforms if type(t).__name__ not in ("LoadImaged", "SaveImaged")]
    compose.transforms = tuple(kept)
    return compose


def deployed(files, network, image, **overrides):
    """The operator's ``compute``, from the image that it receives to the one that it sends."""
    parser = ConfigParser()
    parser.read_config(list(files))
    parser.update(overrides)
    inputs = without_files(parser.get_parsed_content("preprocessing"))({"image": image})
    first = inputs.pop("image")
    others = {key: v[None] for key, v in inputs.items() if isinstance(v, torch.Tensor)}
    with torch.no_grad():
        pred = parser.get_parsed_content("inferer")(inputs=first[None], network=network, **others)
    inputs["image"] = first
    post = without_files(parser.get_parsed_content("postprocessing"))
    return np.asarray(post({"pred": pred[0], **inputs})["pred"])


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize(("bundle", "rules"), [(LUNG, NODULES), (LIVER, ORGANS)])
def test_operator_of_deploy_then_mask_of_predict(bundle, rules, dtype, tmp_path):
    drawn = bright_chest()
    options = options_of(bundle, tmp_path, rules)
    model = Model(options)
    expected = predict_volume(model, write_nifti(tmp_path / "ct.nii.gz", drawn), study="a").mask
    files = [str(bundle / "configs" / "inference.json"), *options.config_files]
    mask = deployed(files, model.networks[0], received(drawn, dtype))
    assert mask.shape == (1, *drawn.hu.shape[::-1])
    labels = mask[0].T
    if bundle == LUNG:  # predict numbers the nodules
        expected = (expected > 0).astype(np.uint8)
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels, expected)
