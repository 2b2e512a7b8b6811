"""How many scans a second are prepared, and does memory stay flat?

    python tests/benchmarks/bench_preparation.py [--scans 12] [--slices 200] [--jobs 2]
                                                 [--computed-lungs]

Writes made-up 512 x 512 CTs (.mhd with .raw, seg-lungs) into a temporary folder and prepares a
third of them and then all, each in a command of its own as a user would. Prints scans a second
with and without the start of the processes, and the largest memory of one worker in either run:
they are equal when memory does not grow with the number of scans. The figure to reach is 1 scan
a second on 2 cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_up_scans import write_cohort

from scripts.running.workers import peak_memory_mb


def seconds(source: Path, output: Path, jobs: int) -> tuple[float, float]:
    """Prepare; return wall seconds and the largest process' memory in MB."""
    command = [sys.executable, "-m", "scripts", "prepare", "luna16", f"--source={source}"]
    command += [f"--output={output}", "--split=nodule", "--slices=all", f"--jobs={jobs}"]
    started, largest = time.perf_counter(), 0.0
    running = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while running.poll() is None:
        largest = max([largest, *session_memory_mb(running.pid)])
        time.sleep(0.1)
    if running.returncode:
        raise SystemExit(f"exit code {running.returncode}: {' '.join(command)}")
    return time.perf_counter() - started, largest


def session_memory_mb(leader: int) -> list[float]:
    """Largest memory so far (MB) of every process of a session; Linux."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            if session == leader:
                found.append(peak_memory_mb(int(folder.name)))
        except (OSError, ValueError):
            continue  # it ended meanwhile
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scans", type=int, default=12)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--computed-lungs", action="store_true")
    arguments = parser.parse_args()
    fewer = max(3, arguments.scans // 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count, part in ((fewer, "few"), (arguments.scans, "many")):
            lungs = not arguments.computed_lungs
            write_cohort(folder / part, scans=count, slices=arguments.slices, lungs=lungs)
        few, few_mb = seconds(folder / "few", folder / "out_few", arguments.jobs)
        many, many_mb = seconds(folder / "many", folder / "out_many", arguments.jobs)
    rate = (arguments.scans - fewer) / (many - few)
    print(f"{fewer} scans: {few:.1f} s, largest process {few_mb:.0f} MB")
    print(f"{arguments.scans} scans: {many:.1f} s, largest process {many_mb:.0f} MB")
    print(f"{arguments.scans / many:.2f} scans a second with the start, {rate:.2f} without it")


if __name__ == "__main__":
    main()
