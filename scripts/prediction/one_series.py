"""Prediction of one study: its folder is written whole or not at all."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from scripts.prediction.dicom.source_series import NO_FRAME
from scripts.prediction.doubts import doubts, names_of
from scripts.prediction.inventory import Source
from scripts.prediction.limits import LimitError, with_largest_lesions
from scripts.prediction.manifest import (
    MADE_BY,
    acceptable_fingerprints,
    facts_of,
    fingerprint,
    is_finished,
    is_ours,
    read_manifest,
    source_record,
    write_manifest,
)
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import Stopwatch, predict_volume
from scripts.prediction.predict_options import Options
from scripts.prediction.products import PRODUCTS, write_product
from scripts.prediction.result import Prediction
from scripts.prediction.source_access import SourceAccess, digest_of, open_source
from scripts.storage.files import PART
from scripts.storage.output_folder import OutputError, writing_into
from scripts.storage.workers import peak_memory_mb
from scripts.volumes.dicom.series_volume import Series, notes_on

PREDICTED, KEPT, FAILED = "predicted", "already there", "failed"
OLD = ".old-"  # prefix of a folder that a new one is about to replace
LEFTOVERS = (PART, OLD)
_NO_STRUCTURES = "no rtstruct written: it needs a DICOM series"
# errors of the disk, as opposed to those of a source file
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, None}


@dataclass(frozen=True)
class Task:
    """One study to predict.

    Attributes:
        source: the CT.
        output: parent of the study's folder.
        options: the user's options.
        threads: number of torch's threads in this process; 0 leaves it unchanged.
    """

    source: Source
    output: Path
    options: Options
    threads: int = 0


@dataclass(frozen=True)
class Outcome:
    """Result of one study.

    Attributes:
        study: its name, which is also that of its folder.
        status: :data:`PREDICTED`, :data:`KEPT` or :data:`FAILED`.
        seconds: wall-clock time.
        reason: why it failed, without file names.
        message: why it failed, for the screen, with file names.
        warnings: as in its manifest.
        segments: number of segments.
    """

    study: str
    status: str
    seconds: float
    reason: str = ""
    message: str = ""
    warnings: tuple[str, ...] = ()
    segments: int = 0


@lru_cache(maxsize=1)
def model_of(options: Options) -> Model:
    """Return the model of this process."""
    return Model(options)


def predict_study(task: Task) -> Outcome:
    """Predict one study and write its folder, or keep the folder of an earlier run.

    Raises:
        OutputError: when the output cannot be written, which would fail for all studies.
    """
    begun = time.perf_counter()
    if task.threads:
        torch.set_num_threads(task.threads)
    ready: SourceAccess | None = None
    try:
        digest = digest_of(task.source)
        folder = task.output / task.source.name
        model = model_of(task.options)
        if is_finished(folder, acceptable_fingerprints(model, digest)):
            return _kept(task, folder, time.perf_counter() - begun)
        with open_source(task.source) as ready:
            made = made_from(digest, fingerprint(model, digest))
            prediction = write_study(task, model, ready, made)
    except OutputError:
        raise
    except Exception as error:  # an error in one CT must not stop the others
        return _failed(task, ready, error, time.perf_counter() - begun)
    warnings = tuple(prediction.facts["warnings"])
    spent = round(time.perf_counter() - begun, 2)
    count = len(prediction.segments)
    return Outcome(task.source.name, PREDICTED, spent, warnings=warnings, segments=count)


def made_from(digest: str, mark: str) -> dict[str, Any]:
    """Return the entries of a manifest that identify what a study was made from."""
    return {"digest": digest, "fingerprint": mark}


def write_study(
    task: Task,
    model: Model,
    ready: SourceAccess,
    made: Mapping[str, Any],
    further: Callable[[Prediction, Path], Mapping[str, Any]] | None = None,
) -> Prediction:
    """Predict a source that is ready to be read; write all products and the manifest.

    Args:
        task: the study.
        model: its bundle.
        ready: its source.
        made: see :func:`made_from`; and ``made_by``, for another command than predict.
        further: writes further files into the study's folder, and returns further entries of its
            manifest.

    Raises:
        OutputError: when the output cannot be written.
        ValueError: for a CT that is refused, or a product that cannot be made of it.
    """
    watch = Stopwatch()
    content = ready.read(resample=task.options.geometry == "resample")
    facts = facts_of(model, _warnings(task, content))
    prediction = predict_volume(model, content, study=task.source.name, facts=facts, watch=watch)
    facts["warnings"] += model.notes
    facts["warnings"] += doubts(model.trained_on, prediction, names_of(task.source, prediction))
    entries = {key: value for key, value in made.items() if key != "digest"}
    made_by = str(made.get("made_by", MADE_BY))
    with _study_folder(task.output, task.source.name, made_by) as folder:
        _write_products(task, prediction, folder, watch)
        with _disk_errors(task.output):
            if further is not None:
                entries |= further(prediction, folder)
            write_manifest(
                folder,
                model,
                prediction,
                source=source_record(task.source, made["digest"]),
                seconds=watch.seconds,
                peak_memory_mb=peak_memory_mb(),
                **entries,
            )
    return prediction


def _warnings(task: Task, content: Path | Series) -> tuple[str, ...]:
    """Return the warnings for the reader of the results."""
    notes, products = list(task.source.notes), set(task.options.products)
    if not isinstance(content, Series):
        return (*notes, *(_NO_STRUCTURES for _ in products & {"rtstruct"}))
    notes += notes_on(content.slices)
    if content.stack is not None:
        notes.append(content.stack.remark())
    lacks_frame = any(not each.header.get("FrameOfReferenceUID") for each in content.slices)
    if lacks_frame and products & {"seg", "rtstruct"}:
        notes.append(NO_FRAME)
    return tuple(notes)


def _write_products(task: Task, prediction: Prediction, folder: Path, watch: Stopwatch) -> None:
    """Write the requested products, and time each."""
    statistics: dict[str, Any] | None = None
    names = [
        name
        for name in task.options.products
        if (prediction.dicom_slices or not PRODUCTS[name].needs_dicom)
        and (prediction.facts["lesion_kinds"] or not PRODUCTS[name].needs_lesions)
    ]
    if any(PRODUCTS[name].needs_statistics for name in names):
        from scripts.prediction.measures.statistics import measure

        with watch.step("measure"):
            statistics = measure(prediction)
            _add_suspicion(task, prediction, statistics)
    warnings, dicom = prediction.facts["warnings"], prediction
    if any(PRODUCTS[name].needs_dicom for name in names):
        dicom, note = with_largest_lesions(prediction)
        warnings += [note] if note else []
    for name in names:
        content = dicom if PRODUCTS[name].needs_dicom else prediction
        with watch.step(f"write {name}"), _disk_errors(task.output):
            try:
                write_product(name, content, folder, statistics)
            except LimitError as error:
                warnings.append(f"no {name} written: {error}")
            except ValueError as error:
                raise ValueError(f"{name}: {error}{_without(name, names)}") from error


def _add_suspicion(task: Task, prediction: Prediction, statistics: dict[str, Any]) -> None:
    """Add the suspicion of each nodule, if a classifier was given."""
    if task.options.suspicion is None:
        return
    from scripts.prediction.measures.suspicion import add_suspicion, classifier_of

    classifier = classifier_of(task.options.suspicion)
    known = names_of(task.source, prediction)
    warning = add_suspicion(statistics, prediction, classifier, known)
    prediction.facts["warnings"] += [warning] if warning else []


def _without(name: str, names: Sequence[str]) -> str:
    """Advise the products that can be written where one cannot.

    What one DICOM object lacks in the source, the other lacks too.
    """
    needs = PRODUCTS[name].needs_dicom
    others = [n for n in names if n != name and not (needs and PRODUCTS[n].needs_dicom)]
    return f" (--products {','.join(others)} leaves it out)" if others else ""


@contextmanager
def _disk_errors(output: Path) -> Iterator[None]:
    """Turn errors of the disk into :class:`OutputError`; those of a source pass unchanged."""
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError) or error.errno not in DISK:
            raise
        with writing_into(output):
            raise


@contextmanager
def _study_folder(output: Path, name: str, made_by: str) -> Iterator[Path]:
    """Yield a temporary folder, which replaces the study's folder when the block succeeds.

    Raises:
        OutputError: when it cannot be made or renamed.
        ValueError: when the study's folder was not made by this command.
    """
    target, tag = output / name, secrets.token_hex(4)
    part, old = output / f"{PART}{tag}-{name}", output / f"{OLD}{tag}-{name}"
    if target.exists() and not is_ours(target, made_by):
        command = made_by.rpartition(" ")[2]
        raise ValueError(f"{name}: a folder of that name in the output was not made by {command}")
    try:
        with writing_into(output):
            part.mkdir()
        yield part
        with writing_into(output):
            if target.exists():
                os.rename(target, old)
            os.rename(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
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


def _failed(task: Task, ready: SourceAccess | None, error: Exception, seconds: float) -> Outcome:
    """Report a failure: for the screen with file names, for the record without."""
    cause = cause_of(error)
    text = " ".join(str(cause).split()) or type(cause).__name__
    if isinstance(cause, MemoryError):
        text = f"not enough memory for this CT: {text}"
    expected = isinstance(cause, (ValueError, OSError, MemoryError))
    reason = text if expected else f"unexpected {type(cause).__name__}"
    message = text if expected else f"unexpected {type(cause).__name__}: {text}"
    if ready is not None:
        reason, message = ready.for_record(reason), ready.for_screen(ready.for_record(message))
    elif expected:
        reason = "its files cannot be read, or the temporary folder is full"
    message = f"{task.source.location}: {message}"
    return Outcome(task.source.name, FAILED, round(seconds, 2), reason, message)


def lost_study(task: Task, reason: str) -> Outcome:
    """Report a study whose process died; what it had begun to write is removed."""
    for prefix in LEFTOVERS:
        for folder in task.output.glob(f"{prefix}*-{glob.escape(task.source.name)}"):
            shutil.rmtree(folder, ignore_errors=True)
    return Outcome(task.source.name, FAILED, 0.0, reason, f"{task.source.location}: {reason}")


def cause_of(error: BaseException) -> BaseException:
    """Return the original error of a transform, which MONAI wraps in its own."""
    while str(error).startswith("applying transform") and error.__cause__ is not None:
        error = error.__cause__
    return error
