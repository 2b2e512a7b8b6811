"""Execution of commands, each with its own log."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.running.options import cores

SYNTHETIC = "Synthetic scans: not a measure of accuracy in patients."
SHOWN_LINES = 20  # of the log of a command that failed


@dataclass(frozen=True)
class Step:
    """One Python command of a demonstration, with the title shown while it runs."""

    title: str
    command: list[str]


class Demonstration:
    """A folder in which commands are run in turn.

    Args:
        output: the folder; the folder of an earlier demonstration is emptied.

    Raises:
        ValueError: when ``output`` is a folder that was not made by a demonstration.
    """

    def __init__(self, output: str | Path) -> None:
        self.folder = Path(output)
        marker = self.folder / ".demo"
        if self.folder.exists() and any(self.folder.iterdir()) and not marker.exists():
            raise ValueError(
                f"output: {self.folder} exists and is not a demo's folder; choose another"
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "logs").mkdir(parents=True)
        marker.touch()
        self._started = time.perf_counter()
        self._done = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def run(self, steps: Iterable[Step]) -> None:
        """Run commands in turn, up to the first that fails.

        Raises:
            SystemExit: see :meth:`RunningStep.finish`.
        """
        for step in steps:
            self.run_together([step])

    def run_together(self, steps: Iterable[Step]) -> None:
        """Run commands at once, of which none reads what another writes.

        They share the processor's cores: with as many threads as cores each, they would wait for
        one another in every layer of a network, and take longer than in turn.

        Raises:
            SystemExit: see :meth:`RunningStep.finish`; the others are stopped.
        """
        steps, running = list(steps), []
        threads = max(1, cores() // len(steps)) if len(steps) > 1 else None
        try:
            for step in steps:
                self._done += 1
                log = self.folder / "logs" / f"{self._done}.log"
                running.append(RunningStep(step, log, threads=threads))
            for one in running:
                one.finish()
        finally:
            for one in running:
                one.process.kill()  # nothing, if it has ended
                one.process.wait()

    def list_results(self, results: Mapping[str, str]) -> list[str]:
        """Return one line per result.

        Args:
            results: description -> path relative to the folder.
        """
        return [f"  {name:<40}{self.folder / path}" for name, path in results.items()]


class RunningStep:
    """A command that has been started, with its output in a log.

    Args:
        step: the command.
        log: file for its output.
        threads: of its computations; by default as it decides itself.
    """

    def __init__(self, step: Step, log: Path, *, threads: int | None = None) -> None:
        print(f"\n{step.title}\n  python {shlex.join(step.command)}", flush=True)
        self.step, self.log, self._started = step, log, time.perf_counter()
        with log.open("w") as sink:
            self.process = subprocess.Popen(
                [sys.executable, *step.command],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)}),
            )

    def finish(self) -> float:
        """Wait for its end; return its seconds.

        Raises:
            SystemExit: with the command's exit code, after showing the end of its log.
        """
        code = self.process.wait()
        seconds = time.perf_counter() - self._started
        if code:
            print("\n".join(self.log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]))
            print(f"{self.step.title}: failed with exit code {code}; the whole log: {self.log}")
            raise SystemExit(code)
        print(f"  {self.step.title}: done in {seconds:.0f} s, log: {self.log}", flush=True)
        return seconds
