"""Atomic writing of files of tensors, and results that a newer run is about to replace.

A run that overwrites an earlier one keeps its ``model.pt`` until it has one of its own, as others
may be using it. ``outdated.json`` beside it lists such files, so that evaluation and prediction do
not take them for results of the run whose curves and records are there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scripts.bundle.record import sha256_of
from scripts.storage.files import atomic_path, clear_leftovers, read_json, write_json

MODEL_FILE = "model.pt"
"""Name of a run's result, as in MONAI's bundles."""
REDUCER_FILE = "reducer.pt"
"""Name of a second stage: the result with its operating point."""
STAGE_FOLDER = "stages"
OUTDATED = "outdated.json"


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
    _list_outdated(path, without=True)


def mark_outdated(folder: Path) -> None:
    """List the results in a run's folder as those of an earlier run.

    Args:
        folder: of ``model.pt``, of ``reducer.pt`` if there is one, and of ``stages/`` if the run
            kept the weights of stages.
    """
    files = [
        folder / MODEL_FILE,
        folder / REDUCER_FILE,
        *sorted((folder / STAGE_FOLDER).glob("*.pt")),
    ]
    hashes = {str(f.relative_to(folder)): sha256_of(f) for f in files if f.is_file()}
    if hashes:
        write_json(folder / OUTDATED, hashes)


def refuse_outdated(path: Path) -> None:
    """Refuse a result of an earlier run, which a newer run in its folder has not replaced yet.

    Raises:
        ValueError: with what to do.
    """
    if _list_outdated(path) == sha256_of(path):
        raise ValueError(
            f"ckpt_path: {path} is the result of an earlier run; the run that replaces it has not "
            "finished; let it finish, resume it with --resume true, or move the file to another "
            "folder to use it"
        )


def _list_outdated(path: Path, *, without: bool = False) -> str | None:
    """Return the hash of the outdated file of this name, if there is one.

    Args:
        path: a result.
        without: take it off the list.
    """
    for folder in (path.parent, path.parent.parent):
        marker = folder / OUTDATED
        hashes = read_json(marker) if marker.is_file() else {}
        name = str(path.relative_to(folder))
        if name not in hashes:
            continue
        outdated: str = hashes.pop(name)
        if without and hashes:
            write_json(marker, hashes)
        elif without:
            marker.unlink()
        return outdated
    return None
