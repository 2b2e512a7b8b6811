"""The data set that a bundle learns, as its ``metadata.json`` declares it.

``"data_set": {"name": "folder", "kind": "instances"}`` is ``prepare folder --kind instances``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEY = "data_set"


@dataclass(frozen=True)
class DeclaredDataSet:
    """What a bundle says of its data set.

    Args:
        name: of ``python -m scripts prepare NAME``.
        options: of that command, which decide the kind of labels.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the entry of ``metadata.json``."""
        return {"name": self.name, **self.options}


def declared_data_set(bundle: str | Path) -> DeclaredDataSet:
    """Read the data set of a bundle.

    Raises:
        ValueError: when its metadata do not name one.
        OSError: when there are no metadata.
    """
    file = Path(bundle) / "configs" / "metadata.json"
    entry = json.loads(file.read_text(encoding="utf-8")).get(KEY)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise ValueError(
            f'{file}: {KEY} must name the data set of `prepare`, such as {{"name": "folder"}}, '
            f"got {entry!r}"
        )
    options = {key: value for key, value in entry.items() if key != "name"}
    return DeclaredDataSet(entry["name"], options)
