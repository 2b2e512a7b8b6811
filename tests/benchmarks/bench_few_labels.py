"""Pretrained without labels or random: the CSAE's network with few labelled patients.

    python -m scripts phantom luna16 --output phantoms --patients 12 --size 160 --slices 32 \
        --nodule_min_mm 14 --nodule_max_mm 30
    python -m scripts prepare luna16 --source phantoms --output prepared --label masks \
        --masks phantoms/masks --slices all --shares 6:2:2
    python -m tests.benchmarks.bench_few_labels prepared/datalist.json --labelled 1 2 4 all

The layers learn from the slices of all training patients; then both starts are trained on the same
crops of ``labelled`` patients, each number with the patients of the smaller ones: the last layer
alone, then everything at a tenth of the rate, in equal numbers of steps. Dice is pooled over the
slices of validation and test patients. Each seed begins with another patient. The interval of the
gain is that of Student's t over the seeds.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from monai.transforms import Compose, MaskIntensityd
from scipy.stats import t as student
from torch import Tensor

from custom_nets.survey.csae import ConvolutionalSparseNetwork
from custom_nets.survey.sparse_layers import sparse_layers
from scripts.datasets.datalist import load_datalist
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.transforms.intensity import WindowHUd
from scripts.unsupervised.layerwise import train_layers

SIDE, BATCH, WIDTHS = 48, 8, (25, 25, 50)
LOAD = Compose(
    [
        LoadSlicesd(["image", "lung", "label"]),
        WindowHUd("image", window_hu=[-1000, 400], outside="zero"),
        MaskIntensityd("image", mask_key="lung"),
    ]
)


class Slices:
    """The slices of a partition with their masks and patients."""

    def __init__(self, datalist: str, *sections: str) -> None:
        entries = [entry for section in sections for entry in load_datalist(datalist, section)]
        loaded = [LOAD(entry) for entry in entries]
        self.patients = [entry["patient_id"] for entry in entries]
        self.images = torch.stack([one["image"].as_tensor() for one in loaded])
        self.masks = torch.stack([(one["label"].as_tensor() > 0).float() for one in loaded])

    def crops(self, patients: Sequence[str], count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Draw crops that show a nodule of these patients, half of them mirrored."""
        chosen = [
            k for k, name in enumerate(self.patients) if name in patients and self.masks[k].any()
        ]
        generator = torch.Generator().manual_seed(seed)
        images, masks = [], []
        for number in range(count):
            k = chosen[int(torch.randint(len(chosen), (), generator=generator))]
            inside = self.masks[k, 0].nonzero()[0]
            corner = inside - torch.randint(8, SIDE - 8, (2,), generator=generator)
            row, column = (int(c.clamp(0, self.masks.shape[-1] - SIDE)) for c in corner)
            area = (k, slice(None), slice(row, row + SIDE), slice(column, column + SIDE))
            flips = [-1] if number % 2 else []
            images.append(self.images[area].flip(flips))
            masks.append(self.masks[area].flip(flips))
        return torch.stack(images), torch.stack(masks)


class RandomCrops:
    """Batches of random crops, for the layers that learn without labels."""

    def __init__(self, images: Tensor, batches: int = 12) -> None:
        self.images, self.batches = images, batches

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self.batches):
            chosen = torch.randperm(len(self.images))[:BATCH]
            row, column = torch.randint(self.images.shape[-1] - SIDE + 1, (2,))
            yield self.images[chosen, :, row : row + SIDE, column : column + SIDE]


def started(images: Tensor, *, pretrained: bool, seed: int) -> ConvolutionalSparseNetwork:
    torch.manual_seed(seed)
    network = ConvolutionalSparseNetwork(widths=WIDTHS, poolings=1)
    if pretrained:
        begun = time.process_time()
        layers = sparse_layers(network, patches=400)
        options = {"epochs": 25, "learning_rate": 1e-3, "seed": seed}
        train_layers(layers, RandomCrops(images), **options)  # type: ignore[arg-type]
        print(f"  pretraining: {time.process_time() - begun:.0f} s of processor time", flush=True)
    return network


def tuned(
    network: ConvolutionalSparseNetwork, crops: tuple[Tensor, Tensor], *, steps: int, seed: int
) -> None:
    """Train the last layer on features that stay as they are, then everything."""
    images, masks = crops
    loss = DiceCELoss(sigmoid=True, smooth_nr=1, smooth_dr=1)
    with torch.no_grad():
        features = network.encoder(images)[-1]
    optimizer = torch.optim.Adam(network.decoder.parameters(), lr=0.02)
    for _ in range(steps):
        scores = F.interpolate(network.decoder(features), scale_factor=2.0, mode="bilinear")
        optimizer.zero_grad()
        loss(scores, masks).backward()
        optimizer.step()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.002)
    torch.manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randperm(len(images))[:BATCH]
        optimizer.zero_grad()
        loss(network(images[chosen]), masks[chosen]).backward()
        optimizer.step()


@torch.no_grad()
def dice(network: ConvolutionalSparseNetwork, data: Slices) -> float:
    found = torch.cat([network(x) > 0 for x in data.images.split(BATCH)]).float()
    total = found.sum() + data.masks.sum()
    return float(2 * (found * data.masks).sum() / total)


def interval(gains: Sequence[float]) -> str:
    """Show the mean of gains with its 95 % interval.

    >>> interval([0.1, 0.2, 0.3])
    '0.200 (-0.048 to 0.448)'
    """
    mean = statistics.mean(gains)
    if len(gains) < 2:
        return f"{mean:.3f} (one seed)"
    reach = student.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / len(gains) ** 0.5
    return f"{mean:.3f} ({mean - reach:.3f} to {mean + reach:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datalist")
    parser.add_argument("--labelled", nargs="+", default=["1"], help="numbers of patients, or all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=80)
    asked = parser.parse_args()
    training, tested = (
        Slices(asked.datalist, "training"),
        Slices(asked.datalist, "validation", "test"),
    )
    patients = sorted(set(training.patients))
    counts = [len(patients) if word == "all" else int(word) for word in asked.labelled]
    found: dict[int, list[list[float]]] = {count: [] for count in counts}
    for seed in range(asked.seeds):
        start = seed % len(patients)
        order = patients[start:] + patients[:start]
        starts = [started(training.images, pretrained=p, seed=seed) for p in (False, True)]
        for count in counts:
            crops = training.crops(order[:count], 48, seed)
            pair = []
            for network in map(copy.deepcopy, starts):
                tuned(network, crops, steps=asked.steps, seed=seed)
                pair.append(dice(network, tested))
            found[count].append(pair)
            print(f"seed {seed}, {count} labelled: random {pair[0]:.3f}, CSAE {pair[1]:.3f}")
    print("| labelled patients | random start | CSAE | gain |\n|---|---|---|---|")
    for count, pairs in found.items():
        means = [statistics.mean(side) for side in zip(*pairs, strict=True)]
        gain = interval([csae - random for random, csae in pairs])
        print(f"| {count} | {means[0]:.3f} | {means[1]:.3f} | {gain} |", flush=True)


if __name__ == "__main__":
    main()
