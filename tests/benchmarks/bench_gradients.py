"""Mean gradients of a U-Net's encoder blocks before training, with and without norms on the skips.

    python tests/benchmarks/bench_gradients.py --data LIDC_NODULES --weights vgg16_features.pth

Eight nodules, on the slice where most voxels have two votes or more; the loss of the trainings.
"""

import argparse
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.losses import DiceCELoss

from custom_nets.encoders.encoder import BLOCK_NAMES
from custom_nets.unet import TransferUNet

SIDE = 64
NETWORKS = (("vgg16", True), ("vgg16", False), ("vgg16_bn", False), ("resnet34", False))


def crop(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return image in [0, 1] and label of one slice, padded or cut to SIDE x SIDE."""
    image = np.asarray(nibabel.load(folder / "image" / name).dataobj, dtype=np.float32)
    label = np.asarray(nibabel.load(folder / "votes" / name).dataobj) >= 2
    best = label.sum((0, 1)).argmax()
    placed = np.zeros((2, SIDE, SIDE), np.float32)
    for target, source in zip(placed, ((image + 1000) / 1400, label), strict=True):
        part = source[:SIDE, :SIDE, best].astype(np.float32)
        target[: part.shape[0], : part.shape[1]] = part.clip(0, 1)
    return placed[:1], placed[1:]


def block_gradients(network: TransferUNet, images: torch.Tensor, labels: torch.Tensor) -> list[str]:
    """Return the mean absolute gradient of the kernels of each block."""
    DiceCELoss(sigmoid=True)(network.train()(images), labels).backward()
    weights = dict(network.named_parameters())
    found = []
    for block in BLOCK_NAMES:
        paths = [f"{path}.weight" for layer in network.parts[block].values() for path in layer]
        kernels = [weights[path].grad for path in paths if weights[path].ndim == 4]
        found.append(f"{np.mean([float(kernel.abs().mean()) for kernel in kernels]):.0e}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with image/ and votes/")
    parser.add_argument("--weights", required=True, help="VGG16's ImageNet weights")
    options = parser.parse_args()
    names = sorted(path.name for path in (options.data / "image").iterdir())[::60][:8]
    crops = [crop(options.data, name) for name in names]
    images, labels = (torch.from_numpy(np.stack(part)) for part in zip(*crops, strict=True))
    for encoder, pretrained in NETWORKS:
        for skip_norm in ("none", "all"):
            torch.manual_seed(0)
            weights = options.weights if pretrained else "none"
            network = TransferUNet(
                encoder,
                weights=weights,
                decoder_channels=(256, 128, 64, 32, 16),
                skip_norm=skip_norm,
            )
            figures = block_gradients(network, images.repeat(1, 3, 1, 1), labels)
            start = "ImageNet" if pretrained else "random"
            print(f"{encoder:10}{start:10}skip_norm {skip_norm:5}", *figures)


if __name__ == "__main__":
    main()
