"""The smallest object that the lung bundle declares, counted as declared by what is installed."""

import json

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from tests.bundles.config_files import ROOT

CONFIG = ROOT / "bundles" / "lung_nodule_ct_segmentation" / "configs" / "inference.json"
SPACING = (0.82, 0.82, 2.5)  # mm: 4 voxels are 6.7 mm3, 5 are 8.4


def test_object_of_at_least_7_mm3_then_kept_to_the_voxel():
    # scikit-image 0.26 takes min_size, which MONAI 1.6.1 passes, for the largest to be removed
    config = json.loads(CONFIG.read_text())
    steps = config["cleaning"]["transforms"]
    (removal,) = (step for step in steps if step["_target_"].endswith("InForegroundBoxd"))
    chosen = {key: config[key] for key in ("smallest_object_mm3", "connectivity", "filled")}
    remove = ConfigParser({**chosen, "removal": removal}).get_parsed_content("removal")
    mask = torch.zeros(1, 12, 12, 6)
    mask[0, 1:6, 2, 2] = 1
    mask[0, 1:5, 8, 2] = 1
    image = MetaTensor(mask, affine=np.diag([*SPACING, 1.0]))
    kept = np.asarray(remove({"pred": image})["pred"])
    assert kept[0, :, 2].sum() == 5
    assert kept[0, :, 8].sum() == 0
