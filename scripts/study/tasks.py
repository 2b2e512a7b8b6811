"""The steps of a study, each known by what it is made of: cohort, data, pretraining, training."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

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
