"""Fine-tuning strategies: the parts, epochs and learning rates of each stage.

A strategy is a plain dict, as read from a JSON file::

    {"name": "bsft",
     "stages": [{"name": "A: block5", "trainable": ["decoder", "block5"],
                 "epochs": 200, "patience": null,
                 "learning_rate": 1e-4, "learning_rates": {"block5": 1e-5},
                 "final_rate": 0.1}, ...]}

Parts not named in ``trainable`` are frozen. ``epochs`` (the maximum for a stage) and
``learning_rate`` default to those of the run; ``patience`` ends a stage after that many validations
without improvement; ``learning_rates`` gives single parts their own rate; over a stage's epochs all
rates fall by a constant factor per epoch to ``final_rate`` times their first value. The shipped
strategies are those of Ma, Wei, Ma, Journal of Computer Applications 40(7), 2020, the usual ones
that they compare with, gradual thawing at ever smaller rates, and discriminative learning rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

STRATEGY_KEYS = ("name", "stages")
RATE_KEYS = ("learning_rate", "learning_rates", "final_rate")
STAGE_KEYS = ("name", "trainable", "epochs", "patience", *RATE_KEYS)


@dataclass(frozen=True)
class Stage:
    """One stage: its trainable parts, epochs and learning rates.

    Attributes:
        name: for tables and messages.
        trainable: names of blocks or layers; everything else is frozen.
        epochs: maximum number of epochs.
        patience: validations without improvement after which it ends; None for all epochs.
        learning_rate: of the parameter groups that are not in ``learning_rates``.
        learning_rates: of single parameter groups.
        final_rate: factor of these rates in the last epoch; 1 for constant rates.
    """

    name: str
    trainable: tuple[str, ...]
    epochs: int
    patience: int | None
    learning_rate: float
    learning_rates: dict[str, float] = field(default_factory=dict)
    final_rate: float = 1.0

    def rate(self, group: str, epoch: int = 0) -> float:
        """Return a parameter group's learning rate in an epoch of this stage, counted from 0."""
        done = epoch / max(1, self.epochs - 1)
        return self.learning_rates.get(group, self.learning_rate) * float(self.final_rate**done)


@dataclass(frozen=True)
class Strategy:
    """Named list of stages, in the order in which they run."""

    name: str
    stages: tuple[Stage, ...]

    @property
    def total_epochs(self) -> int:
        """Maximum number of epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def plain(self) -> dict[str, Any]:
        """Return the strategy with all defaults filled in, as plain Python for files."""
        stages = [asdict(stage) | {"trainable": list(stage.trainable)} for stage in self.stages]
        return {"name": self.name, "stages": stages}


def read_strategy(
    strategy: Mapping[str, Any],
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    final_rate: float = 1.0,
) -> Strategy:
    """Check a strategy and fill in its defaults.

    Args:
        strategy: see the module's docstring.
        epochs: default for stages.
        learning_rate: default for stages.
        final_rate: default for stages.

    Raises:
        ValueError: naming the stage and the key, when a key is unknown or missing, a value is out
            of range, or two stages share a name.

    Example:
        >>> strategy = read_strategy(
        ...     {"name": "frozen", "stages": [{"name": "decoder", "trainable": ["decoder"]}]},
        ...     epochs=200, learning_rate=1e-4)
        >>> strategy.total_epochs, strategy.stages[0].rate("decoder")
        (200, 0.0001)
    """
    _refuse_unknown(strategy, STRATEGY_KEYS, "strategy")
    name = _text(strategy.get("name"), "strategy.name")
    stages = strategy.get("stages")
    if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise ValueError(f"strategy.stages: must be a list of at least one stage, got {stages!r}")
    defaults = {"epochs": epochs, "learning_rate": learning_rate, "final_rate": final_rate}
    read = tuple(
        _read_stage(stage, f"strategy.stages[{i}]", defaults) for i, stage in enumerate(stages)
    )
    names = [stage.name for stage in read]
    repeated = sorted({stage for stage in names if names.count(stage) > 1})
    if repeated:
        raise ValueError(
            f"strategy.stages: names must differ, got {', '.join(repeated)} more than once"
        )
    return Strategy(name, read)


def total_epochs(strategy: Mapping[str, Any], epochs: int) -> int:
    """Return the maximum number of epochs of all stages, for a trainer's ``max_epochs``.

    Args:
        strategy: see the module's docstring.
        epochs: default for stages.

    Example:
        >>> stages = superimposed(["block1", "block2"], reverse=True)
        >>> total_epochs({"name": "two", "stages": stages}, 10)
        20
    """
    return read_strategy(strategy, epochs=epochs, learning_rate=1.0).total_epochs


def parameter_groups(network: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """Return parameter groups for an optimiser: all named parts of a network, also frozen ones.

    With groups that are added on release, optimiser states would differ between stages and runs
    could not be resumed. The optimiser skips parameters without gradient.

    Args:
        network: with ``parameter_groups()``, see ``custom_nets.freezing.Freezable``.
        learning_rate: initial rate, which the stages replace.

    Raises:
        ValueError: when the rate is not a positive number.
    """
    rate = _positive(learning_rate, "learning_rate")
    return [{**group, "lr": rate} for group in network.parameter_groups()]  # type: ignore[operator]


def superimposed(
    parts: Sequence[str], *, always: Sequence[str] = ("decoder",), reverse: bool = False
) -> list[dict[str, Any]]:
    """Return stages that each release one more part: superimposed fine-tuning.

    Args:
        parts: block or layer names in forward order, e.g. ``network.layer_names``.
        always: parts that train in every stage.
        reverse: release from the last part to the first, as in BSFT, instead of first to last.

    Raises:
        ValueError: when there are no parts.

    Example:
        >>> for stage in superimposed(["conv1", "conv2"], reverse=True):
        ...     print(stage["name"], stage["trainable"])
        1: conv2 ['decoder', 'conv2']
        2: conv1 ['decoder', 'conv2', 'conv1']
    """
    order = list(reversed(parts)) if reverse else list(parts)
    if isinstance(parts, str) or not order:
        raise ValueError(f"parts: must be a list of block or layer names, got {parts!r}")
    return [
        {"name": f"{i}: {part}", "trainable": [*always, *order[:i]]}
        for i, part in enumerate(order, start=1)
    ]


def discriminative_rates(
    parts: Sequence[str], learning_rate: float, *, factor: float = 2.6
) -> dict[str, float]:
    """Return learning rates that fall from the last part to the first by a constant factor.

    The first blocks of a classifier detect edges and textures, which occur in all images, and need
    the least change.

    Args:
        parts: parameter groups in forward order, e.g. ``network.block_names``; the last one (the
            decoder) has the full rate.
        learning_rate: of the last part.
        factor: of neighbouring parts; 2.6 is the authors' value; 1 gives all parts one rate.

    Raises:
        ValueError: when there are no parts, or the rate or the factor is out of range.

    Source:
        Discriminative fine-tuning: Howard and Ruder, Universal language model fine-tuning for text
        classification, ACL 2018, section 3.2.

    Example:
        >>> discriminative_rates(["block1", "block2", "decoder"], 0.04, factor=2)
        {'block1': 0.01, 'block2': 0.02, 'decoder': 0.04}
    """
    if isinstance(parts, str) or not parts:
        raise ValueError(f"parts: must be a list of parameter groups, got {parts!r}")
    if not (math.isfinite(factor) and factor >= 1):
        raise ValueError(f"factor: must be at least 1, got {factor!r}")
    rate = _positive(learning_rate, "learning_rate")
    last = len(parts) - 1
    return {part: rate / factor ** (last - index) for index, part in enumerate(parts)}


def _read_stage(stage: Any, where: str, defaults: Mapping[str, Any]) -> Stage:
    """Check and read one stage; ``where`` names it in messages."""
    _refuse_unknown(stage, STAGE_KEYS, where)
    name = _text(stage.get("name"), f"{where}.name")
    where = f"{where} ({name})"
    trainable = stage.get("trainable")
    if not isinstance(trainable, Sequence) or isinstance(trainable, str) or not trainable:
        raise ValueError(
            f"{where}.trainable: must be a list of block or layer names, got {trainable!r}"
        )
    patience = stage.get("patience")
    rates = stage.get("learning_rates") or {}
    if not isinstance(rates, Mapping):
        raise ValueError(f"{where}.learning_rates: must map parts to numbers, got {rates!r}")
    final_rate = _positive(_or_default(stage, "final_rate", defaults), f"{where}.final_rate")
    if final_rate > 1:
        raise ValueError(f"{where}.final_rate: must be at most 1, got {final_rate}")
    return Stage(
        name=name,
        trainable=tuple(_text(part, f"{where}.trainable") for part in trainable),
        epochs=_count(_or_default(stage, "epochs", defaults), f"{where}.epochs"),
        patience=None if patience is None else _count(patience, f"{where}.patience"),
        learning_rate=_positive(
            _or_default(stage, "learning_rate", defaults), f"{where}.learning_rate"
        ),
        learning_rates={
            str(part): _positive(rate, f"{where}.learning_rates.{part}")
            for part, rate in rates.items()
        },
        final_rate=final_rate,
    )


def _or_default(stage: Mapping[str, Any], key: str, defaults: Mapping[str, Any]) -> Any:
    value = stage.get(key)
    return defaults[key] if value is None else value


def _refuse_unknown(value: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: must be a dict with {', '.join(known)}, got {value!r}")
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise ValueError(
            f"{where}: unknown {', '.join(unknown)}; valid keys are {', '.join(known)}"
        )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: must be text, got {value!r}")
    return value


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: must be a whole number of at least 1, got {value!r}")
    return value


def _positive(value: Any, where: str) -> float:
    """Return a learning rate; 0 is refused, as ``trainable`` is the way to freeze a part."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{where}: must be a number above 0, got {value!r}")
    return float(value)
