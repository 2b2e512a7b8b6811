"""How do time and memory grow? Prediction, a training epoch, preparation: straight lines.

    python tests/benchmarks/bench_growth.py [--output growth] [--size 192] [--threads 2]

Predicts made-up chest CTs of more and more slices, trains an epoch over more and more prepared
samples and prepares more and more scans, each point in a process of its own. Prints, for seconds
and for the largest memory of the process, slope, constant and R^2 of the straight line of least
squares, and draws growth.png into the output folder. Two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from made_up_scans import HEADER, chest, write

POINTS = {
    "prediction": ("slices", (40, 80, 120, 160)),
    "training": ("samples", (32, 64, 96, 128)),
    "preparation": ("scans", (4, 8, 12, 16)),
}
SLICES = 24  # of a scan that is prepared


def predict(folder: Path, count: int, size: int) -> float:
    """Seconds of predicting one CT of so many slices."""
    from bench_prediction import model_of, untrained

    from scripts.prediction.pipeline import predict_volume

    write(folder / "ct.mhd", chest(count, size)[0], compress=False)
    arguments = argparse.Namespace(
        bundle="bundles/lung_nodule_ct_segmentation",
        folder=folder,
    )
    untrained(arguments)
    model = model_of(arguments, "own")
    write(folder / "warm.mhd", chest(16, size)[0], compress=False)
    predict_volume(model, folder / "warm.mhd", study="")
    started = time.perf_counter()
    predict_volume(model, folder / "ct.mhd", study="")
    return time.perf_counter() - started


def write_scans(folder: Path, count: int, size: int) -> None:
    """Write small scans with a nodule and lungs each."""
    hu, labels = chest(SLICES, size)
    rows = []
    for number in range(count):
        write(folder / "subset0" / f"1.{number}.mhd", hu, compress=False)
        write(folder / "seg-lungs-LUNA16" / f"1.{number}.mhd", labels, compress=True)
        x, y = 0.7 * 0.7 * size, 0.7 * 0.5 * size
        rows.append(f"1.{number},{x},{y},{1.5 * (SLICES // 2)},9.0\n")
    (folder / "annotations.csv").write_text(HEADER + "".join(rows))


def prepare(folder: Path, count: int, size: int) -> float:
    """Seconds of preparing so many scans, in this process."""
    from scripts.datasets.luna16.luna16_dataset import Luna16
    from scripts.preparation.cohort import Request, prepare_cohort
    from scripts.preparation.prepare_options import SliceOptions

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    write_scans(folder / "luna", count, size)
    started = time.perf_counter()
    request = Request(Luna16(), folder / "luna", folder / "out", SliceOptions("all"))
    prepare_cohort(request)
    return time.perf_counter() - started


def train(folder: Path, count: int, size: int) -> float:
    """Seconds of an epoch over so many prepared samples, batch 8."""
    from bench_loading import BATCH, slice_transforms
    from bench_training import RATE, make
    from monai.data import DataLoader, Dataset
    from monai.losses import DiceCELoss

    from scripts.datasets.datalist import load_datalist

    prepare(folder, 4, size)
    samples = load_datalist(folder / "out" / "datalist.json", "training")
    several = (samples * (1 + count // len(samples)))[:count]
    loader = DataLoader(Dataset(several, slice_transforms(96)), batch_size=BATCH, shuffle=True)
    network, inferer = make(quick=True)
    optimizer, loss = torch.optim.Adam(network.parameters(), RATE), DiceCELoss(sigmoid=True)
    seconds = 0.0
    for epoch in range(2):  # the first warms up
        started = time.perf_counter()
        for number, batch in enumerate(loader):
            if epoch == 0 and number == 2:
                break
            optimizer.zero_grad(set_to_none=True)
            loss(inferer(batch["image"], network), batch["label"] > 0).backward()
            optimizer.step()
        seconds = time.perf_counter() - started
    return seconds


def point(kind: str, count: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Seconds and largest memory (MB) of one point, measured in a process of its own."""
    command = [sys.executable, __file__, f"--size={arguments.size}", f"--point={kind},{count}"]
    command.append(f"--threads={arguments.threads}")
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def fit(counts: tuple[int, ...], values: list[float]) -> tuple[float, float, float]:
    """Slope, constant and R^2 of the line of least squares."""
    slope, constant = np.polyfit(counts, values, 1)
    rest = np.array(values) - (slope * np.array(counts) + constant)
    spread = float(np.var(values))
    return float(slope), float(constant), 1 - float(np.var(rest)) / spread if spread else 1.0


def draw(found: dict[str, list[tuple[float, float]]], path: Path) -> None:
    """Draw points and lines, seconds above memory."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(found), figsize=(4 * len(found), 6), squeeze=False)
    for column, (kind, points) in enumerate(found.items()):
        name, counts = POINTS[kind]
        for row, unit in enumerate(("seconds", "largest memory, MB")):
            values = [one[row] for one in points]
            slope, constant, _ = fit(counts, values)
            axes[row][column].plot(counts, values, "o")
            axes[row][column].plot(counts, [slope * count + constant for count in counts])
            axes[row][column].set(xlabel=name, ylabel=unit, title=kind)
            axes[row][column].set_ylim(0, 1.1 * max(values))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path("growth"))
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--point", help="measure this one alone, as prediction,40")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    if arguments.point:
        kind, count = arguments.point.split(",")
        measure = {"prediction": predict, "training": train, "preparation": prepare}[kind]
        with tempfile.TemporaryDirectory() as name:
            seconds = measure(Path(name), int(count), arguments.size)
        from scripts.running.workers import peak_memory_mb

        print(json.dumps([seconds, peak_memory_mb()]))
        return
    found = {}
    for kind, (name, counts) in POINTS.items():
        found[kind] = [point(kind, count, arguments) for count in counts]
        for row, unit in enumerate(("s", "MB")):
            values = [one[row] for one in found[kind]]
            slope, constant, r2 = fit(counts, values)
            told = ", ".join(f"{value:.4g}" for value in values)
            print(
                f"{kind}: {name} {', '.join(map(str, counts))}: {told} {unit}; "
                f"{slope:.3g} {unit} each and {constant:.3g}, R^2 {r2:.3f}",
                flush=True,
            )
    draw(found, arguments.output / "growth.png")
    print(arguments.output / "growth.png")


if __name__ == "__main__":
    main()
