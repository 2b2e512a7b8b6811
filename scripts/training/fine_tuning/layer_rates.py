"""Learning rates of single convolutions: falling with depth, or following the gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from custom_nets.freezing import DECODER
from scripts.training.fine_tuning.mechanism import Mechanism
from scripts.training.fine_tuning.stage_options import Stage, Strategy, positive


def layer_decay(
    layers: Sequence[str], learning_rate: float, *, decay: float = 0.8
) -> dict[str, float]:
    """Return a rate for each convolution, which falls with its distance from the decoder.

    Args:
        layers: in forward order, ``network.layer_names``; the decoder keeps the stage's rate.
        learning_rate: of the decoder; the last layer has ``decay`` times it.
        decay: of neighbouring layers. 0.8 is our choice for VGG16 (0.055 of the rate for its
            first layer); deep encoders take a value nearer to 1, as 0.8 all but freezes their
            first layers.

    Raises:
        ValueError: when there are no layers, or the rate or the decay is out of range.

    Source:
        Layer-wise rate decay: Clark, Luong, Le, Manning, ELECTRA, ICLR 2020; of image encoders:
        Bao, Dong, Piao, Wei, BEiT, ICLR 2022.

    Example:
        >>> layer_decay(["conv1", "conv2"], 0.08, decay=0.5)
        {'conv1': 0.02, 'conv2': 0.04}
    """
    if isinstance(layers, str) or not layers:
        raise ValueError(f"layers: must be a list of layer names, got {layers!r}")
    if not (math.isfinite(decay) and 0 < decay <= 1):
        raise ValueError(f"decay: must be above 0 and at most 1, got {decay!r}")
    rate = positive(learning_rate, "learning_rate")
    return {layer: rate * decay ** (len(layers) - i) for i, layer in enumerate(layers)}


def is_layered(network: Any, strategy: Strategy) -> bool:
    """Whether a stage gives single convolutions of a network their own rates."""
    layers = set(network.layer_names) - set(network.block_names)
    return any(
        stage.auto_rates or not layers.isdisjoint(stage.learning_rates) for stage in strategy.stages
    )


def groups_of(network: Any, layered: bool) -> list[dict[str, Any]]:
    """Return a network's parameters by block, or by convolution of the encoder."""
    groups: list[dict[str, Any]] = network.layer_groups() if layered else network.parameter_groups()
    return groups


def split_groups(optimizer: Optimizer, network: Any) -> None:
    """Replace an optimiser's groups of blocks by groups of convolutions, with the same settings.

    The state of the optimiser stays valid, as it belongs to the parameters.
    """
    if any("block" in group for group in optimizer.param_groups):
        return
    of_blocks = {group["name"]: group for group in optimizer.param_groups}
    optimizer.param_groups[:] = [
        {**of_blocks[layer["block"]], **layer} for layer in network.layer_groups()
    ]


class GradientRates(Mechanism):
    """Rates of the encoder's convolutions in proportion to their relative gradients (Auto-RGN).

    The factor of a layer is |gradient| / |weights|, averaged over the updates of the epoch before,
    divided by the largest of all layers that train. In the first epoch of a stage it is the average
    over the updates so far, so that the first update already has factors. Gradients are those of
    the training batches. The decoder, which is new, keeps its rate; that and the average over an
    epoch, in place of a few batches at its start, are our choice.

    Source: Lee et al., Surgical fine-tuning improves adaptation to distribution shifts, ICLR 2023,
    section 4 (Auto-RGN).
    """

    name = "gradient_rates"

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._active = False
        self._before: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._count = 0

    def begin(self, stage: Stage) -> None:
        """Forget the gradients of other stages."""
        self._before, self._sums, self._count = {}, {}, 0
        self.restore(stage)

    def restore(self, stage: Stage) -> None:
        """Follow this stage's setting."""
        self._active = stage.auto_rates

    def before_step(self) -> None:
        """Measure the gradients of an update."""
        if not self._active:
            return
        ratios = {}
        for group in self.optimizer.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if trained and group["name"] != DECODER:
                ratios[group["name"]] = relative_gradient(trained)
        if not all(map(math.isfinite, ratios.values())):
            return  # in mixed precision, an update that the fused optimiser will leave out
        for name, ratio in ratios.items():
            self._sums[name] = self._sums.get(name, 0.0) + ratio
        self._count += 1

    def factor(self, group: str) -> float:
        """Return the factor of a group's rate; 1 of the decoder, and if no layer has a gradient."""
        measured = self._before or self._sums
        largest = max(measured.values(), default=0.0)
        if not self._active or group not in measured or not largest:
            return 1.0
        return measured[group] / largest

    def epoch_ended(self, done: int) -> None:
        """Use this epoch's averages in the next."""
        if self._active and self._count:
            self._before = {name: total / self._count for name, total in self._sums.items()}
            self._sums, self._count = {}, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the averages of the last epoch; files are written between epochs."""
        return {"before": dict(self._before)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue with saved averages."""
        self._before, self._sums, self._count = dict(state_dict["before"]), {}, 0


def relative_gradient(parameters: Sequence[torch.Tensor]) -> float:
    """Return the norm of the gradients over the norm of the weights, of all parameters together.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> weight.grad = torch.tensor([0.5, 0.0])
        >>> round(relative_gradient([weight]), 6)
        0.1
    """
    grads = [p.grad.detach().float().norm() for p in parameters if p.grad is not None]
    weights = [p.detach().float().norm() for p in parameters]
    gradient, weight = torch.stack(grads).norm(), torch.stack(weights).norm()
    return float(gradient / weight.clamp_min(1e-12))
