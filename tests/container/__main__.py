"""``python -m tests.container OUTPUT``: the Containerfile's steps in a new venv, then one study.

Files are copied as COPY says, ``RUN python -m pip`` runs with the venv's Python, and the
ENTRYPOINT with the venv's programs and the mounted folders as folders of OUTPUT. Steps that need a
system of their own (users, /packages) are listed as not run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.container.steps import Step, read_steps

ROOT = Path(__file__).resolve().parents[2]


def copy(step: Step, source: Path) -> None:
    """Copy files as COPY does; those of other folders than the build's are not copied."""
    *names, target = step.words
    if target.startswith("/"):
        print(f"not run: COPY {step.text}")
        return
    for name in names:
        to = source / target if target not in (".", "./") else source / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, to)


def main() -> int:
    """Run the steps; return the exit code of the prediction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="new folder for venv, copies and results")
    parser.add_argument("--data", type=Path, required=True, help="folder to mount as /data")
    parser.add_argument("--model", type=Path, required=True, help="package to mount as /model.zip")
    parser.add_argument("--build-arg", action="append", default=[], help="NAME=VALUE")
    given = parser.parse_args()
    output = given.output.resolve()
    source, venv = output / "source", output / "venv"
    source.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    path = f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"
    steps = read_steps(
        ROOT / "Containerfile", dict(word.partition("=")[::2] for word in given.build_arg)
    )
    environment, command = {**os.environ, "PATH": path}, []
    places = {"/data": given.data.resolve(), "/output": output / "results"}
    places |= {"/model.zip": given.model.resolve()}
    for step in steps:
        if step.word == "COPY":
            copy(step, source)
        elif step.word == "ENV":
            environment |= dict(word.partition("=")[::2] for word in step.words)
            environment["HOME"] = str(output)
        elif step.word == "RUN" and step.text.startswith("python -m pip"):
            print(f"RUN {step.text}", flush=True)
            subprocess.run(shlex.split(step.text), cwd=source, env=environment, check=True)
        elif step.word in ("ENTRYPOINT", "CMD"):
            command += [
                str(places[word].resolve()) if word in places else word for word in step.words
            ]
        else:
            print(f"not run: {step.word} {step.text}")
    shutil.rmtree(source)
    (output / "results").mkdir()
    print(shlex.join(command), flush=True)
    return subprocess.run(command, cwd=output / "results", env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
