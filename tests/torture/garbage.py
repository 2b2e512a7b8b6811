"""Damaged inputs of every kind: each gives the right result, or one clear line.

Every input is a good one with random damage. A forked process reads it, so that a crash, its
memory and its time are seen. A prediction is right if its mask has the volume and the centre that
the undamaged file has, or that pydicom, nibabel or SimpleITK read from the damaged one.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
import torch

from scripts.__main__ import main
from scripts.prediction.predict_options import Options
from tests.analytic.dicom_files import Encoding, write_series
from tests.analytic.independent import series_by_pydicom
from tests.analytic.metaimage_files import write_metaimage, write_nrrd
from tests.analytic.nifti_files import write_nifti
from tests.analytic.phantom import CENTROID, THRESHOLD_HU, Array, grid_of
from tests.analytic.routes import volume_and_centre
from tests.analytic.threshold_bundles import threshold_options
from tests.scripts.datasets.luna16.cohort import TinyCohort
from tests.scripts.datasets.luna16.test_outlines import nodule, roi, square, write_xml
from tests.scripts.prediction.studies import LUNG, ROOT

SECONDS, MEGABYTES = 60, 2000
GRID = grid_of()
RLE = "1.2.840.10008.1.2.5"
REASONS = ("failed:", "refused:", "error:", "not used:")
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
ODD = (b"nan", b"inf", b"-1", b"0", b"1e99", b"999999999999", b"0.5", b"", b"=1+1", b"\xff\xfe")
Measure = tuple[float, Array]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: in messages.
        build: writes a good input into a folder and returns the file to damage.
        words: of the command that reads the folder ``in`` and writes ``out``.
        measure: volume and centre of the threshold's mask by another reader; None if not predicted.
    """

    name: str
    build: Callable[[Path], Path]
    words: Callable[[Path], list[str]]
    measure: Callable[[Path], Measure] | None = None


def damaged_inputs(folder: Path, chance: random.Random, *, count: int) -> list[str]:
    """Read damaged inputs; return those with a wrong result, an unclear message or a crash."""
    torch.set_num_threads(1)
    os.chdir(ROOT)
    kinds = list(_kinds(folder / "model"))
    good = {kind.name: _good(kind, folder / "good" / kind.name) for kind in kinds}
    outcomes: Counter[str] = Counter()
    failures = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        place = folder / "damaged"
        shutil.copytree(folder / "good" / kind.name, place)
        target = place / good[kind.name].relative_to(folder / "good" / kind.name)
        what = damage(target, chance)
        outcome, failure = _try(kind, place)
        outcomes[outcome] += 1
        if failure:
            failures.append(f"{kind.name}, input {number}, {what}: {failure}")
            print(f"  {failures[-1][:300]}", flush=True)
        shutil.rmtree(place)
    print(f"  {count} damaged inputs: {dict(outcomes)}")
    return failures


def _good(kind: Kind, folder: Path) -> Path:
    """Write a good input, which must be read rightly."""
    folder.mkdir(parents=True)
    target = kind.build(folder)
    outcome, failure = _try(kind, folder)
    if outcome != "right":
        said = (folder / "log.txt").read_text().splitlines()[-1:]
        raise RuntimeError(f"{kind.name}: the undamaged input gives {outcome} {failure} {said}")
    shutil.rmtree(folder / "out", ignore_errors=True)
    return target


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file at random; return a description."""
    content = bytearray(path.read_bytes())
    is_text = path.suffix in (".mhd", ".csv", ".xml", ".json")
    ways = [_flip, _cut, _delete, _insert, _zero, _repeat]
    if is_text or path.suffix == ".nrrd":
        ways += [_number, _number, _number, _line, _line]
    way = chance.choice(ways)
    size = len(content)
    # headers are small and matter most
    place = chance.randrange(min(size, 600) if chance.random() < 0.6 else size) if size else 0
    what = way(content, place, chance)
    path.write_bytes(content)
    return f"{path.name}: {way.__name__[1:]} at {place} {what}"


def _flip(content: bytearray, place: int, chance: random.Random) -> str:
    content[place] ^= 1 << chance.randrange(8)
    return ""


def _cut(content: bytearray, place: int, chance: random.Random) -> str:
    del content[place:]
    return ""


def _delete(content: bytearray, place: int, chance: random.Random) -> str:
    count = chance.choice((1, 4, 100, 2000))
    del content[place : place + count]
    return str(count)


def _insert(content: bytearray, place: int, chance: random.Random) -> str:
    count = chance.choice((1, 4, 512, 3000))
    content[place:place] = chance.randbytes(count)
    return str(count)


def _zero(content: bytearray, place: int, chance: random.Random) -> str:
    count = min(chance.choice((4, 64, 1000)), len(content) - place)
    content[place : place + count] = bytes(count)
    return str(count)


def _repeat(content: bytearray, place: int, chance: random.Random) -> str:
    count = chance.choice((8, 200))
    content[place:place] = content[place : place + count]
    return str(count)


def _number(content: bytearray, place: int, chance: random.Random) -> str:
    numbers = [match for match in NUMBER.finditer(content) if match.start() < 20000]
    if not numbers:
        return "none"
    chosen, odd = chance.choice(numbers), chance.choice(ODD)
    was = chosen[0]
    content[chosen.start() : chosen.end()] = odd
    return f"{was!r} -> {odd!r}"


def _line(content: bytearray, place: int, chance: random.Random) -> str:
    lines = content.split(b"\n")
    chosen = chance.randrange(min(len(lines), 60))
    line = lines.pop(chosen)
    if chance.random() < 0.5:
        lines.insert(chance.randrange(min(len(lines), 60) + 1), line)
    content[:] = b"\n".join(lines)
    return repr(bytes(line[:40]))


def _try(kind: Kind, place: Path) -> tuple[str, str]:
    """Read an input in a forked process; return the outcome, and what is wrong with it."""
    code, seconds, megabytes, lines = _forked(kind.words(place), place / "log.txt")
    last = lines[-1] if lines else ""
    if code < 0:
        return "crashed", f"ended by signal {-code} after {seconds:.0f} s"
    if megabytes > MEGABYTES:
        return "too large", f"{megabytes:.0f} MB"
    if any("Traceback (most recent call last)" in line for line in lines):
        return "traceback", last[:200]
    if code:
        reasons = [line for line in lines if line.lstrip().startswith(REASONS)] or [last]
        clear = all(10 <= len(line) <= 1500 and ":" in line for line in reasons)
        return ("refused", "") if clear else ("unclear", repr(reasons[-1][:200]))
    if kind.measure is None:
        return "right", ""
    return _judged(kind, place)


def _judged(kind: Kind, place: Path) -> tuple[str, str]:
    masks = sorted((place / "out").glob("*/mask.nii.gz"))
    if len(masks) != 1:
        return "wrong", f"{len(masks)} masks"
    ours = volume_and_centre(masks[0])
    if _equal(ours, (_volume_ml(), CENTROID), 0.05, 2.0):
        return "right", ""
    try:
        theirs = kind.measure(place / "in") if kind.measure else ours
    except Exception as error:  # another reader's own errors
        return "wrong", f"{ours[0]:.2f} ml at {ours[1].round(1)}, another reader: {error!r}"[:200]
    if _equal(ours, theirs, 0.01, 0.5):
        return "changed", ""
    return "wrong", f"{ours[0]:.2f} ml at {ours[1].round(1)}, not {theirs[0]:.2f} at {theirs[1]}"


def _volume_ml() -> float:
    return float(GRID.nodule().sum() * GRID.voxel_ml)


def _equal(first: Measure, second: Measure, share: float, mm: float) -> bool:
    near = np.abs(first[1] - second[1]).max() <= mm
    return bool(abs(first[0] - second[0]) <= share * max(second[0], 1e-9) and near)


def _forked(words: list[str], log: Path) -> tuple[int, float, float, list[str]]:
    """Run the command line in a forked process: exit code or -signal, seconds, MB, lines."""
    started = time.perf_counter()
    child = os.fork()
    if not child:
        _run_and_exit(words, log)
    while True:
        process, status, usage = os.wait4(child, os.WNOHANG)
        seconds = time.perf_counter() - started
        if process:
            break
        if seconds > SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss / 1024, lines


def _run_and_exit(words: list[str], log: Path) -> None:
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        try:
            main(words)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _kinds(folder: Path) -> Iterator[Kind]:
    options = threshold_options(LUNG, folder)

    def predicts(place: Path) -> list[str]:
        words = ["predict", "--bundle", str(options.bundle), "--source", str(place / "in")]
        words += ["--output", str(place / "out"), "--config_file", ",".join(options.config_files)]
        words += ["--ckpt_path", ",".join(map(str, options.checkpoints)), "--device", "cpu"]
        return [*words, "--products", "mask"]

    def volume(name: str, write: Callable[[Path], object], damaged: str = "") -> Kind:
        def build(place: Path) -> Path:
            (place / "in").mkdir()
            write(place / "in" / name)
            return place / "in" / (damaged or name)

        return Kind(f"{name} {damaged}".strip(), build, predicts, lambda at: _of_volume(at / name))

    yield volume("a.mhd", lambda path: write_metaimage(path, GRID))
    yield volume("a.mhd", lambda path: write_metaimage(path, GRID), "a.raw")
    yield volume("a.mha", lambda path: write_metaimage(path, GRID, compressed=True))
    yield volume("a.nrrd", lambda path: write_nrrd(path, GRID))
    yield volume("b.nrrd", lambda path: write_nrrd(path, GRID, encoding="gzip"))
    yield volume("a.nii", lambda path: write_nifti(path, GRID))
    yield volume("a.nii.gz", lambda path: write_nifti(path, GRID))
    for name, encoding in {"plain": Encoding(), "RLE": Encoding(syntax=RLE)}.items():
        yield Kind(f"DICOM {name}", _slices(encoding), predicts, lambda at: _of_slices(at))
    yield Kind("zip of DICOM", _zipped, predicts, lambda at: _of_zip(at))
    yield Kind("model", lambda place: _beside(place, options, "model.pt"), _with_own_model(options))
    yield Kind("config", lambda place: _beside(place, options, "o.json"), _with_own_model(options))
    for part in ("annotations.csv", "subset0/1.0.mhd", "subset0/1.0.raw", "reading.xml"):
        yield Kind(f"luna16 {part}", _cohort(part), _prepares(part))


def _of_volume(path: Path) -> Measure:
    if ".nii" in path.name:
        image = nibabel.load(path)
        hu = np.asarray(image.get_fdata()).transpose(2, 1, 0)
        affine = np.diag([-1, -1, 1, 1]) @ image.affine
    else:
        image = sitk.ReadImage(str(path))
        hu = sitk.GetArrayFromImage(image)
        affine = np.eye(4)
        spacing = np.array(image.GetSpacing())
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * spacing
        affine[:3, 3] = image.GetOrigin()
    mask = hu > THRESHOLD_HU
    middle = affine[:3, :3] @ np.argwhere(mask).mean(axis=0)[::-1] + affine[:3, 3]
    return float(mask.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000), middle


def _of_slices(folder: Path) -> Measure:
    hu, places = series_by_pydicom(sorted(folder.rglob("*.dcm")))
    mask = hu > THRESHOLD_HU
    return float(mask.sum() * GRID.voxel_ml), places[mask].mean(axis=0)


def _of_zip(folder: Path) -> Measure:
    with zipfile.ZipFile(folder / "a.zip") as archive:
        archive.extractall(folder.parent / "unzipped")
    return _of_slices(folder.parent / "unzipped")


def _slices(encoding: Encoding) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        return write_series(place / "in", GRID, encoding)[GRID.shape[0] // 2 - 1]

    return build


def _zipped(place: Path) -> Path:
    files = write_series(place / "slices", GRID)
    (place / "in").mkdir()
    with zipfile.ZipFile(place / "in" / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    shutil.rmtree(place / "slices")
    return place / "in" / "a.zip"


def _beside(place: Path, options: Options, damaged: str) -> Path:
    """Write a scan, and the model and overlay of its own."""
    (place / "in").mkdir()
    write_metaimage(place / "in" / "a.mhd", GRID)
    shutil.copy(options.checkpoints[0], place / "model.pt")
    shutil.copy(options.config_files[0], place / "o.json")
    return place / damaged


def _with_own_model(options: Options) -> Callable[[Path], list[str]]:
    def words(place: Path) -> list[str]:
        said = ["predict", "--bundle", str(options.bundle), "--products", "mask"]
        said += ["--source", str(place / "in"), "--output", str(place / "out"), "--device", "cpu"]
        return [
            *said,
            "--config_file",
            str(place / "o.json"),
            "--ckpt_path",
            str(place / "model.pt"),
        ]

    return words


def _cohort(damaged: str) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        cohort = TinyCohort(place / "in")
        for number in range(4):
            cohort.add(f"1.{number}", [((20, 18, 10), 9.0)])
        if damaged == "reading.xml":
            for number in range(4):
                (place / "xml" / str(number)).mkdir(parents=True)
                rois = [roi(z, square(20, 18, 4)) for z in (-77.5, -75.0, -72.5)]
                write_xml(place / "xml" / str(number), nodule("1", *rois), uid=f"1.{number}")
            return place / "xml" / "0" / damaged
        return place / "in" / damaged

    return build


def _prepares(damaged: str) -> Callable[[Path], list[str]]:
    def words(place: Path) -> list[str]:
        said = ["prepare", "luna16", "--source", str(place / "in"), "--output", str(place / "out")]
        said += ["--jobs", "1", "--shares", "2:1:1"]
        if damaged == "reading.xml":
            said += [
                "--label",
                "readers",
                "--outlines",
                str(place / "xml"),
                "--min_readers",
                "1",
            ]
        return said

    return words
