"""Reading a Containerfile: its instructions in order, with the arguments filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

VARIABLE = re.compile(r"\$\{(\w+)\}")


class Step(NamedTuple):
    """One instruction, such as RUN, and its text."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of the exec form, a JSON list, or of plain text."""
        return json.loads(self.text) if self.text.startswith("[") else self.text.split()


def read_steps(file: Path, arguments: Mapping[str, str] = {}) -> list[Step]:
    """Read the instructions of a Containerfile.

    Args:
        file: the Containerfile.
        arguments: of the build, in place of the defaults of ARG.

    Raises:
        KeyError: for a variable without ARG, or an argument that the file does not declare.
    """
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    steps, values = [], {}
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "ARG":
            name, _, default = rest.partition("=")
            values[name] = arguments.get(name, default)
        steps.append(Step(word, VARIABLE.sub(lambda match: values[match[1]], rest.strip())))
    if unknown := set(arguments) - set(values):
        raise KeyError(f"the Containerfile has no ARG {', '.join(sorted(unknown))}")
    return steps
