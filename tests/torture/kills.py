"""Commands killed by SIGKILL at random moments: repeated, they give what an unbroken run gives.

By chance all processes of a command are killed (as when a computer is switched off) or only the
first one (as when the system runs out of memory), whose workers then see that it is gone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import torch

ROOT = Path(__file__).resolve().parents[2]
LUNG = "bundles/lung_nodule_ct_segmentation"
LEFTOVERS = (".part-", ".old-", ".lock")
RECORDS = ("_config.json", "_record.json")  # hold the command as it was given
# what differs between two equal runs: times, paths, hashes of files that hold them
VARYING = ("time", "seconds", "command", "rerun", "started", "peak", "created", "git", "request")
VARYING += ("output", "key", "needs", "folder", "config", "events", "versions", "model", "sha256")
# of what was finished before the kill; the stamp of a scan's files is made of their paths and times
VARYING += ("status", "kept", "predicted", "already", "stamp")
TINY = {
    "decoder_channels": [16, 8, 8, 8, 8],
    "patch_size": [32, 32],
    "batch_size": 6,
    "stage_epochs": 2,
    "val_interval": 1,
    "checkpoint_interval": 1,
    "num_workers": 1,
}


@dataclass(frozen=True)
class Command:
    """A command that can be killed and repeated.

    Attributes:
        name: in messages.
        words: of ``python``, for a folder or file of results.
        resumed: further words when it is repeated after a kill.
        made: name of the result in the folder of the try.
    """

    name: str
    words: Callable[[Path], list[str]]
    resumed: Sequence[str] = ()
    made: str = "out"


class Workplace:
    """Phantoms, prepared data and a trained network in a temporary folder, made on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def phantoms(self) -> Path:
        """Chest phantoms in LUNA16's layout."""
        out = self.folder / "phantoms"
        words = ["scripts", "phantom", "luna16", "--output", str(out), "--patients", "4"]
        words += ["--size", "64", "--slices", "24"]
        must([*words, "--nodule_min_mm", "12", "--nodule_max_mm", "28"])
        return out

    @cached_property
    def prepared(self) -> Path:
        """The phantoms, prepared."""
        out = self.folder / "prepared"
        must(self.prepare(out))
        return out

    @cached_property
    def model(self) -> Path:
        """A network trained for a few steps."""
        out = self.folder / "trained"
        must(self.train(out))
        return out / "model.pt"

    @cached_property
    def scan(self) -> Path:
        """The first phantom's scan."""
        return sorted(self.phantoms.glob("subset*/*.mhd"))[0]

    def settings(self) -> str:
        """A file of settings of a small network."""
        file = self.folder / "tiny.json"
        file.write_text(json.dumps(TINY))
        return str(file)

    def prepare(self, out: Path) -> list[str]:
        """Words of a preparation."""
        words = ["scripts", "prepare", "luna16", "--source", str(self.phantoms), "--output"]
        return [*words, str(out), "--shares", "2:1:1", "--jobs", "2"]

    def train(self, out: Path) -> list[str]:
        """Words of a training in stages."""
        files = [f"{LUNG}/configs/train.json", "configs/strategies/bottom_up.json", self.settings()]
        words = ["monai.bundle", "run", "training", "--config_file", str(files)]
        words += ["--dataset_dir", str(self.prepared), "--output_dir", str(out)]
        return [*words, "--encoder", "resnet34", "--encoder_weights", "none"]

    def predict(self, out: Path) -> list[str]:
        """Words of a prediction of all scans."""
        words = ["scripts", "predict", "--bundle", LUNG, "--ckpt_path", str(self.model)]
        words += ["--source", str(self.scan.parent), "--output", str(out)]
        return [*words, "--device", "cpu", "--engine", "torch", "--products", "mask,statistics"]

    def package(self, out: Path) -> list[str]:
        """Words of a packaging."""
        words = ["scripts", "package", "--bundle", LUNG, "--ckpt_path", str(self.model)]
        return [*words, "--output", str(out)]

    def study(self, out: Path) -> list[str]:
        """Words of a study of two trainings."""
        file = self.folder / "duel.json"
        study = {
            "title": "Duel",
            "question": "Which?",
            "bundle": "lung_nodule_ct_segmentation",
            "figures": {"Dice": "dice_per_nodule_mean"},
            "common": {"label": "masks", "weights": "none", "encoder": "resnet34"},
            "methods": [
                {"name": name, "network": "unet", "strategy": name} for name in ("full", "shallow")
            ],
            "seeds": [0],
            "epochs": {"total": 2},
            "settings": {k: v for k, v in TINY.items() if k != "stage_epochs"},
            "data": {"prepare": {"shares": "2:1:1"}, "phantoms": {"patients": 4, "size": 64}},
        }
        file.write_text(json.dumps(study))
        words = ["scripts", "study", "--config", str(file), "--output", str(out / "report")]
        return [*words, "--data", "phantoms", "--work", str(out / "work")]


COMMANDS = ("prepare", "predict", "package", "study", "training")


def killed_commands(
    place: Workplace, chance: random.Random, *, kills: int, names: Sequence[str] = COMMANDS
) -> list[str]:
    """Kill commands at random moments; return what differs from an unbroken run."""
    commands = [
        Command("prepare", place.prepare),
        Command("predict", place.predict),
        Command("package", place.package, made="lung.zip"),
        Command("study", place.study),
        Command("training", place.train, ("--resume", "true")),
    ]
    failures = []
    for command in commands:
        if command.name not in names:
            continue
        place.folder.joinpath(command.name).mkdir()
        failures += _killed(command, place.folder / command.name, chance, kills)
    return failures


def _killed(command: Command, folder: Path, chance: random.Random, kills: int) -> list[str]:
    started = time.perf_counter()
    must(command.words(folder / "unbroken" / command.made))
    whole = time.perf_counter() - started
    result = folder / "killed" / command.made
    moments = [chance.uniform(0.1, 0.95) * whole for _ in range(kills)]
    alone = [chance.random() < 0.5 for _ in moments]
    codes = []
    for number, moment in enumerate(moments):
        words = command.words(result) + (list(command.resumed) if number else [])
        process = start(words)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            (os.kill if alone[number] else os.killpg)(process.pid, signal.SIGKILL)
            process.wait()
        codes.append(process.returncode)
    last = start([*command.words(result), *command.resumed])
    printed = last.communicate()[0]
    times = [f"{m:.1f} s{' alone' * one}" for m, one in zip(moments, alone, strict=True)]
    said = f"{command.name}, killed after {', '.join(times)}"
    if last.returncode:
        return [f"{said}: exit code {last.returncode}: {printed.strip().splitlines()[-1:]}"]
    found = [f"{said}: {text}" for text in differences(folder / "unbroken", folder / "killed")]
    if any(code > 0 for code in codes):
        found.append(f"{said}: exit codes before the last run {codes}")
    shutil.rmtree(folder)
    print("\n".join([f"  {said}: {len(found)} differences", *found]), flush=True)
    return found


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    """Start ``python -m WORDS`` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def must(words: Sequence[str]) -> str:
    """Run ``python -m WORDS``, which must succeed; return what it printed.

    Raises:
        RuntimeError: when it fails.
    """
    process = start(words)
    printed = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)}: {printed[-3000:]}")
    return printed


def differences(unbroken: Path, killed: Path) -> list[str]:
    """List files that only one run has, leftovers, and files with other content."""
    first, second = contents(unbroken), contents(killed)
    found = [f"only in one run: {name}" for name in sorted(first.keys() ^ second.keys())]
    found += [f"differs: {name}" for name in sorted(first) if first[name] != second.get(name)]
    left = [path.name for path in killed.rglob(".*") if path.name.startswith(LEFTOVERS)]
    return found + [f"left: {name}" for name in left if name != ".lock"]


def contents(folder: Path, without: Sequence[str] = VARYING) -> dict[str, str]:
    """Map every file that a run determines to a digest of its content.

    Args:
        folder: of one run; paths in it may differ between runs.
        without: parts of names of entries that are left out.
    """
    digests = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or any(part in name for part in ("tensorboard", "checkpoints")):
            continue
        if path.name.startswith(LEFTOVERS) or path.suffix in (".log", ".html", ".png", ".md"):
            continue
        if path.name in ("log.txt", "failed.json") or path.name.endswith(RECORDS):
            continue
        digests[name] = hashlib.sha256(_content(path, folder, without)).hexdigest()
    return digests


def _content(path: Path, folder: Path, without: Sequence[str]) -> bytes:
    if path.name.endswith(".nii.gz"):
        image = nibabel.load(path)
        return np.asarray(image.dataobj).tobytes() + image.affine.tobytes()
    if path.suffix == ".dcm":
        return bytes(pydicom.dcmread(path).PixelData)
    if path.suffix == ".pt":
        return _tensors(torch.load(path, weights_only=True, map_location="cpu"))
    if path.suffix not in (".json", ".csv"):
        return path.read_bytes()
    text = path.read_text().replace(str(folder.resolve()), "FOLDER")
    if path.suffix == ".json":
        return json.dumps(_constant(json.loads(text), without), sort_keys=True).encode()
    rows = list(csv.DictReader(io.StringIO(text)))
    return json.dumps(_constant(rows, without), sort_keys=True).encode()


def _constant(value: Any, without: Sequence[str]) -> Any:
    """Leave out entries that differ between two equal runs."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not any(word in k for word in without)}
        return {key: _constant(item, without) for key, item in kept.items()}
    return [_constant(item, without) for item in value] if isinstance(value, list) else value


def _tensors(value: Any) -> bytes:
    if isinstance(value, torch.Tensor):
        return value.cpu().contiguous().view(-1).numpy().tobytes()
    if isinstance(value, dict):
        return b"".join(str(key).encode() + _tensors(item) for key, item in value.items())
    return b""
