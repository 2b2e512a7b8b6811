"""One training step and five stages of block superimposed fine-tuning, against the plain way.

    python tests/benchmarks/bench_training.py [--parts steps,crops,optimisers,stages,learn]
                                              [--times 5] [--threads 2] [--iterations 4]
                                              [--learn 60] [--encoders resnet34,vgg16]
                                              [--narrow] [--cpu]

A step is forward, loss, backward and Adam of the ResNet34 U-Net on 256 x 256, in the bundles' order
of weights (custom_nets/memory_layout.py) and the precision of configs/runtime/native_precision.json
with the fused Adam, as the bundles do, and plainly: eager float32 in PyTorch's usual memory format,
with its usual Adam. With ONEDNN_MAX_CPU_ISA=AVX512_CORE in the environment the former is float32
too, as on a processor without bfloat16.

- steps: both, 256 x 256, batches of 2 and 8. To reach: 0.6 with bfloat16, 0.9 without.
- crops: the steps of the demo (ResNet34, narrow decoder, 96 x 96) and of real_nodules (VGG16,
  64 x 64) with batches of 8 and the bundle's inferer, against the same with all kernels in channels
  last, against MONAI's inferer, which carries the metadata of the images through the network, and
  against the plain step with such images.
- optimisers: PyTorch's three forms of Adam on the same gradients, and how far their weights differ.
- stages: A to E of configs/strategies/bsft.json against five full fine-tunings of as many
  iterations, both in the quick way; with what autograd keeps for the backward pass in either, and
  with the operations that torch counts: freezing cannot take less time than its share of them. The
  same with the maps of frozen blocks kept, as configs/runtime/cached_prefix.json does for training
  without augmentation, of a batch that came before. To reach: 0.7 of five full ones, ResNet34 0.8.
- learn: either way of computing learns the same made-up discs from the same start, and the Dice of
  both on others is printed.

``--cpu`` gives processor seconds, for a machine with other jobs; use it with ``--threads 1``. Four
minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from machine import take_turns
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from monai.losses import DiceCELoss
from torch.utils.flop_counter import FlopCounterMode

from custom_nets.memory_layout import to_fast_layout
from custom_nets.unet import TransferUNet
from scripts.training.fine_tuning.strategies import parameter_groups
from scripts.training.inferers import AutocastInferer, CachedPrefixInferer
from scripts.training.precision import native_dtype

QUICK = "configs/runtime/native_precision.json"
STAGES = "configs/strategies/bsft.json"
SMALL = "configs/runtime/small.json"
RATE = 1e-4
ADAMS = {"fused": {"fused": True}, "foreach": {"foreach": True}, "one by one": {"foreach": False}}
CLOCK = time.perf_counter


def make(
    quick: bool, seed: int = 0, encoder: str = "resnet34", *, narrow: bool = False
) -> tuple[TransferUNet, Inferer]:
    """Build the network and what runs it, as train.json with the overlay does, or plainly.

    ``narrow`` takes the decoder of the demo.
    """
    torch.manual_seed(seed)
    network = TransferUNet(encoder)
    if narrow:
        with open(SMALL) as file:
            small = json.load(file)
        widths, norm = small["decoder_channels"], small["decoder_norm"]
        network = TransferUNet(encoder, decoder_channels=widths, norm=norm)
    if not quick:
        return network, SimpleInferer()
    parser = ConfigParser()
    parser.read_config(QUICK)
    inferer: Inferer = parser.get_parsed_content("inferer")
    return to_fast_layout(network, "cpu"), inferer


def make_step(
    network: TransferUNet,
    inferer: Inferer,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    fused: bool = True,
) -> Callable[[], None]:
    """One iteration of training, over and over the same batch."""
    loss = DiceCELoss(sigmoid=True)
    optimizer = torch.optim.Adam(parameter_groups(network, RATE), lr=RATE, fused=fused)
    network.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(inferer(images, network), labels).backward()
        optimizer.step()

    return step


def discs(count: int, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images (count, 3, size, size) of one bright disc among dark ones, and its mask."""
    draw = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    images = torch.rand(count, 3, size, size, generator=draw) * 0.4
    labels = torch.zeros(count, 1, size, size)
    for image, label in zip(images, labels, strict=True):
        for brightness in (0.2, 0.2, 0.5):
            centre = torch.rand(2, generator=draw) * size
            radius = size * (0.06 + 0.1 * float(torch.rand(1, generator=draw)))
            disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
            image[:, disc] += brightness
            label[0, disc] = float(brightness > 0.3)
    return images.clamp(0, 1), labels


def saved_mb(step: Callable[[], None]) -> float:
    """Megabytes that autograd keeps for the backward pass of one step, weights included once."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(kept.values()) / 1e6


def operations(step: Callable[[], None]) -> int:
    """Multiplications and additions of one step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def measure_steps(times: int) -> None:
    """Print what one step takes."""
    for batch in (2, 8):
        images, labels = discs(batch, 256, seed=1)
        calls = {
            name: make_step(*make(name == "quick"), images, labels, fused=name == "quick")
            for name in ("quick", "plain")
        }
        taken = take_turns(calls, times if batch < 8 else max(2, times // 2), CLOCK)
        print(
            f"one step, batch {batch}: {taken['quick']:.3f} s, plain {taken['plain']:.3f} s, "
            f"ratio {taken['quick'] / taken['plain']:.2f}"
        )


def measure_crops(times: int) -> None:
    """Print what one step of the demo and of real_nodules takes, also with carried metadata."""
    for encoder, size in (("resnet34", 96), ("vgg16", 64)):
        narrow = encoder == "resnet34"
        images, labels = discs(8, size, seed=1)
        carried = MetaTensor(images), MetaTensor(labels)
        quick, ours = make(True, encoder=encoder, narrow=narrow)
        half = AutocastInferer(SimpleInferer())
        plain, eager = make(False, encoder=encoder, narrow=narrow)
        last: TransferUNet = deepcopy(quick).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        calls = {
            "quick": make_step(quick, ours, *carried),
            "last": make_step(last, ours, *carried),
            "carried": make_step(deepcopy(quick), half, *carried),
            "plain": make_step(plain, eager, *carried, fused=False),
        }
        taken = take_turns(calls, times, CLOCK)
        ratio = {name: taken["quick"] / seconds for name, seconds in taken.items()}
        print(
            f"one step, {encoder}, 8 crops of {size}: {taken['quick']:.3f} s; relative to all "
            f"kernels in channels last {ratio['last']:.2f}, to metadata in the network "
            f"{ratio['carried']:.2f}, to plain {ratio['plain']:.2f}"
        )


def measure_optimisers(times: int) -> None:
    """Print what each form of Adam takes, and the largest difference of their weights."""
    networks = {name: make(quick=True)[0] for name in ADAMS}
    draw = torch.Generator().manual_seed(0)
    for tensors in zip(*(network.parameters() for network in networks.values()), strict=True):
        gradient = torch.randn(tensors[0].shape, generator=draw) * 1e-3
        for tensor in tensors:
            tensor.grad = torch.empty_like(tensor).copy_(gradient)  # in the layout of the weights
    calls = {
        name: torch.optim.Adam(networks[name].parameters(), lr=RATE, **form).step
        for name, form in ADAMS.items()
    }
    taken = take_turns(calls, times, CLOCK)
    first, *others = (list(network.parameters()) for network in networks.values())
    apart = max(
        float((a - b).abs().max()) for other in others for a, b in zip(first, other, strict=True)
    )
    print("Adam:", ", ".join(f"{name} {1e3 * one:.0f} ms" for name, one in taken.items()))
    print(f"  weights after {times + 1} updates at rate {RATE:g} differ by at most {apart:.1e}")


def measure_stages(iterations: int, encoder: str, *, narrow: bool) -> None:
    """Print what each stage takes, in turn with the whole network and with kept maps."""
    with open(STAGES) as file:
        stages = json.load(file)["strategy"]["stages"]
    images, labels = discs(2, 256, seed=1)
    network, inferer = make(quick=True, encoder=encoder, narrow=narrow)
    other, cached = deepcopy(network), AutocastInferer(CachedPrefixInferer(4000))
    full, step, kept = (
        make_step(one, how, images, labels)
        for one, how in ((deepcopy(network), inferer), (network, inferer), (other, cached))
    )
    full()
    counted_whole = operations(full)
    shares: dict[str, list[float]] = {}
    for stage in stages:
        for one in (network, other):
            one.set_trainable(stage["trainable"])
        step()
        kept()
        calls = {"full": full, "stage": step, "kept": kept}
        taken = take_turns(calls, iterations, CLOCK)
        counted = {name: operations(calls[name]) / counted_whole for name in ("stage", "kept")}
        print(
            f"  {stage['name']:10} {taken['stage']:.3f} s a step, full {taken['full']:.3f} s: "
            f"{taken['stage'] / taken['full']:.2f}, operations {counted['stage']:.2f}; maps kept "
            f"{taken['kept'] / taken['full']:.2f}, operations {counted['kept']:.2f}; "
            f"{saved_mb(step):4.0f} MB for backward"
        )
        for name in ("stage", "kept"):
            shares.setdefault(f"{name}, time", []).append(taken[name] / taken["full"])
            shares.setdefault(f"{name}, operations", []).append(counted[name])
    print(f"  in full {saved_mb(full):.0f} MB for backward")
    for what, found in shares.items():
        print(f"  five stages, {encoder}, {what}: {statistics.mean(found):.2f} of full")


def learn(iterations: int, seeds: Sequence[int]) -> None:
    """Print the Dice that either way of computing reaches on discs it has not seen."""
    test_images, test_labels = discs(16, 96, seed=99)
    for name in ("quick", "plain"):
        reached = []
        for seed in seeds:
            network, inferer = make(name == "quick", seed)
            for number in range(iterations):
                images, labels = discs(8, 96, seed=1000 * seed + number)
                if number == 0:
                    groups = parameter_groups(network, 1e-3)
                    optimizer = torch.optim.Adam(groups, lr=1e-3, fused=name == "quick")
                optimizer.zero_grad(set_to_none=True)
                DiceCELoss(sigmoid=True)(inferer(images, network.train()), labels).backward()
                optimizer.step()
            with torch.no_grad():
                found = (inferer(test_images, network.eval()) > 0).float()
            reached.append(float(2 * (found * test_labels).sum() / (found + test_labels).sum()))
        print(f"Dice after {iterations} iterations, {name}:", [round(d, 3) for d in reached])


def main() -> None:
    """Measure and print."""
    global CLOCK
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", default="steps,crops,optimisers,stages,learn")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--learn", type=int, default=60)
    parser.add_argument("--encoders", default="resnet34,vgg16", help="of the stages")
    parser.add_argument("--narrow", action="store_true", help="stages with the demo's decoder")
    parser.add_argument("--cpu", action="store_true", help="processor seconds")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    CLOCK = time.process_time if arguments.cpu else time.perf_counter
    print(f"precision: {native_dtype('cpu')}, threads: {arguments.threads}")
    parts = {
        "steps": lambda: measure_steps(arguments.times),
        "crops": lambda: measure_crops(arguments.times),
        "optimisers": lambda: measure_optimisers(arguments.times),
        "stages": lambda: [
            measure_stages(arguments.iterations, one, narrow=arguments.narrow)
            for one in arguments.encoders.split(",")
        ],
        "learn": lambda: learn(arguments.learn, seeds=(0, 1)),
    }
    for part in arguments.parts.split(","):
        parts[part]()


if __name__ == "__main__":
    main()
