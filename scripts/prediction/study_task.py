"""One study to predict, and what became of it."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.prediction.predict_options import Options
from scripts.prediction.sources.inventory import Source
from scripts.prediction.sources.source_access import SourceAccess
from scripts.running.reasons import first_cause, one_line
from scripts.storage.files import PART

PREDICTED, KEPT, FAILED = "predicted", "already there", "failed"
OLD = ".old-"  # prefix of a folder that a new one is about to replace
LEFTOVERS = (PART, OLD)
TAG_BYTES = 4  # of the random hex number between prefix and name


@dataclass(frozen=True)
class Task:
    """One study to predict.

    Attributes:
        source: the CT.
        output: parent of the study's folder.
        options: the user's options.
        threads: number of torch's threads in this process; 0 leaves it unchanged.
        seconds: of the command before its first study: start, list.
    """

    source: Source
    output: Path
    options: Options
    threads: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return self.output / self.source.name


@dataclass(frozen=True)
class Outcome:
    """Result of one study.

    Attributes:
        study: its name, which is also that of its folder.
        status: :data:`PREDICTED`, :data:`KEPT` or :data:`FAILED`.
        seconds: wall-clock time.
        reason: why it failed, without file names.
        message: for the screen, with file names: why it failed, or what was left out of a product.
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


def failed(task: Task, ready: SourceAccess | None, error: Exception, seconds: float) -> Outcome:
    """Report a failure: for the screen with file names, for the record without.

    Args:
        task: the study.
        ready: its source, if it could be made ready to be read.
        error: what failed.
        seconds: that the study took until then.
    """
    cause = first_cause(error)
    text = one_line(cause)
    if isinstance(cause, MemoryError):
        text = f"not enough memory for this CT: {text}"
    expected = isinstance(cause, (ValueError, OSError, MemoryError))
    reason = text if expected else f"unexpected {type(cause).__name__}"
    message = text if expected else f"unexpected {type(cause).__name__}: {text}"
    if ready is not None:
        reason, message = ready.for_record(reason), ready.for_screen(ready.for_record(message))
    elif expected and not isinstance(cause, MemoryError):
        reason = "its files cannot be read, or the temporary folder is full"
    message = f"{task.source.location}: {message}"
    return Outcome(task.source.name, FAILED, round(seconds, 2), reason, message)


def lost_study(task: Task, reason: str) -> Outcome:
    """Report a study whose process died; what it had begun to write is removed."""
    remove_leftovers(task.output, task.source.name)
    return Outcome(task.source.name, FAILED, 0.0, reason, f"{task.source.location}: {reason}")


def remove_leftovers(output: Path, name: str) -> None:
    """Remove what a process that died had begun to write of a study."""
    for prefix in LEFTOVERS:
        # not any characters: `1` is the end of `patient-1`, which another process may be writing
        for folder in output.glob(f"{prefix}{'[0-9a-f]' * 2 * TAG_BYTES}-{glob.escape(name)}"):
            shutil.rmtree(folder, ignore_errors=True)
