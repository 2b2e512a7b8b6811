"""How much of a training epoch is waiting for data?

    python tests/benchmarks/bench_loading.py [--scans 4] [--slices 60] [--patch 192] [--threads 2]

Prepared slices through this project's transforms, against MONAI's CacheDataset and
PersistentDataset over whole volumes (loading and windowing kept, eight random slices a volume).
Everything is loaded in the process that trains (num_workers 0), so that each millisecond of
loading is waited for: workers can only hide it. The step is that of the ResNet34 U-Net in bfloat16
at the same patch and batch size. Prints, for the first and the second epoch, milliseconds a sample
and the share of waiting, and the memory that the data set keeps. A minute and a half on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from bench_training import make, make_step
from made_up_scans import write_cohort
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset
from monai.transforms import (
    Compose,
    LoadImaged,
    RandSpatialCropd,
    RandSpatialCropSamplesd,
    SelectItemsd,
    SqueezeDimd,
)

from scripts.datasets.datalist import load_datalist
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.cohort import Request, prepare_cohort
from scripts.preparation.prepare_options import SliceOptions
from scripts.transforms.crops import RandCropWithLabeld
from scripts.transforms.intensity import WindowHUd
from scripts.transforms.neighbours import StackNeighboursd

KEYS = ("image", "label")
WINDOW = (-1000.0, 400.0)
BATCH = 8


def slice_transforms(patch: int) -> Compose:
    """What the bundle does to a prepared slice, without augmentation beyond the crop."""
    return Compose(
        [
            LoadSlicesd(KEYS),
            WindowHUd("image", WINDOW),
            RandCropWithLabeld(KEYS, "label", (patch, patch)),
            SelectItemsd(KEYS),
        ]
    )


def volume_transforms(patch: int) -> Compose:
    """What is usual over whole volumes: random slices, a random place in each."""
    return Compose(
        [
            LoadImaged(
                KEYS,
                reader="scripts.volumes.readers.SimpleITKReader",
                image_only=True,
                ensure_channel_first=True,
            ),
            WindowHUd("image", WINDOW),
            StackNeighboursd("image"),
            SelectItemsd(KEYS),
            RandSpatialCropSamplesd(KEYS, (-1, -1, 1), BATCH, random_size=False),
            RandSpatialCropd(KEYS, (patch, patch, 1), random_size=False),
            SqueezeDimd(KEYS, dim=-1),
        ]
    )


def resident_mb() -> float:
    """Memory of this process now (MB); Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def wait(batches: Iterable[Any], limit: int) -> tuple[float, int]:
    """Seconds until so many samples came, and how many did."""
    started, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch["image"])
        if count >= limit:
            break
    return time.perf_counter() - started, count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--patch", type=int, default=192)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    patch = arguments.patch
    images = torch.rand(BATCH, 3, patch, patch)
    step = make_step(*make(quick=True), images, (images[:, :1] > 0.5).float())
    step()
    started = time.perf_counter()
    for _ in range(3):
        step()
    step_ms = (time.perf_counter() - started) / 3 / BATCH * 1000
    print(f"step: {step_ms:.1f} ms a sample of {patch} x {patch}, batch {BATCH}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder / "luna", scans=arguments.scans + 2, slices=arguments.slices)
        request = Request(Luna16(), folder / "luna", folder / "out", SliceOptions("all"))
        prepare_cohort(request)
        samples = load_datalist(folder / "out" / "datalist.json", "training")
        volumes = load_datalist(folder / "out" / "datalist.json", "volumes/training")
        kinds = {
            "prepared slices": lambda: Dataset(samples, slice_transforms(patch)),
            "CacheDataset": lambda: CacheDataset(
                volumes, volume_transforms(patch), num_workers=1, progress=False
            ),
            "PersistentDataset": lambda: PersistentDataset(
                volumes, volume_transforms(patch), folder / "cache"
            ),
        }
        limit = min(len(samples), BATCH * len(volumes))
        for kind, build in kinds.items():
            before, started = resident_mb(), time.perf_counter()
            data = build()
            building = time.perf_counter() - started
            size = BATCH if kind == "prepared slices" else 1
            loader = DataLoader(data, batch_size=size, shuffle=True, num_workers=0)
            epochs = [wait(loader, limit) for _ in range(2)]
            first, second = (1000 * seconds / count for seconds, count in epochs)
            first += 1000 * building / epochs[0][1]
            shares = [f"{100 * one / (one + step_ms):.0f} %" for one in (first, second)]
            print(
                f"{kind:18} {first:6.1f} ms a sample in the first epoch, {second:6.1f} in the "
                f"second; waiting {shares[0]}, {shares[1]} of the time; "
                f"{resident_mb() - before:+.0f} MB"
            )


if __name__ == "__main__":
    main()
