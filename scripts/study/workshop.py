"""The steps of a study, each identified by its content, and the folder that keeps their results."""

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
from scripts.storage.files import write_json
from scripts.storage.output_folder import claim_output
from scripts.study.processes import Outcome, locked, run_command

RECORD, FAILURE, LOG, LOCK = "done.json", "failed.json", "log.txt", ".lock"
LEAST_FREE_MB = 200
FULL = ("No space left on device", "Disk quota exceeded")
TOLD_LINES = 12  # of the log of a command that failed
Launch = Callable[[Sequence[str], Path, int], Outcome]
PLACE = re.compile(r"<(out|here|need\d)>")


@dataclass(frozen=True)
class Task:
    """One command whose result is kept under the hash of all that it is made of.

    Args:
        kind: folder of the work folder: cohorts, prepared, pretraining, trainings, evaluations.
        name: words for people.
        words: of the command after ``python``; ``<out>`` stands for the folder of its result,
            ``<here>`` for that above, ``<need0>`` for the result of the first task it needs.
        needs: tasks to be done before.
        made_of: what else decides the result, such as the merged config.
        files: JSON files to write into ``<here>`` before it runs.
        resumable: whether the command takes ``--resume`` and ``--overwrite``.
        given: folder of a result that somebody else made; there is nothing to run.
    """

    kind: str
    name: str
    words: tuple[str, ...] = ()
    needs: tuple[Task, ...] = ()
    made_of: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    resumable: bool = False
    given: Path | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256, in hex, of everything that decides the result."""
        content = [self.kind, self.words, dict(self.made_of), dict(self.files)]
        content.append([need.key for need in self.needs])
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def folder(self, work: Path) -> Path:
        """Folder of its log, its record and its result."""
        plain = re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")[:60]
        return work / self.kind / f"{plain}-{self.key[:10]}"

    def out(self, work: Path) -> Path:
        """Folder of its result."""
        return self.folder(work) / "out" if self.given is None else self.given

    def command(self, work: Path) -> list[str]:
        """Words of the command, every folder put in."""
        places = {"out": str(self.out(work)), "here": str(self.folder(work))}
        places |= {f"need{i}": str(need.out(work)) for i, need in enumerate(self.needs)}
        found = [PLACE.sub(lambda match: places[match[1]], word) for word in self.words]
        if not self.resumable:
            return found
        begun = any((self.out(work) / "checkpoints").glob("*.pt"))
        return [*found, *(("--resume", "true") if begun else ("--overwrite", "true"))]


class TaskError(RuntimeError):
    """A step failed; the study goes on with what does not need it."""


class Workshop:
    """Does steps, each once.

    A step is done when ``done.json`` in its folder holds the hash of all that it is made of. A
    training that was stopped, by whatever, goes on from its last checkpoint.

    Args:
        work: the folder; studies that share it share their steps.
        launch: runs a command.
    """

    def __init__(self, work: Path, launch: Launch = run_command) -> None:
        self.work = work
        self.launch = launch
        self._failed: dict[str, str] = {}
        self._without_room: dict[str, tuple[str, int]] = {}  # why, and the free bytes to try again

    def record(self, task: Task) -> dict[str, Any] | None:
        """Return what was written down of a step that is done; None for one that is not."""
        file = task.folder(self.work) / RECORD
        if task.given is not None:
            return {"seconds": 0.0, "peak_mb": None}
        if not file.is_file():
            return None
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found if found.get("key") == task.key else None

    def failure(self, task: Task) -> str | None:
        """Say why a step, or one that it needs, failed the last time; None where none did."""
        for one in (*task.needs, task):
            file = one.folder(self.work) / FAILURE
            if one is not task:
                reason = self.failure(one)
                if reason is not None:
                    return reason
            elif self.record(one) is None and one.key in self._without_room:
                return self._without_room[one.key][0]
            elif self.record(one) is None and file.is_file():
                return str(json.loads(file.read_text(encoding="utf-8"))["reason"])
        return None

    def do(self, task: Task) -> None:
        """Do a step, and before it those it needs, unless they are done.

        Raises:
            TaskError: when it, or one that it needs, fails, be it for want of room on the disk.
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
        with locked(folder / LOCK) as lock:
            if self.record(task) is None:  # another process may have done it meanwhile
                self._run(task, folder, lock)

    def _run(self, task: Task, folder: Path, lock: int) -> None:
        try:
            for name, content in task.files.items():
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
            "peak_mb": round(outcome.peak_mb, 1),
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "git": git_revision(Path(__file__).resolve().parents[2]),
            "command": task.command(self.work),
            "needs": [need.key for need in task.needs],
        }
        shutil.rmtree(task.out(self.work) / "checkpoints", ignore_errors=True)  # large, and done
        (folder / FAILURE).unlink(missing_ok=True)
        write_json(folder / RECORD, record)

    def _fail(self, task: Task, folder: Path, outcome: Outcome) -> None:
        """Write the failure down and raise it; but for a full disk, which is not the step's fault.

        Raises:
            TaskError: always.
        """
        text = (folder / LOG).read_text(errors="replace") if (folder / LOG).is_file() else ""
        lines = text.splitlines()[-200:]
        if any(words in line for line in lines for words in FULL):
            raise self._filled(task)
        reason = f"{task.kind}: {task.name}: {reason_of(lines, outcome.code)}"
        self._failed[task.key] = reason
        tail = lines[-TOLD_LINES:]
        write_json(folder / FAILURE, {"key": task.key, "reason": reason, "log": tail})
        raise TaskError(reason)

    def _check_room(self, task: Task) -> None:
        """See that there is room for a step; for one that filled the disk, more than it left.

        Raises:
            TaskError: when there is not.
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
        """Leave a step that filled the disk until there is clearly more room than now."""
        return self._no_room(task, self._free() + LEAST_FREE_MB * 2**20)

    def _no_room(self, task: Task, asked: int) -> TaskError:
        reason = (
            f"{task.kind}: {task.name}: the disk that holds {self.work} is full; make room and "
            "give the same command: what is done is kept, and it goes on from there"
        )
        self._without_room[task.key] = (reason, asked)
        return TaskError(reason)


def reason_of(lines: Sequence[str], code: int) -> str:
    """Find the line of a log that says what went wrong; MONAI's own last line does not.

    Example:
        >>> reason_of(["ValueError: a bad rate", "the above", "RuntimeError: Failed to x"], 1)
        'ValueError: a bad rate'
    """
    if code < 0:
        return f"killed by signal {-code} (9: by somebody, or for want of memory)"
    found = [line.strip() for line in lines if _names_error(line)]
    telling = [line for line in found if not line.startswith("RuntimeError: Failed to")]
    return (telling or found or [f"exit code {code}"])[0][:300]


def _names_error(line: str) -> bool:
    word = line.strip().partition(":")[0]
    return line.strip().startswith("error:") or (
        ": " in line and word.isidentifier() and word.endswith(("Error", "Exception"))
    )
