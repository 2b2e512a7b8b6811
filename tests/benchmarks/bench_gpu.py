"""All figures of a graphics card in one run: prediction, training steps, stages, memory.

    python tests/benchmarks/bench_gpu.py [--device cuda] [--minutes 7] [--output bench_gpu]
        [--parts ct,step,stages,training,compiled] [--quick]

Needs this project with its dependencies, but neither data nor internet: the scans are made up and
the weights random.

- ``ct``: a CT of 512 x 512 x 200 from file to mask by the lung bundle with a ResNet34 U-Net:
  plainly (eager float32, not cropped, slice by slice), and as the bundle does it, in float32, in
  the card's own precision, and with more slices at once.
- ``step``: one step of training: VGG16 and ResNet34 U-Net on 8 crops of 512 x 512, VoxResNet on 2
  patches of 128 x 128 x 64; plainly, in channels last, with autocast, with both, and with the loss
  awaited in each step, as the trainer does before it changes the weights.
- ``stages``: a step in each of the five stages of block superimposed fine-tuning.
- ``training``: the small recipe of ``make demo`` from phantoms to ``model.pt``.
- ``compiled``: prediction and steps with ``torch.compile``; the first time compiles.

Writes ``bench_gpu.json`` and ``bench_gpu.md``, whose table fits into docs/benchmarks.md, after each
part. What fails, or would begin after ``--minutes``, is named, the others go on, and the exit code
is 1. ``--device cpu --quick`` tries the script itself on tiny sizes. Float32 is PyTorch's default:
on cards with TF32 its convolutions compute in that.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scripts.running.workers import peak_memory_mb
from scripts.training.precision import native_dtype

HEAD = (
    "| part | what | how | s | against plain | first time, s | peak memory | further |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Attributes:
        slices, side: of the CT.
        crop, batch: of a training step in 2D.
        patch: of a training step in 3D, two at a time.
        steps: that are timed, after two that are not.
        patients: phantoms of the training.
    """

    slices: int = 200
    side: int = 512
    crop: int = 512
    batch: int = 8
    patch: tuple[int, int, int] = (128, 128, 64)
    steps: int = 10
    patients: int = 8


QUICK = Sizes(slices=6, side=96, crop=64, batch=1, patch=(16, 16, 8), steps=1, patients=4)


@dataclass
class Bench:
    """Runs measurements one after another, and keeps what came of each.

    Attributes:
        device: that is measured.
        sizes: of everything.
        deadline: of ``time.monotonic()``, after which nothing new begins.
        rows: measurements, for the file.
        failures: what was not measured, and why.
    """

    device: torch.device
    sizes: Sizes
    deadline: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def attempt(
        self, part: str, what: str, how: str, measure: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Measure; keep the row, or the reason why there is none."""
        name = f"{part}, {what}, {how}"
        if time.monotonic() > self.deadline:
            self._fail(name, "out of time, see --minutes")
            return
        self._clear()
        try:
            row = {"part": part, "what": what, "how": how, **measure()}
        except Exception as error:  # whatever a driver or a compiler raises: the others go on
            lines = str(error).strip().splitlines() or [""]
            self._fail(name, f"{type(error).__name__}: {lines[0][:300]}")
            return
        row.setdefault("peak_memory_mb", self._peak_mb())
        self.rows.append(row)
        print(f"{name}: {row['seconds']:.4f} s", flush=True)

    def _fail(self, name: str, reason: str) -> None:
        self.failures.append(f"{name}: not measured: {reason}")
        print(self.failures[-1], file=sys.stderr, flush=True)

    def seconds(self, call: Callable[[], Any]) -> float:
        """Return the seconds of a call until the device has finished."""
        self.wait()
        started = time.perf_counter()
        call()
        self.wait()
        return time.perf_counter() - started

    def repeated(self, step: Callable[[], Any]) -> dict[str, float]:
        """Return the median seconds of a step, and those of the first, which may compile."""
        first = self.seconds(step)
        self.seconds(step)
        taken = [self.seconds(step) for _ in range(self.sizes.steps)]
        return {"seconds": statistics.median(taken), "first_seconds": first}

    def wait(self) -> None:
        """Wait until the device has finished."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _clear(self) -> None:
        """Free what the measurement before has left, and count the memory from here."""
        gc.collect()
        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def _peak_mb(self) -> float:
        """Return the largest memory in MB: of the card, or on a CPU of the process so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e6
        return peak_memory_mb()


def machine(device: torch.device) -> dict[str, Any]:
    """Describe what is measured."""
    facts: dict[str, Any] = {
        "device": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision auto": str(native_dtype(device.type)).removeprefix("torch."),
    }
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        facts |= {
            "device": card.name,
            "memory": f"{card.total_memory / 1e9:.0f} GB",
            "compute capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return facts


def table(rows: list[dict[str, Any]], failures: list[str], facts: Mapping[str, Any]) -> str:
    """Return everything in Markdown; what failed stands below the table."""
    plain = {(row["part"], row["what"]): row["seconds"] for row in reversed(rows)}
    lines = [", ".join(f"{name} {value}" for name, value in facts.items()), "", HEAD]
    known = ("part", "what", "how", "seconds", "first_seconds", "peak_memory_mb")
    for row in rows:
        cells = [row["part"], row["what"], row["how"], f"{row['seconds']:.4g}"]
        cells.append(f"{row['seconds'] / plain[row['part'], row['what']]:.2f}")
        cells.append(f"{row['first_seconds']:.3g}" if "first_seconds" in row else "")
        cells.append(f"{row['peak_memory_mb']:.0f} MB" if "peak_memory_mb" in row else "")
        further = {name: value for name, value in row.items() if name not in known}
        cells.append(", ".join(f"{name} {value:.3g}" for name, value in further.items()))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *failures, ""])


def write(bench: Bench, output: Path) -> None:
    """Write what is known so far."""
    facts = machine(bench.device)
    content = {"machine": facts, "rows": bench.rows, "failures": bench.failures}
    output.with_suffix(".json").write_text(json.dumps(content, indent=1))
    output.with_suffix(".md").write_text(table(bench.rows, bench.failures, facts))


def main(words: list[str] | None = None) -> int:
    """Measure and write; 1 if anything was not measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 ... or cpu")
    parser.add_argument("--parts", default="ct,step,stages,training,compiled")
    parser.add_argument("--minutes", type=float, default=7, help="after which nothing new begins")
    parser.add_argument("--output", type=Path, default=Path("bench_gpu"), help="without ending")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to try the script")
    arguments = parser.parse_args(words)
    from gpu_parts import PARTS

    if unknown := set(arguments.parts.split(",")) - set(PARTS):
        parser.error(f"parts: must be of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("device: no GPU is available; --device cpu --quick tries the script")
    bench = Bench(
        device,
        QUICK if arguments.quick else Sizes(),
        time.monotonic() + 60 * arguments.minutes,
    )
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        for part in arguments.parts.split(","):
            try:
                PARTS[part](bench, Path(folder))
            except Exception as error:  # in what a part prepares: the other parts go on
                bench._fail(part, f"{type(error).__name__}: {error}")
            write(bench, arguments.output)
    print(f"{len(bench.rows)} measurements in {arguments.output}.json and .md")
    return int(bool(bench.failures))


if __name__ == "__main__":
    sys.exit(main())
