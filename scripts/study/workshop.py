"""The steps of a study, each identified by a hash of its inputs, and the folder of results."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from scripts.bundle.record import git_revision
from scripts.storage.files import read_json, write_json
from scripts.storage.locks import LOCK, locked
from scripts.storage.output_folder import claim_output
from scripts.study.processes import Outcome, run_command

RECORD, FAILURE, LOG = "done.json", "failed.json", "log.txt"
LEAST_FREE_MB = 200
FULL = ("No space left on device", "Disk quota exceeded")
LONGEST_REASON = 600  # characters; what to do is said at the end of a message
LOG_LINES = 12  # last lines of a failed command's log that are recorded
Launch = Callable[[Sequence[str], Path, int], Outcome]
PLACEHOLDER = re.compile(r"<(out|here|need\d)>")


@dataclass(frozen=True)
class Task:
    """One command, whose result is stored under a hash of all its inputs.

    Args:
        kind: subfolder of the work folder: cohorts, prepared, pretraining, trainings, evaluations.
        name: displayed name.
        words: of the command after ``python``; ``<out>`` is the folder of its result, ``<here>``
            the parent of that, ``<need0>`` the result of the first task that it needs.
        needs: tasks that must be done before.
        made_of: other inputs that determine the result, such as the merged config.
        files: JSON files to write into ``<here>`` before the command runs; they may have the same
            placeholders.
        resumable: whether the command has the options ``--resume`` and ``--overwrite``.
        replaces: whether it has ``--overwrite`` alone; it may replace what was left of this step.
        given: folder of an existing result of the user; nothing is run.
    """

    kind: str
    name: str
    words: tuple[str, ...] = ()
    needs: tuple[Task, ...] = ()
    made_of: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    resumable: bool = False
    replaces: bool = False
    given: Path | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256, in hex, of everything that determines the result."""
        content = [self.kind, self.words, dict(self.made_of), dict(self.files)]
        content.append([need.key for need in self.needs])
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def folder(self, work: Path) -> Path:
        """Folder of log, record and result."""
        plain = re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")[:60]
        return work / self.kind / f"{plain}-{self.key[:10]}"

    def out(self, work: Path) -> Path:
        """Folder of the result."""
        return self.folder(work) / "out" if self.given is None else self.given

    def command(self, work: Path) -> list[str]:
        """Words of the command, with the folders filled in."""
        words = [self._filled_in(word, work) for word in self.words]
        if self.replaces:
            return [*words, "--overwrite", "true"]
        if not self.resumable:
            return words
        begun = any((self.out(work) / "checkpoints").glob("*.pt"))
        return [*words, *(("--resume", "true") if begun else ("--overwrite", "true"))]

    def contents(self, work: Path) -> dict[str, Any]:
        """Contents of the files, with the folders filled in."""
        return {n: json.loads(self._filled_in(json.dumps(c), work)) for n, c in self.files.items()}

    def _filled_in(self, text: str, work: Path) -> str:
        folders = {"out": str(self.out(work)), "here": str(self.folder(work))}
        folders |= {f"need{i}": str(need.out(work)) for i, need in enumerate(self.needs)}
        return PLACEHOLDER.sub(lambda match: folders[match[1]], text)


class TaskError(RuntimeError):
    """A step failed; the study continues with steps that do not need it."""


def _read_record(file: Path) -> dict[str, Any]:
    """Read a record; a missing or damaged one is empty, so that its step runs again."""
    try:
        return read_json(file)
    except (OSError, ValueError):
        return {}


class Workshop:
    """Runs each step once.

    A step is done when ``done.json`` in its folder contains the hash of its inputs. An interrupted
    training resumes from its last checkpoint.

    Args:
        work: folder of the steps; studies with the same folder share their steps.
        launch: function that runs a command.
    """

    def __init__(self, work: Path, launch: Launch = run_command) -> None:
        self.work = work
        self.launch = launch
        self._failed: dict[str, str] = {}
        # reason, and free bytes needed to try again
        self._without_room: dict[str, tuple[str, int]] = {}

    def record(self, task: Task) -> dict[str, Any] | None:
        """Return the record of a step; None if it is not done."""
        file = task.folder(self.work) / RECORD
        if task.given is not None:
            return {"seconds": 0.0, "peak_mb": None}
        record = _read_record(file)
        return record if record.get("key") == task.key else None

    def failure(self, task: Task) -> str | None:
        """Return why a step, or one that it needs, failed at its last run; None if none did."""
        for one in (*task.needs, task):
            file = one.folder(self.work) / FAILURE
            if one is not task:
                reason = self.failure(one)
                if reason is not None:
                    return reason
            elif self.record(one) is None and one.key in self._without_room:
                return self._without_room[one.key][0]
            elif self.record(one) is None and file.is_file():
                return str(_read_record(file).get("reason", f"{file} is damaged; run it again"))
        return None

    def do(self, task: Task) -> None:
        """Run a step, after the steps that it needs, unless they are done.

        Raises:
            TaskError: when it, or one that it needs, fails, also because the disk is full.
            OutputError: when the folder cannot be written for another reason.
        """
        if self.record(task) is not None:
            return
        if task.key in self._failed:
            raise TaskError(self._failed[task.key])
        for need in task.needs:
            self.do(need)
        self._check_room(task)
        folder = task.folder(self.work)
        claim_output(folder)
        with locked(folder / LOCK, wait=True) as lock:
            if self.record(task) is None:  # another process may have done it meanwhile
                self._run(task, folder, lock)

    def _run(self, task: Task, folder: Path, lock: int) -> None:
        try:
            for name, content in task.contents(self.work).items():
                write_json(folder / name, content)
            print(f"  {task.kind}: {task.name}", flush=True)
            outcome = self.launch(task.command(self.work), folder / LOG, lock)
            if outcome.code == 0:
                self._finish(task, folder, outcome)
                return
            self._fail(task, folder, outcome)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._filled(task) from error
            raise

    def _finish(self, task: Task, folder: Path, outcome: Outcome) -> None:
        record = {
            "key": task.key,
            "kind": task.kind,
            "name": task.name,
            "seconds": round(outcome.seconds, 2),
            "processor_seconds": round(outcome.processor_seconds, 2),
            "peak_mb": round(outcome.peak_mb, 1),
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "git": git_revision(Path(__file__).resolve().parents[2]),
            "command": task.command(self.work),
            "needs": [need.key for need in task.needs],
        }
        shutil.rmtree(
            task.out(self.work) / "checkpoints", ignore_errors=True
        )  # large, no longer needed
        (folder / FAILURE).unlink(missing_ok=True)
        write_json(folder / RECORD, record)

    def _fail(self, task: Task, folder: Path, outcome: Outcome) -> None:
        """Record the failure and raise it; a full disk is not recorded as a failure of the step.

        Raises:
            TaskError: always.
        """
        text = (folder / LOG).read_text(errors="replace") if (folder / LOG).is_file() else ""
        lines = text.splitlines()[-200:]
        if any(words in line for line in lines for words in FULL):
            raise self._filled(task)
        reason = f"{task.kind}: {task.name}: {reason_of(lines, outcome.code)}"
        self._failed[task.key] = reason
        tail = lines[-LOG_LINES:]
        write_json(folder / FAILURE, {"key": task.key, "reason": reason, "log": tail})
        raise TaskError(reason)

    def _check_room(self, task: Task) -> None:
        """Check the free space for a step; one that filled the disk needs more than before.

        Raises:
            TaskError: when there is too little.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        least = int(os.environ.get("STUDY_LEAST_FREE_MB", LEAST_FREE_MB)) * 2**20
        _, asked = self._without_room.get(task.key, ("", 0))
        if self._free() < max(least, asked):
            raise self._no_room(task, asked)
        self._without_room.pop(task.key, None)

    def _free(self) -> int:
        return shutil.disk_usage(self.work).free

    def _filled(self, task: Task) -> TaskError:
        """Postpone a step that filled the disk until there is clearly more free space."""
        return self._no_room(task, self._free() + LEAST_FREE_MB * 2**20)

    def _no_room(self, task: Task, asked: int) -> TaskError:
        reason = (
            f"{task.kind}: {task.name}: the disk that holds {self.work} is full; make room and "
            "repeat the command: finished steps are kept, and it continues from there"
        )
        self._without_room[task.key] = (reason, asked)
        return TaskError(reason)


def reason_of(lines: Sequence[str], code: int) -> str:
    """Return the line of a log that states the error, other than MONAI's final, general one.

    Example:
        >>> reason_of(["ValueError: a bad rate", "the above", "RuntimeError: Failed to x"], 1)
        'ValueError: a bad rate'
    """
    if code < 0:
        return f"killed by signal {-code} (9: by a user, or for lack of memory)"
    errors = [line.strip() for line in lines if _names_error(line)]
    specific = [line for line in errors if not line.startswith("RuntimeError: Failed to")]
    problems = [  # of scans, by ``prepare``, with the first of them
        " ".join(f"{line} {after}".split())
        for line, after in zip(lines, (*lines[1:], ""), strict=False)
        if line.startswith("PROBLEMS: ")
    ]
    reason = (specific or errors or problems or [f"exit code {code}"])[0]
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON].rstrip()} ..."


def _names_error(line: str) -> bool:
    word = line.strip().partition(":")[0]
    return line.strip().startswith("error:") or (
        ": " in line and word.isidentifier() and word.endswith(("Error", "Exception"))
    )
