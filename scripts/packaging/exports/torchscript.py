"""Export of a package's network to TorchScript, which PyTorch deprecates."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from monai.data import load_net_with_metadata, save_net_with_metadata
from monai.networks.utils import convert_to_torchscript
from torch import nn

from scripts.storage.files import read_json

WRITTEN_BY_TORCH = ("version", "byteorder", ".data/serialization_id")
CONSTANTS = re.compile(r"(?:^  \w+ : Final\[.*\] = .*\n)+", re.MULTILINE)

Network = Callable[[torch.Tensor], torch.Tensor]


def export_torchscript(bundle: Path, network: nn.Module) -> Path:
    """Export a network as ``models/model.ts`` of an unpacked bundle.

    As by ``monai.bundle ckpt_export`` the file contains ``metadata.json`` and ``inference.json``,
    which MONAI Deploy reads.

    Args:
        bundle: folder with configs; ``models/model.ts`` is added.
        network: as inference runs it, with its norms folded or not.
    """
    path = bundle / "models" / "model.ts"
    metadata, inference = (
        read_json(bundle / "configs" / f"{name}.json") for name in ("metadata", "inference")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates functions that MONAI uses here
        save_net_with_metadata(
            convert_to_torchscript(network),
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


def run_torchscript(path: Path) -> Network:
    """Load a TorchScript file on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates functions that MONAI uses here
        network, _, _ = load_net_with_metadata(str(path), map_location=torch.device("cpu"))
    network.eval()
    return network  # type: ignore[no-any-return]
