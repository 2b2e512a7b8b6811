"""What an exported network must give: the logits of the network in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import torch
from monai.data import load_net_with_metadata

TOLERANCE = 1e-4  # of the largest logit; barely trained norms make them large


def check_torchscript(path: Path, eager: torch.nn.Module) -> dict[str, Any]:
    """Compare on two sizes of image; return the metadata in the file."""
    exported, metadata, _ = load_net_with_metadata(str(path))
    for shape in [(2, 3, 64, 64), (1, 3, 50, 70)]:
        image = torch.rand(shape)
        with torch.no_grad():
            assert_equal_logits(exported(image), eager(image))
    return dict(metadata)


def check_onnx(path: Path, eager: torch.nn.Module) -> None:
    """Compare in ONNX Runtime, on a batch of two."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = torch.rand(2, 3, 64, 64)
    (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        assert_equal_logits(torch.from_numpy(found), eager(image))


def assert_equal_logits(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Compare within the tolerance."""
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, atol=allowed, rtol=0)
