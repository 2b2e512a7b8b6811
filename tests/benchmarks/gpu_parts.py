"""What bench_gpu.py measures: a whole CT, steps of training, stages, a small training."""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from bench_gpu import Bench, Sizes
from bench_prediction import PLAIN, untrained
from bench_training import STAGES, discs
from made_up_scans import chest, write
from monai.inferers import SimpleInferer
from monai.losses import DiceCELoss
from torch import nn

from custom_nets.survey.voxresnet import VoxResNet
from custom_nets.unet import TransferUNet
from scripts.demo.demo import LUNG
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import Options
from scripts.prediction.stopwatch import Stopwatch
from scripts.training.deep_supervision import SideOutputLoss
from scripts.training.fine_tuning.strategies import parameter_groups
from scripts.training.inferers import AutocastInferer

Step = Callable[[], None]

BUNDLE = "bundles/lung_nodule_ct_segmentation"
RATE = 1e-4
BOTH = {"autocast": True, "last": True}
CT_VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "plain: float32, not cropped": {**PLAIN, "precision": "float32"},
    "bundle, float32": {"precision": "float32"},
    "bundle": {},
    "bundle, 8 slices at once": {"slices_at_once": 8},
    "bundle, 32 slices at once": {"slices_at_once": 32},
}
STEP_VARIANTS: Mapping[str, Mapping[str, bool]] = {
    "plain: float32": {},
    "channels last": {"last": True},
    "autocast": {"autocast": True},
    "autocast, channels last": BOTH,
    "autocast, channels last, loss awaited": {**BOTH, "awaited": True},
}


def ct(bench: Bench, folder: Path) -> None:
    """Predict a made-up CT from file to mask in each variant."""
    what, files = made_up(bench, folder)
    for how, overlay in CT_VARIANTS.items():
        bench.attempt("ct", what, how, partial(whole_ct, bench, *files, overlay))


def made_up(bench: Bench, folder: Path) -> tuple[str, tuple[Path, Path]]:
    """Write a CT and random weights, once; return its size and both files."""
    sizes, source = bench.sizes, folder / "ct.mhd"
    if not source.exists():
        write(source, chest(sizes.slices, sizes.side)[0], compress=False)
    asked = argparse.Namespace(folder=folder, bundle=BUNDLE, ckpt_path=None)
    return f"{sizes.side} x {sizes.side} x {sizes.slices}", (source, untrained(asked))


def whole_ct(
    bench: Bench,
    source: Path,
    checkpoint: Path,
    overlay: Mapping[str, Any],
    *,
    compiled: bool = False,
) -> dict[str, float]:
    """Predict twice; the second time counts."""
    file = source.parent / "overlay.json"
    file.write_text(json.dumps(overlay))
    model = Model(
        Options(
            Path(BUNDLE),
            (str(file),),
            (str(checkpoint),),
            device=str(bench.device),
            engine="torch",
        )
    )
    if compiled:
        for network in model.networks:
            # crops differ from batch to batch: one program for all sizes
            network.forward = torch.compile(network.forward, dynamic=True)  # type: ignore[method-assign]
    first = bench.seconds(lambda: predict_volume(model, source, study=""))
    watch = Stopwatch()
    seconds = bench.seconds(lambda: predict_volume(model, source, study="", watch=watch))
    return {"seconds": seconds, "first_seconds": first, **watch.seconds}


@dataclass
class Case:
    """A network, and the batch that it is trained on.

    Attributes:
        name: for the table.
        network: random.
        loss: of (logits, labels).
        images, labels: one batch.
    """

    name: str
    network: nn.Module
    loss: nn.Module
    images: torch.Tensor
    labels: torch.Tensor

    def on(self, device: torch.device) -> Case:
        """Return a copy on a device, in the usual memory format."""
        batch = (self.images.to(device), self.labels.to(device))
        return Case(self.name, deepcopy(self.network).to(device), self.loss, *batch)

    def step(self, *, last: bool = False, autocast: bool = False, awaited: bool = False) -> Step:
        """Return one iteration of training, over and over the same batch.

        Args:
            last: order weights and images channels last.
            autocast: compute in the device's own precision.
            awaited: read the loss before the backward pass.
        """
        network, images = self.network, self.images
        if last:
            layout = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
            network, images = network.to(memory_format=layout), images.to(memory_format=layout)
        inferer = AutocastInferer(SimpleInferer(), dtype="auto" if autocast else "float32")
        parts, fused = parameter_groups(network, RATE), True if last or autocast else None
        optimizer = torch.optim.Adam(parts, lr=RATE, fused=fused)
        network.train()

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            value = self.loss(inferer(images, network), self.labels)
            if awaited:
                float(value.detach())
            value.backward()
            optimizer.step()

        return step


def unet(encoder: str, sizes: Sizes) -> Case:
    """Return a U-Net with crops of made-up discs."""
    batch = discs(sizes.batch, sizes.crop, seed=1)
    name = f"{encoder} U-Net, {sizes.batch} x {sizes.crop} x {sizes.crop}"
    return Case(name, TransferUNet(encoder), DiceCELoss(sigmoid=True), *batch)


def voxresnet(sizes: Sizes) -> Case:
    """Return a VoxResNet with two made-up patches."""
    volumes = torch.rand(2, 1, *sizes.patch)
    name = f"VoxResNet, 2 x {' x '.join(map(str, sizes.patch))}"
    loss = SideOutputLoss(DiceCELoss(sigmoid=True))
    return Case(name, VoxResNet(1), loss, volumes, (volumes > 0.9).float())


CASES: Mapping[str, Callable[[Sizes], Case]] = {
    "vgg16": partial(unet, "vgg16"),
    "resnet34": partial(unet, "resnet34"),
    "voxresnet": voxresnet,
}


def one_step(
    bench: Bench, case: Case, how: Mapping[str, bool], *, compiled: bool = False
) -> dict[str, float]:
    """Train a copy of a case for some steps."""
    copy = case.on(bench.device)
    if compiled:
        copy.network.forward = torch.compile(copy.network.forward)  # type: ignore[method-assign]
    return bench.repeated(copy.step(**how))


def step(bench: Bench, _: Path) -> None:
    """Train each network for some steps in each variant."""
    for make in CASES.values():
        case = make(bench.sizes)
        for how, words in STEP_VARIANTS.items():
            bench.attempt("step", case.name, how, partial(one_step, bench, case, words))


def stages(bench: Bench, _: Path) -> None:
    """Take a step in each of the five stages, and of the whole network."""
    declared = json.loads(Path(STAGES).read_text())["strategy"]["stages"]
    whole = {"name": "plain: whole network", "trainable": ["all"]}
    for encoder in ("vgg16", "resnet34"):
        case = CASES[encoder](bench.sizes)
        for stage in (whole, *declared):
            case.network.set_trainable(stage["trainable"])  # type: ignore[operator]
            measure = partial(one_step, bench, case, BOTH)
            bench.attempt("stages", case.name, stage["name"], measure)


def compiled(bench: Bench, folder: Path) -> None:
    """Measure prediction and steps with torch.compile: the first time compiles."""
    what, files = made_up(bench, folder)
    measure: Callable[[], Mapping[str, Any]]
    measure = partial(whole_ct, bench, *files, {"slices_at_once": 8}, compiled=True)
    bench.attempt("ct", what, "bundle, 8 slices at once, compiled", measure)
    for make in CASES.values():
        case = make(bench.sizes)
        measure = partial(one_step, bench, case, BOTH, compiled=True)
        bench.attempt("step", case.name, "autocast, channels last, compiled", measure)


def training(bench: Bench, folder: Path) -> None:
    """Train by the small recipe of the demonstration, two epochs a stage."""
    what = f"{bench.sizes.patients} phantoms, small recipe"
    bench.attempt("training", what, "plain: from phantoms", partial(small_training, bench, folder))


def small_training(bench: Bench, folder: Path) -> dict[str, float]:
    """Make phantoms, prepare and train; seconds of the training, of its epochs and of the rest."""
    small = bench.sizes.side < 512
    size = "--size 96 --slices 24" if small else "--size 256 --slices 110 --jobs 4"
    data = ["luna16", *size.split(), "--patients", str(bench.sizes.patients)]
    data += ["--nodule_min_mm", "10", "--nodule_max_mm", "30"]
    phantoms, prepared, output = folder / "phantoms", folder / "prepared", folder / "training"
    started = time.perf_counter()
    command(bench, "-m", "scripts", "phantom", *data, "--output", str(phantoms))
    options = LUNG.prepare.format(output=folder).split()
    places = ["--source", str(phantoms), "--output", str(prepared)]
    command(bench, "-m", "scripts", "prepare", "luna16", *options, *places)
    ready = time.perf_counter()
    more = {"encoder": "resnet34", "encoder_weights": "none", "stage_epochs": 2}
    device = f"$torch.device('{bench.device}')"
    words = LUNG.recipe.command(
        *("training", "train"), dataset_dir=prepared, output_dir=output, device=device, **more
    )
    peak = command(bench, *words)
    done = time.perf_counter()
    with (output / "history.csv").open(newline="") as file:
        epochs = [float(row["seconds"]) for row in csv.DictReader(file)]
    seconds = {"seconds": done - ready, "preparation": ready - started, "epochs": sum(epochs)}
    return {**seconds, "peak_memory_mb": peak}


def command(bench: Bench, *words: str) -> float:
    """Run Python with these arguments, within the time that is left.

    Returns:
        The largest memory in MB that was in use meanwhile: of the card, with the process's context
        on it, more than before; or on a CPU of any child so far.

    Raises:
        RuntimeError: with the last line, when it fails.
        TimeoutError: when the time is over.
    """
    before = peak = in_use_mb(bench.device)
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while True:
        try:
            _, messages = process.communicate(timeout=0.2)
            break
        except subprocess.TimeoutExpired:
            peak = max(peak, in_use_mb(bench.device))
            if time.monotonic() > bench.deadline:
                process.kill()
                process.communicate()
                raise TimeoutError(f"{' '.join(words[:5])}: out of time, see --minutes") from None
    if process.returncode:
        lines = messages.strip().splitlines() or ["no message"]
        raise RuntimeError(f"{' '.join(words[:5])} ended with {process.returncode}: {lines[-1]}")
    return peak - before if bench.device.type == "cuda" else in_use_mb(bench.device)


def in_use_mb(device: torch.device) -> float:
    """Return the memory in use on a card by any process, or the most that any child has taken."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return (total - free) / 1e6
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


PARTS: Mapping[str, Callable[[Bench, Path], None]] = {
    "ct": ct,
    "step": step,
    "stages": stages,
    "training": training,
    "compiled": compiled,
}
"""Name -> what measures it."""
