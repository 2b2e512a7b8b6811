"""The liver bundle's config files and a small network's settings."""

from __future__ import annotations

from pathlib import Path

from tests.bundles.config_files import ROOT

LIVER = ROOT / "bundles" / "liver_ct_segmentation" / "configs"
CONFIGS = str(LIVER.relative_to(ROOT))
FCN = "configs/networks/fcn.json"
SMALL = {"batch_size": 8, "accumulation_steps": 2, "stage_epochs": 2, "num_workers": 0}
SMALL |= {"encoder": "resnet18"}


def files_of(workflow: str, *overlays: str | Path) -> list[str]:
    """Config files of a workflow; the FCN's own file allows a training to set its arguments."""
    usual = [FCN] if workflow == "train" else []
    return [f"{CONFIGS}/{workflow}.json", *usual, *map(str, overlays)]
