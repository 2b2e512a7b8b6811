"""Export of a package's network to TorchScript and ONNX, for use without this project."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from monai.data import load_net_with_metadata, save_net_with_metadata
from monai.networks.utils import convert_to_onnx, convert_to_torchscript
from torch import nn

from custom_nets.folding import FoldedCopy
from scripts.bundle.record import sha256_of
from scripts.packaging.network_format import VOLUME, spatial_dims
from scripts.storage.files import atomic_path
from scripts.storage.options import read_truth

TOLERANCE = 1e-3  # largest difference of logits, relative to the largest one if that is above 1
SEED = 0
SHAPES = {
    2: ((1, 64, 64), (2, 50, 70), (1, 256, 192)),  # batch, height, width
    VOLUME: ((1, 32, 32, 32), (2, 27, 38, 21), (1, 56, 40, 48)),  # and slices
}
EXAMPLE = {2: (2, 64, 96), VOLUME: (2, 32, 48, 24)}  # all different: axes cannot be confused
WRITTEN_BY_TORCH = ("version", "byteorder", ".data/serialization_id")
CONSTANTS = re.compile(r"(?:^  \w+ : Final\[.*\] = .*\n)+", re.MULTILINE)

Network = Callable[[torch.Tensor], torch.Tensor]


def export_torchscript(bundle: Path, network: nn.Module) -> Path:
    """Export a network as ``models/model.ts`` of an unpacked bundle.

    As by ``monai.bundle ckpt_export`` the file contains ``metadata.json`` and ``inference.json``,
    which MONAI Deploy reads. If inference folds batch norms, they are folded here, so that Deploy
    computes what ``predict`` does.

    Args:
        bundle: folder with configs; ``models/model.ts`` is added.
        network: with its trained weights, in eval mode, on the CPU.
    """
    path = bundle / "models" / "model.ts"
    path.parent.mkdir(exist_ok=True)
    metadata, inference = (
        json.loads((bundle / "configs" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("metadata", "inference")
    )
    folds = read_truth("fold_norms", inference.get("fold_norms", False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates functions that MONAI uses here
        save_net_with_metadata(
            convert_to_torchscript(FoldedCopy().of(network) if folds else network),
            str(path),
            include_config_vals=False,
            append_timestamp=False,
            meta_values=metadata,
            more_extra_files={"inference.json": json.dumps(inference).encode()},
        )
    _rewrite_torchscript(path)
    return path


def _rewrite_torchscript(path: Path) -> None:
    """Remove the paths of source files, and make the file reproducible.

    torch writes the constants of a class in an order that differs between processes.
    """
    reader = torch._C.PyTorchFileReader(str(path))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        rewritten = Path(folder, path.name)  # torch writes the file's name into the file
        writer = torch._C.PyTorchFileWriter(str(rewritten))
        for name in sorted(reader.get_all_records()):
            if name.endswith(".debug_pkl") or name in WRITTEN_BY_TORCH:
                continue
            content = reader.get_record(name)
            if name.startswith("code/"):
                content = CONSTANTS.sub(_in_order, content.decode()).encode()
            writer.write_record(name, content, len(content))
        writer.write_end_of_file()
        rewritten.replace(path)


def _in_order(lines: re.Match[str]) -> str:
    return "".join(sorted(lines.group().splitlines(keepends=True)))


def export_onnx(network: nn.Module, path: Path, *, channels: int) -> Path:
    """Export a network with input ``image`` and output ``pred``, for any batch and size.

    The exporter's notes on source files on this machine are removed.

    Args:
        network: network in eval mode, on the CPU.
        path: file to write.
        channels: number of input channels.

    Raises:
        ValueError: when torch cannot export it.
    """
    batch, *sides = EXAMPLE[spatial_dims(network)]
    free = dict.fromkeys((0, *range(2, 2 + len(sides))), torch.export.Dim.DYNAMIC)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from the exporter about its own code
            model = convert_to_onnx(
                network,
                [torch.zeros(batch, channels, *sides)],
                input_names=["image"],
                output_names=["pred"],
                dynamic_shapes=(free,),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises many types
        raise ValueError(f"with_onnx: torch cannot export this network: {error}") from error
    _remove_sources(model)
    with atomic_path(path) as part:
        onnx.save(model, str(part))
    return path


def _remove_sources(model: Any) -> None:
    """Remove the exporter's notes from all nodes and values of an ONNX model."""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        values = () if graph is not model.graph else (*graph.input, *graph.output)
        initial = () if graph is not model.graph else graph.initializer
        for item in (graph, *graph.node, *graph.value_info, *values, *initial):
            item.doc_string = ""
            del item.metadata_props[:]


def run_torchscript(path: Path) -> Network:
    """Load a TorchScript file on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates functions that MONAI uses here
        network, _, _ = load_net_with_metadata(str(path), map_location=torch.device("cpu"))
    network.eval()
    return network  # type: ignore[no-any-return]


def run_onnx(path: Path) -> Network:
    """Load an ONNX file with ONNX Runtime on the CPU, as a function of tensors.

    It can be used as the network of MONAI's inferers.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def network(image: torch.Tensor) -> torch.Tensor:
        (pred,) = session.run(["pred"], {"image": np.ascontiguousarray(image.numpy())})
        return torch.from_numpy(pred)

    return network


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
            f"{' '.join(str(error).split())[:300]}; it is not packaged, leave the option out"
        ) from error


def export_all(
    bundle: Path, network: nn.Module, *, channels: int, torchscript: bool, with_onnx: bool
) -> dict[str, Any]:
    """Write the requested exports into a bundle; return the comparison of each, by file name."""
    comparisons: dict[str, Any] = {}
    exports: list[tuple[Path, Callable[[Path], Network]]] = []
    if torchscript:
        exports.append((export_torchscript(bundle, network), run_torchscript))
    if with_onnx:
        path = export_onnx(network, bundle / "models" / "model.onnx", channels=channels)
        exports.append((path, run_onnx))
    for path, load in exports:
        figures = compared(load(path), network, channels=channels)
        comparisons[path.name] = {"sha256": sha256_of(path), **figures}
    return comparisons
