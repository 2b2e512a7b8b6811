"""Writing of one study: its folder is written whole or not at all.

It needs neither torch nor MONAI, so that a process that starts in no time writes one study while
the next is computed.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.prediction.result import DICOM_OBJECTS, Prediction
from scripts.prediction.sources.source_access import SourceAccess
from scripts.prediction.stopwatch import Stopwatch
from scripts.prediction.study_task import (
    OLD,
    PREDICTED,
    TAG_BYTES,
    Outcome,
    Task,
    failed,
    remove_leftovers,
)
from scripts.prediction.writing.limits import LimitError
from scripts.prediction.writing.manifest import MADE_BY, is_ours, write_manifest
from scripts.prediction.writing.products import PRODUCTS, write_product
from scripts.running.workers import peak_memory_mb
from scripts.storage.files import PART
from scripts.storage.output_folder import OutputError, writing_into

if TYPE_CHECKING:
    from scripts.prediction.dicom.content import DicomContent

# errors of the disk, as opposed to those of a source file
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, None}


@dataclass(frozen=True)
class ComputedStudy:
    """A study that was predicted and is to be written.

    Attributes:
        task: the study.
        prediction: what was found.
        access: the names of its source, for errors.
        model: what the manifest states of the model.
        made: further entries of the manifest.
        seconds: of each step until now.
        spent: seconds that the study took until now.
    """

    task: Task
    prediction: Prediction
    access: SourceAccess
    model: Mapping[str, Any]
    made: Mapping[str, Any]
    seconds: Mapping[str, float]
    spent: float = 0.0


def write_study(study: ComputedStudy) -> Outcome:
    """Write the folder of a study.

    Raises:
        OutputError: when the output cannot be written, which would fail for all studies.
    """
    begun = time.perf_counter()
    name = study.task.source.name
    try:
        write_folder(study)
    except OutputError:
        raise
    except Exception as error:  # an error in one CT must not stop the others
        return failed(study.task, study.access, error, study.spent + time.perf_counter() - begun)
    spent = round(study.spent + time.perf_counter() - begun, 2)
    facts, count = study.prediction.facts, len(study.prediction.segments)
    note = study.prediction.dicom_note
    message = f"{study.task.source.location}: {note}" if note else ""
    return Outcome(
        name,
        PREDICTED,
        spent,
        message=message,
        warnings=tuple(facts["warnings"]),
        segments=count,
    )


def write_folder(
    study: ComputedStudy,
    further: Callable[[Prediction, Path], Mapping[str, Any]] | None = None,
) -> None:
    """Write the products and the manifest of a study.

    Args:
        study: what was computed.
        further: writes more files into the folder; returns entries of the manifest.

    Raises:
        OutputError: when the output cannot be written.
        ValueError: for a product that cannot be made, or a folder that another command made.
    """
    task, prediction, watch = study.task, study.prediction, Stopwatch(study.seconds)
    made = dict(study.made)
    with _study_folder(task.output, task.source.name, made.get("made_by", MADE_BY)) as folder:
        _write_products(task, prediction, folder, watch)
        with _disk_errors(task.output):
            made |= further(prediction, folder) if further is not None else {}
            made["peak_memory_mb"] = max(made.get("peak_memory_mb", 0), peak_memory_mb())
            write_manifest(folder, prediction, study.model, seconds=watch.seconds, **made)


def _write_products(task: Task, prediction: Prediction, folder: Path, watch: Stopwatch) -> None:
    """Write the requested products, and time each.

    Raises:
        ValueError: when none of them can be made of this study.
    """
    statistics: dict[str, Any] | None = None
    names = [
        name
        for name in task.options.products
        if (prediction.dicom_slices or not PRODUCTS[name].needs_dicom)
        and (prediction.facts["lesion_kinds"] or not PRODUCTS[name].needs_lesions)
    ]
    if not names:
        raise ValueError(
            f"products: none of {', '.join(task.options.products)} can be made: DICOM objects need "
            "a DICOM series, candidates a bundle that numbers lesions; add mask"
        )
    content, warnings = None, prediction.facts["warnings"]
    if any(PRODUCTS[name].needs_statistics or PRODUCTS[name].needs_dicom for name in names):
        from scripts.prediction.measures.statistics import measure

        with watch.step("measure"):
            statistics = measure(prediction)
            _add_suspicion(task, prediction, statistics)
            content = _dicom_content(task, prediction, statistics, names)
    for name in names:
        with watch.step(f"write {name}"), _disk_errors(task.output):
            try:
                write_product(name, prediction, folder, statistics, content)
            except LimitError as error:
                warnings.append(f"no {name} written: {error}")
            except ValueError as error:
                raise ValueError(f"{name}: {error}{_without(name, names)}") from error


def _dicom_content(
    task: Task, prediction: Prediction, statistics: dict[str, Any], names: Sequence[str]
) -> DicomContent | None:
    """Describe what the DICOM objects hold; None without any. Lesions left out become a warning."""
    objects = [name for name in names if PRODUCTS[name].needs_dicom]
    if not objects:
        return None
    from scripts.prediction.dicom.content import dicom_content

    options = task.options
    try:
        content = dicom_content(
            prediction, statistics, most=options.dicom_lesions, form=options.seg
        )
    except ValueError as error:
        raise ValueError(f"{objects[0]}: {error}{_without(objects[0], names)}") from error
    content.number_in(statistics)
    prediction.facts["warnings"] += [content.note] if content.note else []
    seg = {"seg": content.form.record()} if "seg" in objects else {}
    prediction.facts[DICOM_OBJECTS] = {**content.record(), "note": content.note, **seg}
    return content


def _add_suspicion(task: Task, prediction: Prediction, statistics: dict[str, Any]) -> None:
    """Add the suspicion of each nodule, if a classifier was given."""
    if task.options.suspicion is None:
        return
    from scripts.prediction.measures.suspicion import add_suspicion, classifier_of
    from scripts.prediction.result_warnings import names_of

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
    target, tag = output / name, secrets.token_hex(TAG_BYTES)
    part, old = output / f"{PART}{tag}-{name}", output / f"{OLD}{tag}-{name}"
    if target.exists() and not is_ours(target, made_by):
        command = made_by.rpartition(" ")[2]
        raise ValueError(f"{name}: a folder of that name in the output was not made by {command}")
    try:
        remove_leftovers(output, name)  # of a process that died before this one
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
