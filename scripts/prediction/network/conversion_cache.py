"""Networks converted for OpenVINO, kept on the disk for the next process."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scripts.prediction.network.openvino_core import openvino_core
from scripts.storage.files import PART

logger = logging.getLogger(__name__)

VARIABLE = "TRANSFER_CT_CACHE"
"""Environment variable that names another folder than that of the user's caches."""
KEPT = 8
"""Conversions that stay on the disk, those used last; each is as large as its network."""
GRAPH = "network.xml"
_OURS = re.compile(rf"[0-9a-f]{{64}}$|{re.escape(PART)}")


def cache_folder() -> Path | None:
    """Return the folder of converted networks; None for a user without a home folder.

    Below that of :data:`VARIABLE`, else below ``transfer-ct-bundles`` in the folder for caches of
    the XDG Base Directory Specification, which ignores relative paths.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named) / "openvino"
    usual = os.environ.get("XDG_CACHE_HOME", "")
    try:
        caches = Path(usual) if os.path.isabs(usual) else Path.home() / ".cache"
    except RuntimeError:
        return None
    return caches / "transfer-ct-bundles" / "openvino"


def key_of(network: nn.Module, channels: int) -> str:
    """Return the hash by which a conversion is found: of the network, its weights and software.

    The precision is no part of it, as a conversion is compiled for one later; nor is the size of
    the image, which it leaves open.
    """
    versions = [metadata.version(name) for name in ("torch", "openvino")]
    digest = hashlib.sha256(repr((versions, channels, network)).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


@dataclass(frozen=True)
class ConversionCache:
    """Conversions in a folder, each in a folder of its own that appears whole or not at all.

    Nothing depends on it: what cannot be read is absent, and what cannot be written is left out.

    Args:
        openvino: the package.
        folder: see :func:`cache_folder`.
    """

    openvino: Any
    folder: Path | None

    def read(self, key: str) -> Any:
        """Return OpenVINO's model; None if there is none that can be read."""
        if self.folder is None or not (self.folder / key).is_dir():
            return None
        try:
            model = openvino_core().read_model(self.folder / key / GRAPH)
        except Exception as error:  # OpenVINO's errors have no common class
            logger.info("cache: %s cannot be read: %s", key, error)
            return None
        with suppress(OSError):  # another user's
            os.utime(self.folder / key)
        return model

    def write(self, key: str, model: Any) -> None:
        """Keep a model in place of an earlier one, and the :data:`KEPT` used last."""
        if self.folder is None:
            return
        part: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part = Path(tempfile.mkdtemp(prefix=PART, dir=self.folder))
            self.openvino.save_model(model, part / GRAPH, compress_to_fp16=False)
            openvino_core().read_model(part / GRAPH)  # a full disk may have cut it short
            shutil.rmtree(self.folder / key, ignore_errors=True)
            part.rename(self.folder / key)
            self._remove_oldest()
        except Exception as error:  # a folder that is read-only, a full disk, another process
            logger.info("cache: %s is not kept: %s", key, error)
        finally:
            if part is not None:
                shutil.rmtree(part, ignore_errors=True)

    def _remove_oldest(self) -> None:
        """Remove what was not used for longest, also what killed processes left."""
        folders = [path for path in (self.folder or Path()).iterdir() if _OURS.match(path.name)]
        for path in sorted(folders, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)
