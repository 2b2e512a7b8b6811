"""Writing tensors to a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scripts.storage.files import atomic_path

MODEL_FILE = "model.pt"
"""Name of a run's result, as MONAI's bundles have it."""


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Save plain Python and tensors as ``torch.save`` does; an older file stays until then.

    Raises:
        OSError: when the disk is full or the folder cannot be written, naming the file.
    """
    try:
        with atomic_path(path) as beside:
            torch.save(content, beside)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise OSError(
            f"output_dir: cannot write {path}: {error}; what was there before is untouched, make "
            "room or allow writing, and go on with resume=true"
        ) from error
    for left in path.parent.glob(f".part-*-{path.name}"):
        left.unlink()  # by a process that was killed while it wrote
