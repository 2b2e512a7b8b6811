"""``python -m tests.torture``: about ten minutes on two cores; exit code 1 when anything failed."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.disks import full_disk, no_permission
from tests.torture.garbage import damaged_inputs
from tests.torture.kills import COMMANDS, Workplace, killed_commands

PARTS = ("kills", "disks", "garbage")


def main() -> int:
    """Run the parts that were asked for, and print what failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of every random choice")
    parser.add_argument("--kills", type=int, default=3, help="kills of each command")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS, help="to kill")
    parser.add_argument("--inputs", type=int, default=1000, help="damaged inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first damaged input")
    parser.add_argument("--keep", type=Path, help="folder for damaged inputs that fail")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        place = Workplace(Path(folder))
        for part in options.parts:
            started = time.perf_counter()
            chance = random.Random(f"{options.seed} {part}")
            if part == "kills":
                found = killed_commands(place, chance, kills=options.kills, names=options.commands)
            elif part == "disks":
                found = [*full_disk(place), *no_permission(place)]
            else:
                found = damaged_inputs(
                    place.folder / "garbage",
                    options.seed,
                    first=options.first,
                    count=options.inputs,
                    keep=options.keep,
                ).failures
            failures += found
            print(f"{part}: {len(found)} failures in {time.perf_counter() - started:.0f} s")
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"torture, seed {options.seed}: {len(failures)} failures")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
