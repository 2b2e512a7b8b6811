"""The folder of a synthetic cohort: options checked, claimed once, completed later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.phantom.metaimage import write_whole


def check_whole(options: Mapping[str, tuple[object, int, int]]) -> None:
    """Refuse options (value, lowest, highest) that are no whole numbers in their range.

    Raises:
        ValueError: naming the option, its rule and what came.
    """
    for name, (value, low, high) in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")


def claim_folder(folder: Path, options: Mapping[str, Any], patients: int, readme: str) -> Path:
    """Make the folder ready for a cohort, or find the same cohort begun there.

    Args:
        folder: where the cohort goes.
        options: what its images depend on, kept in cohort.json.
        patients: how many; may grow.
        readme: the notice for README.txt.

    Raises:
        FileExistsError: if it holds other files or a cohort with other options.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output must be a folder, {folder} is a file; name another")
    made = folder / "cohort.json"
    content = {**options, "patients": patients}
    if made.is_file():
        found = json.loads(made.read_text(encoding="utf-8"))
        fixed = {key: value for key, value in content.items() if key != "patients"}
        if {key: found.get(key) for key in fixed} != fixed or found["patients"] > patients:
            raise FileExistsError(
                f"{folder} holds a cohort made with {found}, asked for {content}; use the same "
                "options (patients may grow) or another folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} is not empty and holds no cohort of this command; name an empty folder"
        )
    write_whole(made, lambda beside: beside.write_text(json.dumps(content, indent=1) + "\n"))
    write_whole(folder / "README.txt", lambda beside: beside.write_text(readme))
    return folder
