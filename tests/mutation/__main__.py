"""Mutation test of the core modules: small faults are put into them, and their tests must fail.

``make mutate`` runs mutmut on a seeded sample of the mutants of each module that setup.cfg lists
under ``[mutmut] only_mutate``, with the tests listed there, and prints how many were noticed. A
mutant that survives is equivalent (no input tells it from the original), or a test is missing:
``.venv/bin/mutmut show NAME`` prints it. Mutants are made in ``mutants/``, never in the sources.
"""

from __future__ import annotations

import argparse
import configparser
import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import get_mutant_name

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "mutants"
SETTINGS = ROOT / "setup.cfg"
# mutmut counts these as noticed: a test failed, or ran for many times its usual duration
NOTICED = ("killed", "timeout", "segfault")


def core_modules(settings: Mapping[str, str]) -> list[Path]:
    """Return the listed modules; refuse one that is gone, or whose tests are not listed."""
    modules = [Path(name) for name in settings["only_mutate"].split()]
    tests = settings["pytest_add_cli_args_test_selection"].split()
    for module in modules:
        if not (ROOT / module).is_file():
            raise SystemExit(f"setup.cfg, only_mutate: no such module: {module}")
        if (own := f"tests/{module.parent}/test_{module.name}") not in tests:
            raise SystemExit(f"setup.cfg, pytest_add_cli_args_test_selection: {own} is missing")
    return modules


def sample(module: Path, count: int, seed: int) -> list[str]:
    """Return the names of ``count`` mutants of a module, of all for 0."""
    source = (ROOT / module).read_text(encoding="utf-8")
    names = mutate_file_contents(str(module), source).mutant_names
    chosen = names if count == 0 else random.Random(seed).sample(names, min(count, len(names)))
    return [get_mutant_name(module, name) for name in chosen]


def outcomes(module: Path, names: Sequence[str]) -> dict[str, str]:
    """Return mutant -> "killed", "survived" or another status of mutmut."""
    found = json.loads((WORK / f"{module}.meta").read_text())["exit_code_by_key"]
    return {name: status_by_exit_code[found[name]] for name in names}


def report(results: Mapping[Path, Mapping[str, str]]) -> None:
    """Print a row for each module, and the mutants that were not noticed or ran out of time.

    A mutant that runs out of time never ends, unless the machine was too busy for its tests.
    """
    print(f"\n{'module':<44}{'mutants':>9}{'noticed':>9}{'survived':>9}")
    total: Counter[bool] = Counter()
    for module, statuses in results.items():
        found = Counter(status in NOTICED for status in statuses.values())
        total += found
        print(f"{module!s:<44}{len(statuses):>9}{found[True]:>9}{found[False]:>9}")
    print(f"{'all':<44}{total.total():>9}{total[True]:>9}{total[False]:>9}")
    share = 100 * total[False] / max(1, total.total())
    print(f"{share:.1f} % not noticed; to see one: .venv/bin/mutmut show NAME\n")
    for statuses in results.values():
        for name, status in statuses.items():
            if status != "killed":
                print(f"{status}: {name}")


def main() -> None:
    """Draw mutants, run mutmut on them, and report."""
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("modules", nargs="*", type=Path, help="of the list; all by default")
    parser.add_argument("--each", type=int, default=8, help="mutants of a module; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    settings = configparser.ConfigParser()
    settings.read(SETTINGS)
    listed = core_modules(settings["mutmut"])
    if unknown := [str(module) for module in options.modules if module not in listed]:
        raise SystemExit(f"not listed in setup.cfg, only_mutate: {', '.join(unknown)}")
    settings_used = WORK / "setup.cfg"
    if settings_used.is_file() and settings_used.read_bytes() != SETTINGS.read_bytes():
        shutil.rmtree(WORK)  # mutmut would keep a module that is new on the list unchanged
    drawn = {m: sample(m, options.each, options.seed) for m in options.modules or listed}
    command = [str(Path(sys.executable).with_name("mutmut")), "run"]
    command += ["--max-children", str(options.processes)]
    command += [name for names in drawn.values() for name in names]
    subprocess.run(command, cwd=ROOT, check=True)
    report({module: outcomes(module, names) for module, names in drawn.items()})


if __name__ == "__main__":
    main()
