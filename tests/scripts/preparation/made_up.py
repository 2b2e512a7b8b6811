"""A data set of arrays that is defined here alone and known to nobody but the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from scripts.datasets.contract import DataSet, Labelled, Listing, Scan
from scripts.datasets.known import Known
from scripts.datasets.problems import Problem
from scripts.volumes.volume import Volume

SHAPE = (8, 6, 7)  # (Z, Y, X)
AFFINE = np.diag([0.5, 0.75, 2.0, 1.0])
ENTRY = Known("tests.scripts.preparation.made_up:MadeUp", "prepare made-up boxes")


@dataclass(frozen=True)
class MadeUp(DataSet):
    """Prepare made-up boxes for training.

    Args:
        source: folder of .npz files with hu and label, and hospitals.json.
        brightness: HU that is added to every voxel,
            so that there is an option of its own.
    """

    name = "made_up"
    title = "made-up boxes"
    kind = "classes"
    label_kinds = ("boxes",)
    splits = {"hospital": "by the hospital that scanned"}
    window_hu = (-100.0, 100.0)
    metric = "val_iou"

    brightness: int = 0

    def classes(self) -> Mapping[int, str]:
        return {0: "background", 1: "small box", 2: "large box"}

    def find(self, source: Path) -> Listing:
        table = source / "hospitals.json"
        if not table.is_file():
            raise FileNotFoundError(f"source: {source} must hold hospitals.json")
        hospitals = json.loads(table.read_text())
        files = sorted(source.glob("*.npz"))
        unnamed = [path.stem for path in files if path.stem not in hospitals]
        return Listing(
            [
                Scan(p.stem, f"patient of {p.stem}", (p,), group=hospitals.get(p.stem))
                for p in files
            ],
            [Problem(name, table.name, "has no hospital") for name in unnamed],
            notes=["hospitals: as in hospitals.json"],
            facts={"hospitals": sorted(set(hospitals.values()))},
        )

    def read(self, scan: Scan) -> Labelled:
        (path,) = scan.files
        try:
            with np.load(path, allow_pickle=False) as arrays:
                hu, label = arrays["hu"] + self.brightness, arrays["label"]
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{path.name}: no arrays hu and label: {error}") from error
        known = (0, 1, 2) if label.max() == 2 else (0, 1)
        return Labelled(Volume(hu.astype(np.int16), AFFINE), label, known=known)

    def divide(
        self, scans: Sequence[Scan], split: str, *, test_fold: int, random: Random
    ) -> Mapping[str, str]:
        partitions = {"A": "training", "B": "validation", "C": "test"}
        return {scan.id: partitions.get(str(scan.group), "training") for scan in scans}


def write_boxes(folder: Path, names: Sequence[str] = ("one", "two", "three")) -> Path:
    """Boxes of a scan each; the last scan's large box is not outlined."""
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        label = np.zeros(SHAPE, np.uint8)
        label[2:5, 1:3, 1:3] = 1
        label[4:7, 3:, 3:] = 2 if number + 1 < len(names) else 0
        hu = np.random.default_rng(number).integers(-200, 200, SHAPE).astype(np.int16)
        np.savez(folder / f"{name}.npz", hu=hu, label=label)
    (folder / "hospitals.json").write_text(json.dumps(dict(zip(names, "ABC", strict=False))))
    return folder
