"""What of ``predict`` is not the network: its start, reading and writing.

    python tests/benchmarks/bench_reading.py [--source FOLDER] [--bundle bundles/...]
        [--ckpt_path model.pt] [--options "--threshold 0.9"] [--parts start,reading,whole]

``start``: processor seconds (user and system) of ``--help``, and of a prediction until it begins
to read: it is given a source that does not exist. ``reading``: one series of DICOM files, headers
and pixels, one after another and by two threads, in seconds of wall clock and processor. ``whole``:
the command on all CTs of the source, one after another in one process each way: overlapped as
``predict`` does it, and not; then the parts that the manifests state.

Without ``--source`` two chests of 512 x 512 x 133 are drawn and written as DICOM; without
``--ckpt_path`` the network is random and made to find nothing. Figures of the processor hold on a
busy machine too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_prediction import untrained

from scripts.phantom.chest.luna16 import make_cohort
from scripts.phantom.dicom_images import SliceGeometry, slice_files
from scripts.prediction.predict_options import Options
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.inventory import DICOM_SERIES
from scripts.prediction.sources.study_reading import read_study
from scripts.prediction.study_task import Task
from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.pixels import stored_values
from scripts.volumes.dicom.slice import SliceFile, read_slice
from scripts.volumes.volume_files import read_volume_file

TIMES = 3
SUBREAPER = 36  # prctl(2): orphaned processes become children of this one
ONE_AFTER_ANOTHER = (
    "import sys\n"
    "from scripts.__main__ import run\n"
    "from scripts.prediction import batch, one_series\n"
    "batch.predict_overlapped = lambda tasks: map(one_series.predict_study, tasks)\n"
    "run()\n"
)


def measured(words: list[str]) -> tuple[float, float]:
    """Run a command; return seconds of wall clock, and of processors with its child processes."""
    before, begun = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *words], check=False, capture_output=True)
    wall = time.perf_counter() - begun
    with suppress(ChildProcessError):  # those that read and wrote
        while True:
            os.wait()
    after = os.times()
    used = (after.children_user, after.children_system, before.children_user)
    return wall, used[0] + used[1] - used[2] - before.children_system


def told(name: str, runs: list[tuple[float, float]]) -> None:
    """Print medians."""
    wall, processor = (statistics.median(each) for each in zip(*runs, strict=True))
    print(f"  {name:34} {wall:6.2f} s, of the processor {processor:6.2f} s", flush=True)


def start(arguments: argparse.Namespace) -> None:
    """Time commands that end before they read."""
    nothing = ["--source", str(arguments.folder / "none"), "--output", str(arguments.folder / "no")]
    commands = {
        "import torch": ["-c", "import torch"],
        "--help": ["-m", "scripts", "--help"],
        "predict, ready to read": ["-m", "scripts", *arguments.predict, *nothing],
    }
    print("start:")
    for name, words in commands.items():
        measured(words)
        told(name, [measured(words) for _ in range(TIMES)])


def reading(arguments: argparse.Namespace) -> None:
    """Time what is done with each file of the first series."""
    inventory = find_sources(arguments.source)
    source = next(each for each in inventory.sources if each.kind == DICOM_SERIES)
    task = Task(source, arguments.folder, Options(Path(arguments.bundle)))
    places = [file.location for file in source.files]
    with ArchiveReader() as reader, ThreadPoolExecutor(2) as threads:

        def header(place: Location) -> SliceFile:
            return read_slice(reader, place)  # type: ignore[return-value]

        def pixels(each: SliceFile) -> Any:
            return stored_values(each, reader)

        slices = list(map(header, places))
        syntax = slices[0].header.file_meta.TransferSyntaxUID.name
        print(f"reading {len(slices)} files, {syntax}:")
        calls: dict[str, Callable[[], Any]] = {
            "headers": lambda: list(map(header, places)),
            "headers, two threads": lambda: list(threads.map(header, places)),
            "pixels": lambda: list(map(pixels, slices)),
            "pixels, two threads": lambda: list(threads.map(pixels, slices)),
            "the study: hash, pixels, HU": lambda: read_study(task, [{}]),
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for _ in range(TIMES):
            for name, call in calls.items():
                begun, worked = time.perf_counter(), time.process_time()
                call()
                spent = (time.perf_counter() - begun, time.process_time() - worked)
                runs[name].append(spent)
    for name, each in runs.items():
        told(name, each)


def whole(arguments: argparse.Namespace) -> None:
    """Time the command with and without overlap, in turn."""
    output = arguments.folder / "out"
    given = [*arguments.predict, "--source", str(arguments.source)]
    ways = {"overlapped": ["-m", "scripts"], "one after another": ["-c", ONE_AFTER_ANOTHER]}
    print("whole:")
    for name, words in ways.items():
        told(name, [measured([*words, *given, "--output", f"{output}-{name[:3]}"])])
    for manifest in sorted(arguments.folder.glob("out-ove/*/manifest.json")):
        print("  ", json.loads(manifest.read_text())["parts"])


def drawn(folder: Path) -> Iterator[Path]:
    """Write two chests as DICOM series."""
    make_cohort(str(folder / "phantom"), patients=2, size=512, slices=133)
    for path in sorted(folder.glob("phantom/subset*/*.mhd")):
        volume = read_volume_file(path)
        x, y, z = volume.affine_lps[:3, 3]
        geometry = SliceGeometry((x, y, z), volume.spacing_mm)
        for name, content in slice_files(volume.hu, path.stem, "ct", geometry, intercept=-1024):
            target = folder / "dicom" / path.stem / f"{name}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            yield target


def main() -> None:
    """Measure and print."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)  # what a command starts counts with it
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path)
    parser.add_argument("--bundle", default="bundles/lung_nodule_ct_segmentation")
    parser.add_argument("--ckpt_path", type=Path)
    parser.add_argument("--options", default="", help="further options of predict")
    parser.add_argument("--parts", default="start,reading,whole")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        arguments.folder = Path(name)
        if arguments.source is None:
            files = list(drawn(arguments.folder))
            arguments.source = files[0].parents[1]
        if arguments.ckpt_path is None:
            untrained(arguments)
        arguments.predict = ["predict", "--bundle", arguments.bundle, "--device", "cpu"]
        arguments.predict += ["--ckpt_path", str(arguments.ckpt_path), *arguments.options.split()]
        for part in arguments.parts.split(","):
            {"start": start, "reading": reading, "whole": whole}[part](arguments)


if __name__ == "__main__":
    main()
