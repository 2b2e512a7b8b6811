"""Configs and bundles that audits are tried on; running any of them would leave a mark."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[3]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def malicious_config(canary: Path) -> dict[str, Any]:
    """Run, import, or call something in every way that a config can."""
    mark = f"__import__('os').mkdir('{canary}')"
    return {
        "imports": ["$import subprocess", "$import torch"],
        "a": f"${mark}",
        "b": {"c": [{"_target_": "os.mkdir", "path": str(canary)}]},
        "e": {"_target_": "builtins.eval", "source": mark},
        "run": [f"$eval({mark!r})", "@b"],
    }


def bundle_zip(path: Path, canary: Path) -> Path:
    """Write a bundle with a malicious config, a pickle for weights, and Python."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/configs/inference.json", json.dumps(malicious_config(canary)))
        archive.writestr("evil/configs/metadata.json", '{"version": "$import socket"}')
        archive.writestr("evil/scripts/nets.py", f"import os\nos.mkdir({str(canary)!r})\n")
        archive.writestr("evil/torch.py", "")
        archive.writestr("evil/models/model.pt", torch_file(Bomb(canary), path.parent))
        archive.writestr("evil/models/extra.pkl", pickle.dumps(Bomb(canary)))
        archive.writestr("evil/../../escape.txt", "")
    return path


def torch_file(content: Any, folder: Path) -> bytes:
    """Return what torch.save writes."""
    path = folder / "saved.pt"
    torch.save(content, path)
    saved = path.read_bytes()
    path.unlink()
    return saved
