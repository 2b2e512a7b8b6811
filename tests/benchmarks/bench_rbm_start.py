"""CEN-s from its pretraining as RBMs, or from random weights: Dice after each epoch.

    python -m tests.benchmarks.bench_rbm_start prepared/datalist.json --seeds 3

Reads the volumes of a prepared phantom cohort (bench_few_labels.py says how to make one). The RBMs
learn from random patches of the training volumes. Both starts are trained on the same patches with
a nodule, by the sensitivity ratio and Adam or AdaDelta; after each epoch the threshold is chosen on
the training patches, and the Dice is pooled over patches with a nodule of other patients.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch import Tensor

from custom_nets.survey.cen import ConvolutionalEncoderNetwork, rbm_layers
from scripts.datasets.datalist import load_datalist
from scripts.training.chosen_threshold import BINS, LARGEST_LOGIT, best_threshold
from scripts.training.losses import SensitivityRatio
from scripts.unsupervised.layerwise import train_layers

SIZE = (32, 32, 12)
SHAPE = {"filters": 8, "kernel_size": (7, 7, 3)}
Pair = tuple[Tensor, Tensor]
OPTIMISERS = {
    "adam": partial(torch.optim.Adam, lr=1e-4),
    "adadelta": partial(torch.optim.Adadelta, lr=1.0),
}


def volumes(datalist: str, *sections: str) -> list[Pair]:
    """Read windowed volumes and masks by the transforms of the config."""
    parser = ConfigParser(ConfigParser.load_config_file("configs/data/luna16_volumes.json"))
    parser.update({"window_hu": [-1000, 400], "outside_window": "zero", "in_channels": 1})
    parser.update({"switches": {"lung_masking": True}, "patch_size": [32, 32]})
    transforms = parser.get_parsed_content("sample_transforms")
    pairs = []
    for section in sections:
        for sample in load_datalist(datalist, f"volumes/{section}"):
            for transform in transforms:
                sample = transform(sample)
            pairs.append((sample["image"].as_tensor(), sample["label"].as_tensor().float()))
    return pairs


def patches(pairs: list[Pair], count: int, seed: int, *, nodules: bool) -> Pair:
    """Cut random patches, about voxels of nodules if asked."""
    generator = torch.Generator().manual_seed(seed)
    chosen = [pair for pair in pairs if pair[1].any() or not nodules]
    images, masks = [], []
    for number in range(count):
        image, mask = chosen[number % len(chosen)]
        inside = mask[0].nonzero() if nodules else (image[0] > 0).nonzero()
        voxel = inside[int(torch.randint(len(inside), (), generator=generator))]
        shift = torch.stack(
            [torch.randint(s // 4, 3 * s // 4, (), generator=generator) for s in SIZE]
        )
        corner = [
            int(c.clamp(0, whole - side))
            for c, whole, side in zip(voxel - shift, image.shape[1:], SIZE, strict=True)
        ]
        area = (slice(None), *(slice(c, c + s) for c, s in zip(corner, SIZE, strict=True)))
        images.append(image[area])
        masks.append(mask[area])
    return torch.stack(images), torch.stack(masks)


def pretrained(training: list[Pair], others: Tensor, seed: int, folder: Path) -> str:
    """Train the RBMs; print what they learnt; return the file of their weights."""
    begun = time.process_time()
    torch.manual_seed(seed)
    network = ConvolutionalEncoderNetwork(**SHAPE)  # type: ignore[arg-type]
    layers = rbm_layers(network)
    before = layers[0].restoration_error(others)  # type: ignore[operator]
    batches = list(patches(training, 96, seed, nodules=False)[0].split(8))
    train_layers(layers, batches, epochs=15, learning_rate=1e-3, seed=seed)  # type: ignore[arg-type]
    after = layers[0].restoration_error(others)  # type: ignore[operator]
    shuffled = torch.stack([x.flatten()[torch.randperm(x.numel())].view_as(x) for x in others])
    with torch.no_grad():
        energies = [
            layers[0].free_energy(layers[0].before(x)).mean().item()  # type: ignore[operator]
            for x in (others, shuffled)
        ]
    print(
        f"  RBMs, {time.process_time() - begun:.0f} s: restoration error of held-back patches "
        f"{before:.3f} -> {after:.3f}; free energy {energies[0]:.0f}, shuffled {energies[1]:.0f}"
    )
    file = folder / f"encoder_{seed}.pt"
    torch.save({"encoder": "cen_s", "state_dict": network.encoder.state_dict()}, file)
    return str(file)


def counts(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    held = logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    lesion, other = (
        torch.histc(held[part], BINS, -LARGEST_LOGIT, LARGEST_LOGIT)
        for part in (masks > 0, masks == 0)
    )
    return lesion, other


def curve(
    weights: str, data: Pair, tested: Pair, *, epochs: int, seed: int, optimiser: str
) -> list[float]:
    """Return the Dice on the tested patches after each epoch of training."""
    torch.manual_seed(seed)
    network = ConvolutionalEncoderNetwork(weights=weights, **SHAPE)  # type: ignore[arg-type]
    optimizer, loss = OPTIMISERS[optimiser](network.parameters()), SensitivityRatio()
    found = []
    for _ in range(epochs):
        for chosen in torch.randperm(len(data[0])).split(8):
            optimizer.zero_grad()
            loss(network(data[0][chosen]), data[1][chosen]).backward()
            optimizer.step()
        with torch.no_grad():
            threshold, _ = best_threshold(*counts(network(data[0]), data[1]))
            mask = (network(tested[0]).sigmoid() >= threshold).float()
        found.append(float(2 * (mask * tested[1]).sum() / (mask.sum() + tested[1].sum())))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datalist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--optimiser", choices=OPTIMISERS, default="adam")
    parser.add_argument("--output", type=Path, default=Path("rbm_start"))
    asked = parser.parse_args()
    asked.output.mkdir(parents=True, exist_ok=True)
    training, others = (
        volumes(asked.datalist, "training"),
        volumes(asked.datalist, "validation", "test"),
    )
    curves: dict[str, list[list[float]]] = {"random": [], "RBMs": []}
    for seed in range(asked.seeds):
        data, tested = (patches(pairs, 64, seed, nodules=True) for pairs in (training, others))
        file = pretrained(training, patches(others, 32, 99, nodules=False)[0], seed, asked.output)
        for name, weights in (("random", "none"), ("RBMs", file)):
            settings = {"epochs": asked.epochs, "seed": seed, "optimiser": asked.optimiser}
            found = curve(weights, data, tested, **settings)
            curves[name].append(found)
            print(f"seed {seed}, {name}: {' '.join(f'{value:.2f}' for value in found)}", flush=True)
    means = {name: [statistics.mean(v) for v in zip(*c, strict=True)] for name, c in curves.items()}
    last = means["random"][-1]
    reached = [epoch for epoch, value in enumerate(means["RBMs"], start=1) if value >= last]
    print(f"mean of the last epoch: random {last:.3f}, RBMs {means['RBMs'][-1]:.3f}")
    print(f"epochs to the random start's last Dice: {reached[0] if reached else 'not reached'}")


if __name__ == "__main__":
    main()
