"""One study from its source to its folder: whole, or not there at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from scripts.prediction.manifest import (
    facts_of,
    fingerprint,
    is_finished,
    read_manifest,
    source_record,
    write_manifest,
)
from scripts.prediction.network.model import Model
from scripts.prediction.options import Options
from scripts.prediction.pipeline import Stopwatch, predict_volume
from scripts.prediction.placing import Placed, digest_of, placed
from scripts.prediction.products import PRODUCTS, write_product
from scripts.prediction.result import Prediction
from scripts.prediction.sources import DICOM_SERIES, Source
from scripts.storage.output_folder import OutputError, writing_into
from scripts.storage.workers import peak_memory_mb

PREDICTED, KEPT, FAILED = "predicted", "already there", "failed"
LEFTOVERS = (".part-", ".old-")  # beginnings of the names of folders in work
# what the disk says, as against what a file has
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, None}


@dataclass(frozen=True)
class Task:
    """One study to predict.

    Attributes:
        source: the CT.
        output: the folder that the study's folder goes into.
        options: what the user chose.
        threads: of torch in this process; 0 leaves them.
    """

    source: Source
    output: Path
    options: Options
    threads: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of one study.

    Attributes:
        study: its name, which is its folder's.
        status: :data:`PREDICTED`, :data:`KEPT` or :data:`FAILED`.
        seconds: it took.
        reason: why it failed, without any name of a file.
        told: why it failed, for the screen, with the files' places.
        warnings: as in its manifest.
        segments: how many were found.
    """

    study: str
    status: str
    seconds: float
    reason: str = ""
    told: str = ""
    warnings: tuple[str, ...] = ()
    segments: int = 0


@lru_cache(maxsize=1)
def model_of(options: Options) -> Model:
    """Return the model of this process."""
    return Model(options)


def predict_study(task: Task) -> Outcome:
    """Predict one study and write its folder, or keep the one that is there.

    Raises:
        OutputError: when the output cannot be written, which concerns every study.
    """
    begun = time.perf_counter()
    if task.threads:
        torch.set_num_threads(task.threads)
    place: Placed | None = None
    try:
        digest = digest_of(task.source)
        folder = task.output / task.source.name
        mark = fingerprint(model_of(task.options), digest)
        if is_finished(folder, mark):
            return _kept(task, folder, time.perf_counter() - begun)
        with placed(task.source) as place:
            prediction = _predict_and_write(task, place, digest, mark)
    except OutputError:
        raise
    except Exception as error:  # whatever one CT brings about, the others go on
        return _failed(task, place, error, time.perf_counter() - begun)
    warnings = tuple(prediction.facts["warnings"])
    spent = round(time.perf_counter() - begun, 2)
    count = len(prediction.segments)
    return Outcome(task.source.name, PREDICTED, spent, warnings=warnings, segments=count)


def _predict_and_write(task: Task, place: Placed, digest: str, mark: str) -> Prediction:
    """Predict a source that is laid out, and write all products and the manifest."""
    watch, model = Stopwatch(), model_of(task.options)
    facts = facts_of(model, _warnings(task))
    prediction = predict_volume(
        model, place.read(), study=task.source.name, facts=facts, watch=watch
    )
    with _study_folder(task.output, task.source.name) as folder:
        _write_products(task, prediction, folder, watch)
        with _telling_of_the_disk(task.output):
            write_manifest(
                folder,
                model,
                prediction,
                fingerprint=mark,
                source=source_record(task.source, digest),
                seconds=watch.seconds,
                peak_memory_mb=peak_memory_mb(),
            )
    return prediction


def _warnings(task: Task) -> tuple[str, ...]:
    """Say what the reader of the results should know."""
    from_volume = task.source.kind != DICOM_SERIES
    if from_volume and "rtstruct" in task.options.products:
        return (*task.source.notes, "no rtstruct: it is made of DICOM series only")
    return task.source.notes


def _write_products(task: Task, prediction: Prediction, folder: Path, watch: Stopwatch) -> None:
    """Write what was asked for, timed."""
    statistics: dict[str, Any] | None = None
    names = [
        name
        for name in task.options.products
        if prediction.dicom_slices or not PRODUCTS[name].needs_dicom
    ]
    if any(PRODUCTS[name].needs_statistics for name in names):
        from scripts.prediction.measures.statistics import measure

        with watch.step("measure"):
            statistics = measure(prediction)
    for name in names:
        with watch.step(f"write {name}"), _telling_of_the_disk(task.output):
            try:
                write_product(name, prediction, folder, statistics)
            except ValueError as error:
                others = ",".join(n for n in task.options.products if n != name)
                raise ValueError(f"{name}: {error} (--products {others} goes without)") from error


@contextmanager
def _telling_of_the_disk(output: Path) -> Iterator[None]:
    """Turn what the disk says into :class:`OutputError`; what a source says stays its own."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError) or error.errno not in DISK:
            raise
        with writing_into(output):
            raise


@contextmanager
def _study_folder(output: Path, name: str) -> Iterator[Path]:
    """Give a folder beside the study's, which takes its place when the block ends well.

    Raises:
        OutputError: when it cannot be made or put there.
        ValueError: when a folder of somebody else's has that name.
    """
    target, tag = output / name, secrets.token_hex(4)
    beside, old = output / f".part-{tag}-{name}", output / f".old-{tag}-{name}"
    if target.exists() and read_manifest(target) is None:
        raise ValueError(f"{name}: a folder of that name in the output was not made by predict")
    try:
        with writing_into(output):
            beside.mkdir()
        yield beside
        with writing_into(output):
            if target.exists():
                os.rename(target, old)
            os.rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _kept(task: Task, folder: Path, seconds: float) -> Outcome:
    manifest = read_manifest(folder) or {}
    return Outcome(
        task.source.name,
        KEPT,
        round(seconds, 2),
        warnings=tuple(manifest.get("warnings", ())),
        segments=len(manifest.get("segments", ())),
    )


def _failed(task: Task, place: Placed | None, error: Exception, seconds: float) -> Outcome:
    """Say what went wrong, once for the screen and once without names."""
    cause = root_of(error)
    message = " ".join(str(cause).split()) or type(cause).__name__
    foreseen = isinstance(cause, (ValueError, OSError))
    reason = message if foreseen else f"unexpected {type(cause).__name__}"
    told = message if foreseen else f"unexpected {type(cause).__name__}: {message}"
    if place is not None:
        reason, told = place.for_record(reason), place.for_screen(place.for_record(told))
    elif foreseen:
        reason = "its files cannot be read, or the temporary folder has no room"
    told = f"{task.source.place}: {told}"
    return Outcome(task.source.name, FAILED, round(seconds, 2), reason, told)


def root_of(error: BaseException) -> BaseException:
    """Return what MONAI wraps when a transform fails: our own error, in our own words."""
    while str(error).startswith("applying transform") and error.__cause__ is not None:
        error = error.__cause__
    return error
