"""Networks whose named parts can be frozen and released for training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from custom_nets.definition import Defined

DECODER = "decoder"
"""Name of the part that holds everything except the encoder."""
NORMS = "norms"
"""Name for the norm layers of the encoder, in whichever block they are."""
NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


class FreezableNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics can be frozen even in training mode.

    Eval mode alone would be lost by a call of ``train()`` on an exported network, which does not
    run `Freezable.train`; the flag ``frozen`` is part of the exported program. Maps (B, C, ...) to
    (B, C, ...).
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        """Normalise ``channels`` maps; ``momentum`` is the weight of the newest batch."""
        super().__init__(channels, eps=eps, momentum=momentum)
        self.frozen = False

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the batch's statistics while learning, otherwise by the stored ones."""
        learning = self.training and not self.frozen
        if learning and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            learning,
            self.momentum or 0.0,
            self.eps,
        )


class FreezableBatchNorm2d(FreezableNorm, nn.BatchNorm2d):
    """`FreezableNorm` of images (B, C, H, W)."""


class FreezableBatchNorm3d(FreezableNorm, nn.BatchNorm3d):
    """`FreezableNorm` of volumes (B, C, H, W, D)."""


class Freezable(Defined):
    """Network of named blocks of named layers, which can be frozen and released.

    A frozen layer gets no gradient, keeps its norm statistics in every mode and, if nothing before
    it is trained, builds no autograd graph. A subclass calls `name_parts` once its modules exist.
    Layers are stored as module paths, which stay valid in copies and with converted norms. Under
    DistributedDataParallel use ``find_unused_parameters=True``, or wrap again after each change.
    """

    __jit_unused_properties__ = [
        *Defined.__jit_unused_properties__,
        *("parts", "block_names", "layer_names", "has_norms", "trainable"),
    ]

    def __init__(self) -> None:
        """Start with everything released and no part named yet."""
        super().__init__()
        self._parts: dict[str, dict[str, list[str]]] = {}
        self._trainable: list[str] = ["all"]
        self._keeps_statistics = False

    def name_parts(self, parts: dict[str, dict[str, list[str]]]) -> None:
        """Name the parts: block -> layer -> paths of the layer's modules, all in forward order.

        Raises:
            ValueError: a parameter is in no layer, or in two; freezing would not work for it.
        """
        self._parts = parts
        held = [id(p) for block in parts for p in self._parameters_of(block)]
        everything = {id(p): name for name, p in self.named_parameters()}
        missing = [name for key, name in everything.items() if key not in set(held)]
        if missing or len(held) != len(set(held)):
            raise ValueError(
                f"parts must hold every parameter exactly once, but {missing[:5]} are in no part "
                f"and {len(held) - len(set(held))} are in two; correct the module paths"
            )

    @property
    def parts(self) -> dict[str, dict[str, list[str]]]:
        """Block -> layer -> paths of the layer's modules, in forward order."""
        return self._parts

    @property
    def block_names(self) -> tuple[str, ...]:
        """Blocks in forward order; a network's last one is "decoder"."""
        return tuple(self._parts)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Convolution layers conv1 ... convN of the encoder in forward order."""
        blocks = [block for block in self._parts if block != DECODER]
        return tuple(layer for block in blocks for layer in self._parts[block])

    @property
    def trainable(self) -> tuple[str, ...]:
        """Names last given to `set_trainable`; ("all",) at first."""
        return tuple(self._trainable)

    def check_names(self, names: Iterable[str]) -> None:
        """Refuse names that `set_trainable` does not know.

        Raises:
            ValueError: a name is unknown (a misspelt block would stay frozen unnoticed), or names
                is a single string.
        """
        if isinstance(names, str):
            raise ValueError(f"names must be a list of names; got {names!r}, write [{names!r}]")
        names = list(names)
        valid = ["all", "encoder", *self.block_names, *self.layer_names, NORMS]
        unknown = [name for name in names if name not in valid]
        if unknown:
            raise ValueError(f"names must be among {', '.join(valid)}; got {unknown}; correct them")
        if NORMS in names and not self.has_norms:
            raise ValueError(
                f"{NORMS!r} releases the encoder's norm layers, and this encoder has none; choose "
                "one with norms (such as resnet34), or another strategy"
            )

    @property
    def has_norms(self) -> bool:
        """Whether the encoder has norm layers with weights; the plain VGG16 has none."""
        blocks = [layers for block, layers in self._parts.items() if block != DECODER]
        paths = [path for layers in blocks for layer in layers.values() for path in layer]
        return any(list(_norms_of(self.get_submodule(path))) for path in paths)

    def set_trainable(self, names: Iterable[str]) -> None:
        """Release the named blocks and layers and freeze all others.

        ``names`` mixes blocks, layers, "encoder", "decoder", "all" and "norms" (scale, shift and
        statistics of the encoder's norms, without its convolutions); an empty list freezes
        everything. Gradients of frozen parameters are dropped: an optimiser of all parameters
        skips those without a gradient, also for momentum and weight decay.

        Raises:
            ValueError: as `check_names`, before anything is changed.
        """
        chosen = names if isinstance(names, str) else list(names)
        self.check_names(chosen)
        self._trainable = list(chosen)
        for block, layers in self._parts.items():
            for layer, paths in layers.items():
                family = {"all", block, layer, "encoder" if block != DECODER else DECODER}
                released = not family.isdisjoint(chosen)
                learns = released and not (self._keeps_statistics and block != DECODER)
                for path in paths:
                    module = self.get_submodule(path)
                    _release(module, released, learns_statistics=learns)
                    if NORMS in chosen and block != DECODER and not released:
                        for norm in _norms_of(module):
                            _release(norm, True, learns_statistics=not self._keeps_statistics)
        self.train(self.training)

    def keep_statistics(self) -> None:
        """Freeze the encoder's norm statistics, also in released blocks, whose weights still train.

        For batches that are too small, or too unlike whole images (such as crops), to estimate
        statistics from. Not for an encoder without pretrained weights.
        """
        self._keeps_statistics = True
        self.set_trainable(self._trainable)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return parameters by block, also frozen ones, always in the same order."""
        return [{"name": name, "params": self._parameters_of(name)} for name in self._parts]

    def layer_groups(self) -> list[dict[str, Any]]:
        """Return parameters by convolution layer of the encoder, and those of the decoder.

        Each group names its ``block`` too. The order of the parameters is that of
        `parameter_groups`.
        """
        groups = []
        for block, layers in self._parts.items():
            if block == DECODER:
                params = self._parameters_of(block)
                groups.append({"name": block, "block": block, "params": params})
                continue
            for layer, paths in layers.items():
                params = [p for path in paths for p in self.get_submodule(path).parameters()]
                groups.append({"name": layer, "block": block, "params": params})
        return groups

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen layers stay in eval mode, also frozen norms of released layers."""
        super().train(mode)
        for block, layers in self._parts.items():
            keeps = self._keeps_statistics and block != DECODER
            for module in (self.get_submodule(path) for paths in layers.values() for path in paths):
                if _is_frozen(module):
                    module.eval()
                    continue
                for norm in module.modules():
                    is_batch_norm = isinstance(norm, nn.modules.batchnorm._BatchNorm)
                    if is_batch_norm and (keeps or _is_frozen(norm)):
                        norm.eval()
        return self

    def _parameters_of(self, block: str) -> list[nn.Parameter]:
        paths = [path for layer in self._parts[block].values() for path in layer]
        return [p for path in paths for p in self.get_submodule(path).parameters()]


def prefix_parts(
    parts: dict[str, dict[str, list[str]]], prefix: str
) -> dict[str, dict[str, list[str]]]:
    """Return the parts of a child module with paths from its parent.

    >>> prefix_parts({"block1": {"conv1": ["conv", "norm"]}}, "encoder")
    {'block1': {'conv1': ['encoder.conv', 'encoder.norm']}}
    """
    return {
        block: {layer: [f"{prefix}.{path}" for path in paths] for layer, paths in layers.items()}
        for block, layers in parts.items()
    }


def _release(module: nn.Module, released: bool, *, learns_statistics: bool) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(released)
        if not released:
            parameter.grad = None
    for norm in module.modules():
        if isinstance(norm, FreezableNorm):
            norm.frozen = not learns_statistics


def _norms_of(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the norm layers with weights in a module, or the module itself."""
    for norm in module.modules():
        if isinstance(norm, NORM_LAYERS) and list(norm.parameters(recurse=False)):
            yield norm


def _is_frozen(module: nn.Module) -> bool:
    """Whether no parameter trains; read from the parameters, which copies keep.

    MONAI's trainer calls `Freezable.train` before every step: ``module.parameters()``, which lists
    them all and looks for duplicates, takes longer.
    """
    holds = False
    for one in module.modules():
        for parameter in one._parameters.values():
            if parameter is not None:
                if parameter.requires_grad:
                    return False
                holds = True
    return holds
