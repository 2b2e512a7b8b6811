"""Predicting a whole CT as the bundle does it, against the same network plainly.

    python tests/benchmarks/bench_prediction.py [--source CT] [--bundle bundles/...]
        [--config_file A.json,B.json] [--ckpt_path model.pt] [--times 1] [--threads 2]
        [--parts whole,memory,alone] [--engines auto,torch,openvino-int8]

``plain`` is the same network and transforms, eager in float32, not cropped, contiguous, slice by
slice with MONAI's SliceInferer; the others are the bundle with each value of ``--engine``. All go
through ``predict_volume``, in turn, in this process; the first turn, in which OpenVINO converts the
network, is not counted. The peak memory of each is that of a process of its own. Then some slices
through the network alone: as the bundle does it with the first of the engines, and by what people
would otherwise use. Then operations and bytes against what the processor and memory do at best.

With ``--threads 1`` all seconds are those of the processor, which other jobs on the machine hardly
change. ``ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI`` in the environment imitates a processor without
bfloat16 that computes 8 bits; ``AVX512_CORE`` one without either.

Without ``--source`` a chest phantom of 512 x 512 x 133 is drawn; without ``--ckpt_path`` the
network is random and made to find nothing, so that no Dice is printed. The figures to reach: a
quarter of the time with bfloat16 and a sixth without, Dice 0.99, 2 GB. About two minutes and a half
on two cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from time import perf_counter, process_time

import torch
from machine import count_work, peak_bandwidth, peak_flops, take_turns
from rivals import eager, engines, flexible_unet

from scripts.bundle.model_file import (
    content_of,
    settings_of,
    settings_of_config,
    trained_network,
)
from scripts.phantom.chest.luna16 import make_cohort
from scripts.prediction.network.engines import ENGINES, check_engine
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import KEY, predict_volume
from scripts.prediction.predict_options import Options
from scripts.prediction.result import Prediction
from scripts.prediction.stopwatch import Stopwatch
from scripts.running.workers import peak_memory_mb

SLICES = 6  # of those that go through each rival
PLAIN = {
    "crop": False,
    "network": "$@network_def.to(@device)",
    "inferer": {"_target_": "SliceInferer", "roi_size": [-1, -1], "spatial_dim": 2},
}


def model_of(arguments: argparse.Namespace, kind: str) -> Model:
    """Build a bundle with an engine, or plainly ("plain")."""
    files = list(filter(None, arguments.config_file.split(",")))
    if kind == "plain":
        files.append(str(arguments.folder / "plain.json"))
        Path(files[-1]).write_text(json.dumps(PLAIN))
    options = Options(
        Path(arguments.bundle),
        tuple(files),
        (str(arguments.ckpt_path),),
        device="cpu",
        engine="torch" if kind == "plain" else kind,
    )
    return Model(options)


def untrained(arguments: argparse.Namespace) -> Path:
    """Weights at random, but for a head that finds nothing."""
    torch.manual_seed(0)
    arguments.ckpt_path = arguments.folder / "random.pt"
    settings = settings_of_config(Path(arguments.bundle, "configs", "train.json"))
    network = trained_network(settings, encoder="resnet34")
    state = network.state_dict()
    bias = state[[name for name in state if name.endswith("head.bias")][-1]]
    bias[0 if len(bias) > 1 else slice(None)] = 1e4 if len(bias) > 1 else -1e4
    settings = {**settings, **settings_of(network, {})}
    torch.save(content_of(state, settings, {}), arguments.ckpt_path)
    return Path(arguments.ckpt_path)


def dice(own: Prediction, plain: Prediction) -> dict[str, float]:
    """Dice of every kind that either found."""
    found = {}
    for kind in sorted({segment.kind for p in (own, plain) for segment in p.segments}):
        masks = []
        for prediction in (own, plain):
            known = [0, *(segment.kind == kind for segment in prediction.segments)]
            masks.append(torch.tensor(known, dtype=torch.bool)[torch.tensor(prediction.mask).int()])
        total = int(masks[0].sum()) + int(masks[1].sum())
        if total:
            found[kind] = 2 * int((masks[0] & masks[1]).sum()) / total
    return found


def whole(arguments: argparse.Namespace) -> None:
    """Predict in turn: seconds of each, and Dice."""
    models = {kind: model_of(arguments, kind) for kind in (*arguments.kinds, "plain")}
    seconds: dict[str, list[dict[str, float]]] = {kind: [] for kind in models}
    results: dict[str, Prediction] = {}
    for turn in range(arguments.times + 1):
        for kind in models if turn else arguments.kinds:  # the first warms up
            watch, started, worked = (
                Stopwatch(clock=arguments.clock),
                arguments.clock(),
                process_time(),
            )
            results[kind] = predict_volume(models[kind], arguments.source, study="", watch=watch)
            total, worked = arguments.clock() - started, process_time() - worked
            if turn:
                seconds[kind].append({"total": total, "processors": worked, **watch.seconds})
    medians = {
        kind: {step: statistics.median(one[step] for one in runs) for step in runs[0]}
        for kind, runs in seconds.items()
    }
    plain = medians["plain"]
    kept = "processor seconds" if arguments.threads == 1 else "seconds"
    print(f"CT of {results['plain'].hu.shape}, {torch.get_num_threads()} threads, {kept}")
    for kind, steps in medians.items():
        print(f"  {kind:13}", ", ".join(f"{name} {value:.2f}" for name, value in steps.items()))
    for kind in arguments.kinds:
        print(f"  {kind:13}", models[kind].engine.record())
        for name in ("total",) if arguments.threads == 1 else ("total", "processors"):
            print(f"  {kind:13} ratio of {name} 1 / {plain[name] / medians[kind][name]:.2f}")
        if arguments.trained:
            found = dice(results[kind], results["plain"])
            print(f"  {kind:13} Dice", {name: round(value, 4) for name, value in found.items()})


def memory(arguments: argparse.Namespace) -> None:
    """Predict each in a process of its own: the largest memory."""
    kept = ("source", "bundle", "config_file", "ckpt_path", "threads")
    words = [f"--{key}={getattr(arguments, key)}" for key in kept]
    for kind in (*arguments.kinds, "plain"):
        command = [sys.executable, __file__, *words, f"--only={kind}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"  {kind:13} peak memory {float(done.stdout.split()[-1]):.0f} MB")


def alone(arguments: argparse.Namespace) -> None:
    """Slices through the network alone, and how far that is from the machine's limit."""
    own, plain = model_of(arguments, arguments.kinds[0]), model_of(arguments, "plain")
    volume = own.preprocessing({KEY: str(arguments.source)})[KEY].as_tensor()
    depth = volume.shape[-1]
    few = volume[..., torch.linspace(0, depth - 1, SLICES).long()].float()[None]
    wide = plain.preprocessing({KEY: str(arguments.source)})[KEY].as_tensor()
    some = wide[..., torch.linspace(0, wide.shape[-1] - 1, SLICES).long()].float()[None]
    network, usual = own.networks[0], plain.networks[0]
    inferer, outputs = own.parser.get_parsed_content("inferer"), len(own.segments)

    def ours() -> None:
        with torch.no_grad():
            inferer(few, network)

    calls = {"own": ours, "eager float32": eager(few, usual)}
    calls |= engines(few[0].movedim(-1, 0), usual, arguments.folder)
    calls["eager float32, not cropped"] = eager(some, usual)
    calls["MONAI FlexibleUNet, not cropped"] = flexible_unet(some, outputs)
    taken = {name: s / SLICES for name, s in take_turns(calls, 3, arguments.clock).items()}
    print(f"one slice through the network, cropped to {tuple(few.shape[2:4])}:")
    for name, one in taken.items():
        print(f"  {name:34} {1000 * one:6.1f} ms, {one / taken['own']:.2f} of own")
    used = own.engine.record()
    print(f"  own is {used['name']} in {used['precision']}")
    limits(usual, few[..., 0], some[..., 0], taken, getattr(torch, used["precision"]))


def limits(
    network: torch.nn.Module,
    few: torch.Tensor,
    some: torch.Tensor,
    taken: dict[str, float],
    own: torch.dtype,
) -> None:
    """Print what a slice costs at least and what it took, own in the precision that ran."""
    bandwidth = peak_bandwidth()
    print(f"memory: {bandwidth / 1e9:.1f} GB/s")
    rows = (
        ("own", few, own, own.itemsize),
        ("eager float32", few, torch.float32, 4),
        ("eager float32, not cropped", some, torch.float32, 4),
    )
    for name, image, dtype, size in rows:
        peak, (flops, numbers) = peak_flops(dtype), count_work(network, image)
        floor = flops / peak, numbers * size / bandwidth
        share = max(floor) / taken[name]
        print(
            f"  {name}: {flops / 1e9:.1f} GFLOP at {peak / 1e9:.0f} GFLOP/s ({dtype}) are "
            f"{1000 * floor[0]:.1f} ms, {numbers * size / 1e6:.0f} MB are {1000 * floor[1]:.1f} ms;"
            f" took {1000 * taken[name]:.1f} ms, {100 * share:.0f} % of the limit's speed"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path)
    parser.add_argument("--bundle", default="bundles/lung_nodule_ct_segmentation")
    parser.add_argument("--config_file", default="")
    parser.add_argument("--ckpt_path", type=Path)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="1: processor seconds")
    parser.add_argument("--parts", default="whole,memory,alone")
    parser.add_argument("--engines", default="auto", help=f"of {', '.join(ENGINES)}")
    kinds = (*ENGINES, "plain")
    parser.add_argument("--only", choices=kinds, help="print its peak memory, in MB")
    arguments = parser.parse_args()
    arguments.kinds = tuple(check_engine(name) for name in arguments.engines.split(","))
    arguments.clock = process_time if arguments.threads == 1 else perf_counter
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    arguments.trained = arguments.ckpt_path is not None
    with tempfile.TemporaryDirectory() as name:
        arguments.folder = Path(name)
        if arguments.source is None:
            make_cohort(f"{name}/phantom", patients=1, size=512, slices=133)
            (arguments.source,) = Path(name).glob("phantom/subset*/*.mhd")
        if not arguments.trained:
            untrained(arguments)
        if arguments.only:
            predict_volume(model_of(arguments, arguments.only), arguments.source, study="")
            print(peak_memory_mb())
            return
        for part in arguments.parts.split(","):
            {"whole": whole, "memory": memory, "alone": alone}[part](arguments)


if __name__ == "__main__":
    main()
