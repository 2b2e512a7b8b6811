"""Seconds and memory that other software takes for a whole CT, beside this project's.

    pip install --target PEERS --no-deps segmentation-models-pytorch timm torchvision \
        nnunetv2 dynamic-network-architectures acvl-utils batchgenerators batchgeneratorsv2 \
        TotalSegmentator connected-components-3d blosc2 ndindex msgpack numexpr pandas pytz tzdata \
        joblib seaborn httpx httpcore h11 anyio sniffio "huggingface_hub<1"
    PYTHONPATH=PEERS OMP_NUM_THREADS=1 python tests/benchmarks/bench_peers.py --source CT
        [--kinds torch,openvino,openvino-int8,smp,smp_quick,flexible_unet,nnunet,nnunet_once,...]
        [--slices 140] [--times 1] [--threads 1] [--parts time,memory] [--output peers.json]

The peers are not dependencies of this project. One that lacks a package is left out, by name, and
the exit code is 1. ``torch``, ``openvino`` and ``openvino-int8`` are the lung bundle with a
ResNet34 U-Net and this ``--engine``, ``smp`` and ``flexible_unet`` the U-Nets with a ResNet34 of
segmentation-models-pytorch and MONAI on whole slices (``smp_quick``: channels last, and bfloat16
where the processor computes it), ``nnunet`` is nnU-Net's predictor on its default 2D plan for this
CT (``nnunet_once`` without mirroring), ``totalsegmentator`` TotalSegmentator's way at 3 mm. Each
reads the CT from one .nii.gz and ends with the mask on its grid.

All networks are random and made to find nothing. So the figures are those of time and memory alone:
they say nothing of masks. First each takes ``--warm`` slices, not counted; then all take the CT in
turn, in this process. ``--slices`` cuts the CT to its middle ones. The peak memory of each is that
of a process of its own. ``--output`` adds the rows to a file, so that a long list can be measured
in parts, and prints the table of all its rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch
from bench_prediction import model_of, untrained
from peers import PEERS, Software, geometry, missing

from scripts.prediction.pipeline import predict_volume
from scripts.running.workers import peak_memory_mb

OWN = {
    "torch": "torch",
    "openvino": "OpenVINO",
    "openvino-int8": "OpenVINO in 8 bits where they agree",
}
BUNDLE = "bundles/lung_nodule_ct_segmentation"
HEAD = (
    "| software | through the network | parameters | operations a CT | s a CT | processor s "
    "| against ours | peak memory |\n|---|---|---|---|---|---|---|---|"
)


def own(kind: str, folder: Path) -> Software:
    """Build this project's prediction with one engine."""
    asked = argparse.Namespace(folder=folder, config_file="", bundle=BUNDLE, ckpt_path=None)
    untrained(asked)
    model = model_of(asked, kind)
    return Software(
        f"this project, {OWN[kind]}, precision auto",
        "2D, slices with their neighbours, cropped to the lungs",
        model.networks[0],
        lambda path: predict_volume(model, path, study="").mask,
    )


def cut(source: Path, slices: int, target: Path) -> Path:
    """Write the middle slices of a CT as .nii.gz; all of them for 0."""
    image = sitk.ReadImage(str(source))
    depth = image.GetSize()[2]
    kept = min(slices or depth, depth)
    first = (depth - kept) // 2
    sitk.WriteImage(image[:, :, first : first + kept], str(target))
    return target


def build(kind: str, ct: Path) -> Software:
    """Build the software of a kind for one CT."""
    return own(kind, ct.parent) if kind in OWN else PEERS[kind](ct)


def measure(
    software: dict[str, Software], ct: Path, warm: Path, times: int
) -> dict[str, dict[str, Any]]:
    """Let all take the CT in turn, after a shorter one that is not counted."""
    for one in software.values():
        one.predict(warm)
        one.shapes.clear()
    taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in software}
    for _ in range(times):
        for kind, one in software.items():
            started, worked = time.perf_counter(), time.process_time()
            one.predict(ct)
            worked, seconds = time.process_time() - worked, time.perf_counter() - started
            taken[kind].append((seconds, worked))
    found = {}
    for kind, one in software.items():
        seconds, worked = map(statistics.median, zip(*taken[kind], strict=True))
        found[kind] = {
            "title": one.title,
            "computes": one.computes,
            "parameters": one.parameters(),
            "operations": one.operations() / times,
            "seconds": seconds,
            "processor_seconds": worked,
        }
    return found


def memory(kind: str, arguments: argparse.Namespace) -> float:
    """Predict in a process of its own: the largest memory in MB."""
    kept = ("source", "slices", "threads")
    words = [f"--{key}={getattr(arguments, key)}" for key in kept]
    command = [sys.executable, __file__, *words, f"--only={kind}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows in Markdown; those of fewer slices name their number."""
    most = max(row["slices"] for row in rows)
    lines = [HEAD]
    for row in rows:
        title = row.get("title", row["kind"])
        cells = [
            title if row["slices"] == most else f"{title} ({row['slices']} slices)",
            row.get("computes", ""),
            amount(row, "parameters", 1e-6, ".1f", " M"),
            amount(row, "operations", 1e-12, ".2f", " TFLOP"),
            amount(row, "seconds", 1, ".1f"),
            amount(row, "processor_seconds", 1, ".1f"),
            amount(row, "against_own", 1, ".1f"),
            amount(row, "peak_memory_mb", 1, ".0f", " MB"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def amount(row: dict[str, Any], key: str, scale: float, style: str, unit: str = "") -> str:
    """Return a number of a row with its unit; nothing if it was not measured."""
    return f"{row[key] * scale:{style}}{unit}" if key in row else ""


def merged(path: Path | None, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the rows into a file with those of other kinds or numbers of slices; return all."""
    if path is None:
        return rows
    before = json.loads(path.read_text()) if path.is_file() else []
    known: dict[Any, dict[str, Any]] = {}
    for row in (*before, *rows):
        key = row["kind"], row["slices"]
        known[key] = known.get(key, {}) | row
    path.write_text(json.dumps(list(known.values()), indent=1))
    return list(known.values())


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """Measure what is installed; 1 if something is not."""
    kinds = arguments.kinds.split(",")
    lacking = {kind: missing(kind) for kind in kinds if kind not in OWN and missing(kind)}
    kinds = [kind for kind in kinds if kind not in lacking]
    ct = cut(arguments.source, arguments.slices, folder / "ct.nii.gz")
    slices = geometry(ct)[1][0]
    rows: list[dict[str, Any]] = [{"kind": kind, "slices": slices} for kind in kinds]
    if "time" in arguments.parts:
        warm = cut(ct, arguments.warm, folder / "warm.nii.gz")
        found = measure({kind: build(kind, ct) for kind in kinds}, ct, warm, arguments.times)
        for row in rows:
            row |= found[row["kind"]]
            if "torch" in found:
                row["against_own"] = row["processor_seconds"] / found["torch"]["processor_seconds"]
    if "memory" in arguments.parts:
        for row in rows:
            row["peak_memory_mb"] = memory(row["kind"], arguments)
    print(table(merged(arguments.output, rows)))
    for kind, packages in lacking.items():
        print(f"{kind}: not measured, not installed: {', '.join(packages)}", file=sys.stderr)
    return int(bool(lacking))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--kinds", default=",".join((*OWN, *PEERS)))
    parser.add_argument("--slices", type=int, default=0, help="of the middle; 0 for all")
    parser.add_argument("--warm", type=int, default=4, help="slices of the uncounted run")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", default="time,memory")
    parser.add_argument("--output", type=Path, help="JSON to which the rows are added")
    parser.add_argument("--only", choices=(*OWN, *PEERS), help="print its peak memory, in MB")
    arguments = parser.parse_args()
    unknown = set(arguments.kinds.split(",")) - {*OWN, *PEERS}
    if unknown:
        parser.error(f"kinds: must be of {', '.join((*OWN, *PEERS))}, got {sorted(unknown)}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of the processes for the memory
    with tempfile.TemporaryDirectory() as name:
        if arguments.only:
            ct = cut(arguments.source, arguments.slices, Path(name, "ct.nii.gz"))
            build(arguments.only, ct).predict(ct)
            print(peak_memory_mb())
            return 0
        return run(arguments, Path(name))


if __name__ == "__main__":
    sys.exit(main())
