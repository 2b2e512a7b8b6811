"""Studies one after another: while one is computed, the next is read and the one before written.

Reading and writing have a process each, as both hold Python's lock for most of the time: threads
would stop the network, and pydicom's warnings, which quote names, could not be suppressed in one
thread alone. At most three studies are in memory; the one after a large one is read
when that is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from scripts.prediction.one_series import compute_study, settings_of
from scripts.prediction.sources.study_reading import ReadStudy, read_study
from scripts.prediction.study_task import Outcome, Task, failed, lost_study
from scripts.prediction.writing.study_writing import ComputedStudy, write_study
from scripts.running.workers import Companion, ProcessEndedError
from scripts.storage.output_folder import OutputError

MOST_BESIDE = 512 << 20
"""Bytes of HU (1,000 slices) from which a study is written here, and the next read after it."""


def predict_overlapped(tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Yield the outcome of each study, as :func:`scripts.prediction.one_series.predict_study` does.

    The first study is read and the last one written in this process, which has nothing else to do.
    So is one of more than :data:`MOST_BESIDE`, for memory.

    Args:
        tasks: studies of one model.

    Raises:
        OutputError: when the output cannot be written, which would fail for all studies.
    """
    with Companion() as reader, Companion() as writer:
        waiting: Task | None = None  # the study that is being written
        for number, task in enumerate(tasks):
            study = _read(reader, task)
            alone = number + 1 == len(tasks) or _is_large(study)
            if not alone:
                _read_ahead(reader, tasks[number + 1])
            computed = compute_study(task, study) if isinstance(study, ReadStudy) else study
            del study
            if not isinstance(computed, ComputedStudy):
                yield computed
                continue
            if waiting is not None:
                yield _result(writer, waiting, "wrote")
            waiting = None
            if not alone:
                writer.begin(write_study, computed)
                waiting = task
            else:
                yield write_study(computed)
            del computed
        if waiting is not None:
            yield _result(writer, waiting, "wrote")


def _is_large(study: ReadStudy | Outcome) -> bool:
    return isinstance(study, ReadStudy) and study.volume.hu.nbytes > MOST_BESIDE


def _read_ahead(reader: Companion, task: Task) -> None:
    """Let the reader's process read a study; what was unpacked of it is handed over."""
    source = replace(task.source, contents=dict(task.source.contents))
    task.source.contents.clear()
    reader.begin(read_study, replace(task, source=source), settings_of(task.options))


def _read(reader: Companion, task: Task) -> ReadStudy | Outcome:
    """Return a study that was read ahead, or read it."""
    if not reader.is_busy:
        return read_study(task, settings_of(task.options))
    study: ReadStudy | Outcome = _result(reader, task, "read")
    return study


def _result(companion: Companion, task: Task, did: str) -> Any:
    """Return what became of a study in another process."""
    try:
        return companion.result()
    except ProcessEndedError as error:
        return lost_study(task, f"the process that {did} it {error}, also when it was repeated")
    except OutputError:
        raise
    except Exception as error:  # it could not be handed over, as for lack of memory
        return failed(task, None, error, 0)
