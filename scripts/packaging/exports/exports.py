"""Exports of a package's network, for use without this project: pt2, ONNX, TorchScript."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from custom_nets.folding import FoldedCopy
from scripts.bundle.record import sha256_of
from scripts.packaging.exports.exported_program import description_of, run_program, write_program
from scripts.packaging.exports.onnx_file import export_onnx, run_onnx
from scripts.packaging.exports.torchscript import export_torchscript, run_torchscript
from scripts.packaging.network_format import VOLUME, spatial_dims
from scripts.running.options import read_words
from scripts.running.progress import Progress
from scripts.running.reasons import one_line
from scripts.storage.files import read_json

logger = logging.getLogger(__name__)

PT2, ONNX, TORCHSCRIPT = "pt2", "onnx", "torchscript"
FORMATS = (PT2, ONNX, TORCHSCRIPT)
END_OF_TORCHSCRIPT = (3, 14)
"""The version of Python from which PyTorch has no TorchScript."""

TOLERANCE = 1e-3  # largest difference of logits, relative to the largest one if that is above 1
SEED = 0
SHAPES = {
    2: ((1, 64, 64), (2, 50, 70), (1, 256, 192)),  # batch, height, width
    VOLUME: ((1, 32, 32, 32), (2, 27, 38, 21), (1, 56, 40, 48)),  # and slices
}

Network = Callable[[torch.Tensor], torch.Tensor]


def check_exports(value: object) -> tuple[str, ...]:
    """Read the names of formats; return them in the order of :data:`FORMATS`.

    Raises:
        ValueError: for an unknown name, or TorchScript under a Python that has none.

    Example:
        >>> check_exports("onnx,pt2")
        ('pt2', 'onnx')
    """
    asked = read_words("exports", value)
    if unknown := [name for name in asked if name not in FORMATS]:
        raise ValueError(f"exports: must be of {', '.join(FORMATS)}, got {', '.join(unknown)}")
    if TORCHSCRIPT in asked:
        if sys.version_info >= END_OF_TORCHSCRIPT:
            raise ValueError("exports: PyTorch has no torchscript under Python 3.14; use pt2")
        logger.warning(
            "exports: torchscript is deprecated in PyTorch and ends with Python 3.14; use pt2 "
            "unless a program needs it"
        )
    return tuple(name for name in FORMATS if name in asked)


def export_program(
    bundle: Path, network: nn.Module, settings: Mapping[str, Any], *, channels: int
) -> Path:
    """Export a network as ``models/model.pt2`` of an unpacked bundle.

    Args:
        bundle: folder with configs and ``models/model.pt``.
        network: as inference runs it, with its norms folded or not.
        settings: of the model file.
        channels: of the input.
    """
    models, metadata = bundle / "models", read_json(bundle / "configs" / "metadata.json")
    description = description_of(metadata, settings, weights_sha256=sha256_of(models / "model.pt"))
    path = models / "model.pt2"
    return write_program(
        network, path, channels=channels, metadata=metadata, description=description
    )


def compared(
    exported: Network,
    network: nn.Module,
    *,
    channels: int,
    shapes: Sequence[Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Compare the logits of an exported network with those of the eager float32 network.

    Args:
        exported: the network loaded from the file.
        network: the network that was exported.
        channels: number of input channels.
        shapes: batch and sides of each random image in [0, 1]; None for :data:`SHAPES`.

    Returns:
        Largest difference and logit, tolerance, and the images compared.

    Raises:
        ValueError: when the shapes differ, or the logits by more than :data:`TOLERANCE`.
    """
    random = torch.Generator().manual_seed(SEED)
    shapes = SHAPES[spatial_dims(network)] if shapes is None else shapes
    largest, logit = 0.0, 0.0
    for batch, *sides in shapes:
        image = torch.rand(batch, channels, *sides, generator=random)
        with torch.no_grad():
            expected, actual = network(image), _run(exported, image)
        if actual.shape != expected.shape:
            raise ValueError(
                f"export: must give shape {tuple(expected.shape)} as the network does, gives "
                f"{tuple(actual.shape)}; it is not packaged"
            )
        largest = max(largest, float((actual - expected).abs().max()))
        logit = max(logit, float(expected.abs().max()))
    if not largest <= TOLERANCE * max(1.0, logit):
        raise ValueError(
            f"export: differs from the network by up to {largest:g} (logits reach {logit:g}), more "
            f"than {TOLERANCE:g} of that; it is not packaged"
        )
    return {
        "largest_difference": largest,
        "largest_logit": logit,
        "tolerance": TOLERANCE * max(1.0, logit),
        "compared_with": "the network in PyTorch, eager, float32, on the CPU",
        "images": [[batch, channels, *sides] for batch, *sides in shapes],
        "seed": SEED,
    }


def _run(exported: Network, image: torch.Tensor) -> torch.Tensor:
    """Run an exported network; its software has errors of its own types."""
    try:
        return exported(image)
    except Exception as error:
        raise ValueError(
            f"export: cannot be run on images of {list(image.shape)} (B, C, H, W, ...): "
            f"{one_line(error)[:300]}; it is not packaged, leave the option out"
        ) from error


def export_all(
    bundle: Path,
    network: nn.Module,
    formats: Sequence[str],
    settings: Mapping[str, Any],
    *,
    channels: int,
    folded: bool,
) -> dict[str, Any]:
    """Write the requested exports into a bundle; return the comparison of each, by file name.

    Args:
        bundle: folder with configs and ``models/model.pt``.
        network: with its trained weights, in eval mode, on the CPU.
        formats: of :data:`FORMATS`.
        settings: of the model file.
        channels: of the input.
        folded: whether inference folds batch norms: then pt2 and torchscript have them folded too,
            so that they compute what ``predict`` does.

    Raises:
        ValueError: for a network that cannot be exported, or an export that differs from it.
    """
    comparisons: dict[str, Any] = {}
    inferred = FoldedCopy().of(network) if formats and folded else network
    exports: dict[str, tuple[Callable[[], Path], Callable[[Path], Network]]] = {
        PT2: (lambda: export_program(bundle, inferred, settings, channels=channels), run_program),
        ONNX: (
            lambda: export_onnx(network, bundle / "models" / "model.onnx", channels=channels),
            run_onnx,
        ),
        TORCHSCRIPT: (lambda: export_torchscript(bundle, inferred), run_torchscript),
    }
    steps = 2 * len(formats)  # each is written, then compared
    with Progress(total=steps, desc="exports", unit="step", disable=not formats) as progress:
        for name in formats:
            write, load = exports[name]
            path = write()
            progress.update()
            figures = compared(load(path), network, channels=channels)
            progress.update()
            comparisons[path.name] = {"sha256": sha256_of(path), **figures}
    return comparisons
