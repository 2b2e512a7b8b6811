"""The liver bundle's config files and a small network's settings."""

from __future__ import annotations

from pathlib import Path

from tests.bundles.config_files import ROOT

LIVER = ROOT / "bundles" / "liver_ct_segmentation" / "configs"
CONFIGS = str(LIVER.relative_to(ROOT))
RESNET = "configs/networks/fcn8s_resnet34.json"
SMALL = {"batch_size": 8, "accumulation_steps": 2, "stage_epochs": 2, "num_workers": 0}


def files_of(workflow: str, *overlays: str | Path) -> list[str]:
    """Config files of a workflow, with FCN-8s on ResNet34 unless other files are named."""
    return [f"{CONFIGS}/{workflow}.json", *map(str, overlays or [RESNET])]
