"""What an exported network must give: the logits of the network in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import torch
from monai.data import load_net_with_metadata

TOLERANCE = 1e-4  # of logits, which are of the order of 1


def check_torchscript(path: Path, eager: torch.nn.Module) -> dict[str, Any]:
    """Compare on two sizes of image; return the metadata in the file."""
    exported, metadata, _ = load_net_with_metadata(str(path))
    for shape in [(2, 3, 64, 64), (1, 3, 50, 70)]:
        image = torch.rand(shape)
        with torch.no_grad():
            torch.testing.assert_close(exported(image), eager(image), atol=TOLERANCE, rtol=0)
    return dict(metadata)


def check_onnx(path: Path, eager: torch.nn.Module) -> None:
    """Compare in ONNX Runtime, on a batch of two."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = torch.rand(2, 3, 64, 64)
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), eager(image), atol=TOLERANCE, rtol=0)
