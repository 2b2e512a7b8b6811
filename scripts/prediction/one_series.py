"""Prediction of one study: it is read, computed and written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from scripts.prediction.dicom.source_series import NO_FRAME
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import Options
from scripts.prediction.result_warnings import names_of, warnings_of
from scripts.prediction.sources.study_reading import ReadStudy, read_study
from scripts.prediction.stopwatch import Stopwatch
from scripts.prediction.study_task import Outcome, Task, failed
from scripts.prediction.writing.manifest import (
    acceptable_identities,
    facts_of,
    fingerprint,
    nameless_provenance,
    record_of,
    source_record,
)
from scripts.prediction.writing.products import DICOM, USUAL
from scripts.prediction.writing.study_writing import ComputedStudy, write_study
from scripts.running.workers import peak_memory_mb
from scripts.volumes.dicom.quantity import notes_on
from scripts.volumes.dicom.series_volume import Series

_ONLY_FOR_DICOM = "no {} written: it needs a DICOM series"


@lru_cache(maxsize=1)
def model_of(options: Options) -> Model:
    """Return the model of this process."""
    return Model(options)


def predict_study(task: Task) -> Outcome:
    """Predict one study and write its folder, or keep the folder of an earlier run.

    Raises:
        OutputError: when the output cannot be written, which would fail for all studies.
    """
    if task.threads:
        torch.set_num_threads(task.threads)
    study = read_study(task, settings_of(task.options))
    if isinstance(study, ReadStudy):
        computed = compute_study(task, study)
        return write_study(computed) if isinstance(computed, ComputedStudy) else computed
    return study


def settings_of(options: Options) -> list[dict[str, Any]]:
    """Return what determines the results of this process' model."""
    return acceptable_identities(model_of(options))


def compute_study(task: Task, study: ReadStudy) -> ComputedStudy | Outcome:
    """Segment a study that was read; return its outcome if that fails."""
    begun, spent = time.perf_counter(), study.seconds["read"]
    try:
        made = {"provenance": nameless_provenance(task.options)}
        computed = compute(task, model_of(task.options), study, made)
    except Exception as error:  # an error in one CT must not stop the others
        return failed(task, study.access, error, spent + time.perf_counter() - begun)
    return replace(computed, spent=spent + time.perf_counter() - begun)


def compute(task: Task, model: Model, study: ReadStudy, made: Mapping[str, Any]) -> ComputedStudy:
    """Segment a study.

    Args:
        task: the study.
        model: the model to predict it with.
        study: what was read.
        made: entries of its manifest.

    Raises:
        ValueError: for a CT that is refused.
    """
    watch = Stopwatch(study.seconds)
    facts = facts_of(model, _warnings(task, study.content))
    prediction = predict_volume(
        model, study.content, study=task.source.name, facts=facts, watch=watch, volume=study.volume
    )
    facts["warnings"] += model.notes
    facts["warnings"] += warnings_of(
        model.trained_on, prediction, names_of(task.source, prediction)
    )
    return ComputedStudy(
        replace(task, source=replace(task.source, slices=())),
        prediction,
        study.access,
        record_of(model),
        {
            "source": source_record(task.source, study.digest),
            "peak_memory_mb": peak_memory_mb(),
            "fingerprint": fingerprint(model, study.digest),
            **made,
        },
        watch.seconds,
    )


def _warnings(task: Task, content: Path | Series) -> tuple[str, ...]:
    """Return the warnings for the reader of the results."""
    notes, products = list(task.source.notes), set(task.options.products)
    if not isinstance(content, Series):
        asked = sorted(products & set(DICOM) - set(USUAL))
        return (*notes, *map(_ONLY_FOR_DICOM.format, asked))
    notes += notes_on(content.slices)
    if content.stack is not None:
        notes.append(content.stack.remark())
    lacks_frame = any(not each.header.get("FrameOfReferenceUID") for each in content.slices)
    if lacks_frame and products & set(DICOM):
        notes.append(NO_FRAME)
    return tuple(notes)
