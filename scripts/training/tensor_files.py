"""Atomic writing of files of tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scripts.storage.files import atomic_path, clear_leftovers

MODEL_FILE = "model.pt"
"""Name of a run's result, as in MONAI's bundles."""


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Save plain Python and tensors with ``torch.save``; an older file is replaced at the end.

    Raises:
        OSError: when the disk is full or the folder cannot be written, naming the file.
    """
    try:
        with atomic_path(path) as part:
            torch.save(content, part)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise OSError(
            f"output_dir: cannot write {path}: {error}; earlier files are unchanged; make room "
            "or allow writing, and continue with resume=true"
        ) from error
    clear_leftovers(path)  # of processes that were killed while writing
