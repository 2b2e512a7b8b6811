"""Data set that a bundle is trained on, as declared in its ``metadata.json``.

``"data_set": {"name": "folder", "kind": "instances"}`` is ``prepare folder --kind instances``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.storage.files import read_json
from scripts.storage.shipped import shipped

KEY = "data_set"


@dataclass(frozen=True)
class DeclaredDataSet:
    """Data set declared by a bundle.

    Args:
        name: NAME in ``python -m scripts prepare NAME``.
        options: options of that command, which determine the kind of labels.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the entry for ``metadata.json``."""
        return {"name": self.name, **self.options}


def declared_data_set(bundle: str | Path) -> DeclaredDataSet:
    """Read the data set that a bundle declares.

    Raises:
        ValueError: when its metadata do not name one.
        OSError: when it has no metadata.
    """
    file = shipped(Path(bundle) / "configs" / "metadata.json")
    entry = read_json(file).get(KEY)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise ValueError(
            f'{file}: {KEY} must name the data set of `prepare`, such as {{"name": "folder"}}, '
            f"got {entry!r}"
        )
    options = {key: value for key, value in entry.items() if key != "name"}
    return DeclaredDataSet(entry["name"], options)
