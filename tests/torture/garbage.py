"""Damaged inputs of every kind: each gives the right result, or one clear line.

Every input is a good one with random damage. A forked process reads it, so that a crash, its
memory and its time are seen. A result is right if it is that of the undamaged input, or that of a
clean file with what pydicom, nibabel, SimpleITK or Python reads in the damaged one.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.__main__ import main
from tests.analytic.routes import volume_and_centre
from tests.scripts.prediction.studies import ROOT
from tests.torture.damage import damage
from tests.torture.inputs import Kind, kinds_of_inputs
from tests.torture.kills import VARYING, contents

SECONDS, MEGABYTES = 60, 2000  # of processor time, of memory
HANGS = 10  # times as long
REASONS = ("failed:", "refused:", "error:", "not used:")
GOOD = ("right", "changed", "refused")
VOLUME_SHARE, CENTRE_MM = 1e-3, 0.05  # of equal masks; files round positions


@dataclass
class Tally:
    """What became of the inputs.

    Attributes:
        outcomes: how many of each outcome.
        failures: what is wrong, and with which input.
        slowest: processor time in seconds, and input.
        largest: memory in MB, and input.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[float, str] = (0.0, "")

    def __str__(self) -> str:
        found = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        slow, large = self.slowest, self.largest
        return (
            f"{self.outcomes.total()} damaged inputs: {found}; longest {slow[0]:.1f} s of "
            f"processor time ({slow[1]}), largest {large[0]:.0f} MB ({large[1]})"
        )


def damaged_inputs(folder: Path, seed: int, *, first: int, count: int, keep: Path | None) -> Tally:
    """Read damaged inputs.

    Args:
        folder: for the inputs; it is created.
        seed: with an input's number, it decides the damage.
        first: number of the first input.
        count: how many.
        keep: for the inputs with a wrong result, an unclear message or a crash.
    """
    torch.set_num_threads(1)
    os.chdir(ROOT)
    kinds = list(kinds_of_inputs(folder / "model"))
    good = [_good(kind, folder / "good" / str(k)) for k, kind in enumerate(kinds)]
    tally = Tally()
    for number in range(first, first + count):
        kind = kinds[number % len(kinds)]
        target, expected = good[number % len(kinds)]
        source, place = folder / "good" / str(number % len(kinds)), folder / "damaged"
        shutil.copytree(source, place)
        what = damage(place / target.relative_to(source), random.Random(f"{seed} {number}"))
        title = f"{kind.name}, input {number}, {what}"
        outcome, failure = _try(kind, place, expected, title, tally)
        tally.outcomes[outcome] += 1
        if outcome not in GOOD:
            tally.failures.append(f"{title}: {outcome} {failure}")
            print(f"  {tally.failures[-1][:300]}", flush=True)
            if keep:
                shutil.copytree(place, keep / str(number), dirs_exist_ok=True)
        shutil.rmtree(place)
        if (number + 1 - first) % 100 == 0:
            print(f"  {tally}", flush=True)
    print(f"  {tally}")
    return tally


def _good(kind: Kind, folder: Path) -> tuple[Path, Any]:
    """Write a good input; return the file to damage and the result."""
    folder.mkdir(parents=True)
    target = kind.build(folder)
    ran = _forked(kind.words(folder), folder / "log.txt")
    if ran.code:
        raise RuntimeError(f"{kind.name}: the undamaged input gives {ran.lines[-1:]}")
    result = _result(folder)
    shutil.rmtree(folder / "out")
    return target, result


def _try(kind: Kind, place: Path, expected: Any, title: str, tally: Tally) -> tuple[str, str]:
    """Read an input in a forked process; return the outcome, and what is wrong with it."""
    copied = place.with_name("copied")
    shutil.copytree(place, copied)
    try:
        ran = _forked(kind.words(place), place / "log.txt")
        tally.slowest = max(tally.slowest, (ran.seconds, title))
        tally.largest = max(tally.largest, (ran.megabytes, title))
        if problem := _problem(ran):
            return problem
        if ran.code:
            return _clear(ran.lines)
        return _judged(kind, place, copied, expected)
    finally:
        shutil.rmtree(copied)


@dataclass(frozen=True)
class Ran:
    """A command that has ended: exit code or -signal, processor time, MB, and what it printed."""

    code: int
    seconds: float
    megabytes: float
    lines: list[str]


def _problem(ran: Ran) -> tuple[str, str] | None:
    last = ran.lines[-1][:200] if ran.lines else ""
    if ran.code < 0:
        return "crashed", f"ended by signal {-ran.code} after {ran.seconds:.0f} s"
    if ran.seconds > SECONDS:
        return "too slow", f"{ran.seconds:.0f} s"
    if ran.megabytes > MEGABYTES:
        return "too large", f"{ran.megabytes:.0f} MB"
    if any("Traceback (most recent call last)" in line for line in ran.lines):
        return "traceback", last
    return None


def _clear(lines: list[str]) -> tuple[str, str]:
    """Judge the lines of a refusal."""
    reasons = [line for line in lines if line.lstrip().startswith(REASONS)] or lines[-1:]
    clear = all(10 <= len(line) <= 1500 and ":" in line for line in reasons)
    return ("refused", "") if clear and reasons else ("unclear", repr(reasons)[:300])


def _judged(kind: Kind, place: Path, copied: Path, expected: Any) -> tuple[str, str]:
    """Compare a result with that of the undamaged input, else with that of a clean file."""
    found = _result(place)
    if _equal(found, expected):
        return "right", ""
    against_good = f"undamaged: {_difference(found, expected)}"
    if kind.rewrite is None:
        return "wrong", against_good
    try:
        kind.rewrite(copied)
    except Exception as error:  # other software's own errors
        return "wrong", f"{against_good}; other software: {error!r}"[:500]
    ran = _forked(kind.words(copied), copied / "log.txt")
    if ran.code:
        return "wrong", f"{against_good}; a clean file with the same content: {ran.lines[-1:]}"
    clean = _result(copied)
    same = _equal(found, clean)
    return ("changed", "") if same else ("wrong", f"clean: {_difference(found, clean)}")


def _difference(found: Any, expected: Any) -> str:
    if isinstance(found, dict) and isinstance(expected, dict):
        names = found.keys() | expected.keys()
        return f"differ: {sorted(n for n in names if found.get(n) != expected.get(n))}"[:300]
    return f"{found} instead of {expected}"


def _result(place: Path) -> Any:
    """Return volume and centre of the mask, or digests of what was prepared."""
    out = place / "out"
    if not (out / "datalist.json").is_file():
        return [volume_and_centre(mask) for mask in sorted(out.glob("*/mask.nii.gz"))]
    digests = contents(place, (*VARYING, "content"))  # the hash of a scan's files
    return {name: digest for name, digest in digests.items() if name.startswith("out/")}


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, dict) or len(first) != len(second) or len(first) != 1:
        return bool(first == second)
    (volume, centre), (other, other_centre) = first[0], second[0]
    near = np.allclose(centre, other_centre, rtol=0, atol=CENTRE_MM, equal_nan=True)
    return bool(near and abs(volume - other) <= VOLUME_SHARE * other)


def _forked(words: list[str], log: Path) -> Ran:
    """Run the command line in a forked process."""
    started = time.perf_counter()
    child = os.fork()
    if not child:
        _run_and_exit(words, log)
    while True:
        process, status, usage = os.wait4(child, os.WNOHANG)
        if process:
            break
        if time.perf_counter() - started > HANGS * SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    seconds = usage.ru_utime + usage.ru_stime
    return Ran(os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss / 1024, lines)


def _run_and_exit(words: list[str], log: Path) -> None:
    code = 70
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        try:
            main(words)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)
