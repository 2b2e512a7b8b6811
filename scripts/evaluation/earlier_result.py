"""The result that a folder already holds: whether it is of the same model, method and data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SUMMARY = "summary.json"
DATA = "data"
"""Entry of the summary that says what it is the result of."""
IDENTITY = (
    *("model_sha256", "datalist_sha256", "section", "only_sampled_slices"),
    *("image_sha256", "method"),
)
"""Entries of that which tell one result from another."""


def refuse_another(folder: Path, present: Mapping[str, Any]) -> None:
    """Refuse to replace a result of something else; a damaged summary is no result.

    Args:
        folder: that will be written into.
        present: what the new result is of, as its summary will say, of plain JSON types.

    Raises:
        ValueError: naming what differs.
    """
    file = folder / SUMMARY
    if not file.is_file():
        return
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))[DATA]
        names = [_named(name, earlier.get(name), present.get(name)) for name in IDENTITY]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    if names := [name for name in names if name]:
        raise ValueError(
            f"output_dir: {folder} holds a result with another {', '.join(names)}; give "
            "another folder, or --overwrite true"
        )


def _named(name: str, one: Any, other: Any) -> str:
    """Name what two evaluations differ in, of a method its settings; empty if they do not.

    Example:
        >>> _named("method", {"clusters": 3, "region": "body"}, {"clusters": 2, "region": "body"})
        'method (clusters)'
    """
    if one == other:
        return ""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return name
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return f"{name} ({', '.join(keys)})"
