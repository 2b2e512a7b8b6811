"""Full disks and folders without permission: one line, nothing half written, and it goes on after.

Both need root on Linux: a small file system in memory is mounted, and setpriv takes from a command
the right to write everywhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.torture.kills import ROOT, Workplace, contents, must, start

WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


def full_disk(place: Workplace) -> list[str]:
    """Run prepare, training and predict on a disk that is too small, then on one that is not."""
    if not _is_root():
        return []
    failures = []
    cases: list[tuple[str, Callable[[Path], list[str]], tuple[str, ...], str]] = [
        ("prepare", place.prepare, (), "60k"),
        ("training", place.train, ("--resume", "true"), "30m"),
        ("predict", place.predict, (), "16k"),
    ]
    for name, words, resumed, size in cases:
        disk, reference = place.folder / f"disk-{name}", place.folder / f"whole-{name}"
        must(words(reference / "out"))
        disk.mkdir()
        _mount(disk, size)
        try:
            process = start(words(disk / "out"))
            printed = process.communicate()[0].strip().splitlines()
            failures += _judge(f"{name} on a full disk", process.returncode, printed)
            subprocess.run(["mount", "-o", "remount,size=2g", str(disk)], check=True)
            must([*words(disk / "out"), *resumed])
            if contents(disk) != contents(reference):
                failures.append(f"{name} on a full disk: repeated, the result differs")
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        shutil.rmtree(reference)
        print(f"  {name} on a full disk: {printed[-1:]}", flush=True)
    return failures


def _mount(disk: Path, size: str) -> None:
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    subprocess.run(words, check=True)


def no_permission(place: Workplace) -> list[str]:
    """Run commands that may not write into the folder of the output."""
    if not _is_root():
        return []
    closed = place.folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    commands = {
        "prepare": place.prepare(closed / "prepared"),
        "training": place.train(closed / "trained"),
        "predict": place.predict(closed / "predicted"),
        "package": place.package(closed / "lung.zip"),
    }
    failures = []
    for name, words in commands.items():
        code, printed = _without_rights(words)
        failures += _judge(f"{name} without permission", code, printed)
        print(f"  {name} without permission: {printed[-1:]}", flush=True)
    if any(closed.iterdir()):
        failures.append("without permission: something was written")
    return failures


def _without_rights(words: Sequence[str]) -> tuple[int, list[str]]:
    process = subprocess.run(
        [*WITHOUT_RIGHTS, sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, (process.stdout + process.stderr).strip().splitlines()


def _judge(name: str, code: int, printed: Sequence[str]) -> list[str]:
    """Ask for an exit code other than 0 and one last line that says why."""
    last = printed[-1] if printed else ""
    if code == 0:
        return [f"{name}: exit code 0"]
    if not any(word in last for word in ("No space", "disk is full", "ermission", "cannot write")):
        return [f"{name}: the last line is {last[:200]!r}"]
    return []


def _is_root() -> bool:
    if sys.platform == "linux" and os.geteuid() == 0:
        return True
    print("  full disks and permissions: skipped, they need root on Linux")
    return False
