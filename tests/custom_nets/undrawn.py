"""Networks whose weights are not drawn, which takes most of the time of building a large one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

DRAWING = ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_")


@contextmanager
def undrawn_weights() -> Iterator[None]:
    """Leave in the weights of networks that are built meanwhile what the memory happens to hold.

    For tests that fill every tensor, or ask for names and shapes only.
    """

    def as_it_is(tensor: Tensor, *_: object, **__: object) -> Tensor:
        return tensor

    with pytest.MonkeyPatch.context() as patch:
        for name in DRAWING:
            patch.setattr(torch.nn.init, name, as_it_is)
        yield
