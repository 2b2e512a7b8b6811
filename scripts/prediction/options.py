"""Options of a prediction, checked before anything is read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.prediction.products import PRODUCTS, USUAL


@dataclass(frozen=True)
class Options:
    """The choices that decide what comes out; see :func:`scripts.prediction.command.predict`.

    Attributes:
        bundle: the bundle's folder.
        config_files: overlays of its configs/inference.json, later ones win.
        checkpoints: files of trained weights; empty for the bundle's own.
        unchecked_model: accept weights that do not say how they were trained.
        threshold: probability, or None for the model's.
        flips: world axes along which the CT is flipped for further passes.
        device: as torch names it; empty for the config's.
        engine: of :data:`scripts.prediction.network.engines.ENGINES`.
        products: names of :data:`scripts.prediction.products.PRODUCTS`, in their order.
        progress: show progress within a CT.
    """

    bundle: Path
    config_files: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    unchecked_model: bool = False
    threshold: float | None = None
    flips: tuple[str, ...] = ()
    device: str = ""
    engine: str = "torch"
    products: tuple[str, ...] = USUAL
    progress: bool = False

    def record(self) -> dict[str, Any]:
        """Return them for the manifest, without folders, which may be named after a patient."""
        names = {
            "bundle": self.bundle.resolve().name,
            "config_files": [Path(name).name for name in self.config_files],
            "checkpoints": [Path(name).name for name in self.checkpoints],
        }
        kept = {key: value for key, value in asdict(self).items() if key != "progress"}
        return {**kept, **names}


def words_of(name: str, value: object) -> tuple[str, ...]:
    """Read a list as a command line gives it: ``a,b``, ``["a", "b"]`` or one word.

    Raises:
        ValueError: for anything else.

    Example:
        >>> words_of("flips", "x, y"), words_of("flips", ("x",)), words_of("flips", None)
        (('x', 'y'), ('x',), ())
    """
    if value is None or value == "":
        return ()
    if isinstance(value, (str, Path)):
        return tuple(word.strip() for word in str(value).split(",") if word.strip())
    if isinstance(value, Sequence) and all(isinstance(word, (str, Path)) for word in value):
        return tuple(map(str, value))
    raise ValueError(f"{name}: must be words with commas between them, got {value!r}")


def check_flips(value: object) -> tuple[str, ...]:
    """Read the axes to flip.

    Raises:
        ValueError: for anything but x and y; the slices above and below, which the network sees
            as channels, forbid z.
    """
    flips = words_of("flips", value)
    if len(set(flips)) < len(flips) or not set(flips) <= {"x", "y"}:
        raise ValueError(f"flips: must be x, y or x,y, got {','.join(flips)!r}")
    return tuple(sorted(flips))


def check_threshold(value: object) -> float | None:
    """Read the probability from which on a voxel counts.

    Raises:
        ValueError: for anything but a number between 0 and 1.
    """
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < 1:  # type: ignore[operator]
        raise ValueError(f"threshold: must be a probability between 0 and 1, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def check_products(value: object, *, rtstruct: bool = False) -> tuple[str, ...]:
    """Read what is to be written, in the order of the table.

    Raises:
        ValueError: for a name that is not in it.
    """
    asked = words_of("products", value) or USUAL
    unknown = [name for name in asked if name not in PRODUCTS]
    if unknown:
        raise ValueError(f"products: must be of {', '.join(PRODUCTS)}, got {', '.join(unknown)}")
    wanted = {*asked, "rtstruct"} if rtstruct else set(asked)
    return tuple(name for name in PRODUCTS if name in wanted)


def check_files(name: str, value: object) -> tuple[str, ...]:
    """Read a list of files that must be there.

    Raises:
        FileNotFoundError: naming the first that is not.
    """
    files = words_of(name, value)
    for file in files:
        if not os.path.isfile(file):
            raise FileNotFoundError(f"{name}: no such file: {file}")
    return files


def check_device(value: object) -> str:
    """Read a device's name.

    Raises:
        ValueError: for anything but cpu, cuda, cuda:0 ..., and for a GPU that is not there: torch
            would say so only when the network goes there, in words of its own.
    """
    text = "" if value is None else str(value)
    if text and not re.fullmatch(r"cpu|cuda(:\d+)?|mps", text):
        raise ValueError(f"device: must be cpu, cuda, cuda:0 ... or mps, got {text!r}")
    if text.startswith("cuda"):
        there, number = torch.cuda.device_count(), torch.device(text).index or 0
        if number >= there:
            raise ValueError(f"device: {text} is not here; PyTorch sees {there} CUDA GPUs, use cpu")
    if text == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device: PyTorch sees no mps on this machine; use cpu")
    return text
