"""Fine-tuning strategies as data: what of a network trains in which stage, how long, how fast.

A strategy is a plain dict, as a JSON file gives it::

    {"name": "bsft",
     "stages": [{"name": "A: block5", "trainable": ["decoder", "block5"],
                 "epochs": 200, "patience": null,
                 "learning_rate": 1e-4, "learning_rates": {"block5": 1e-5},
                 "final_rate": 0.1}, ...]}

What is not named in ``trainable`` is frozen. ``epochs`` (the most a stage may take) and
``learning_rate`` fall back to the run's own; ``patience`` ends a stage after that many validations
without improvement; ``learning_rates`` sets single parts apart; over a stage's epochs all rates
fall evenly (by a factor an epoch) to ``final_rate`` times what they were. The shipped strategies
are those of Ma, Wei, Ma, Journal of Computer Applications 40(7), 2020, the usual ones they compare
with, frozen first and thawed later at ever smaller rates, and discriminative learning rates.
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
    """One fine-tuning: what trains, for how long, at which rate.

    Attributes:
        name: as tables and messages show it.
        trainable: names of blocks or layers; everything else is frozen.
        epochs: the most epochs it takes.
        patience: validations without improvement that end it earlier; None to take all epochs.
        learning_rate: of every parameter group that ``learning_rates`` does not name.
        learning_rates: of single parameter groups.
        final_rate: share of these rates in the last epoch; 1 keeps them.
    """

    name: str
    trainable: tuple[str, ...]
    epochs: int
    patience: int | None
    learning_rate: float
    learning_rates: dict[str, float] = field(default_factory=dict)
    final_rate: float = 1.0

    def rate(self, group: str, epoch: int = 0) -> float:
        """Learning rate of a parameter group (block1, ..., decoder) in an epoch, from 0, of it."""
        done = epoch / max(1, self.epochs - 1)
        return self.learning_rates.get(group, self.learning_rate) * float(self.final_rate**done)


@dataclass(frozen=True)
class Strategy:
    """Stages in the order in which they are run, with a name."""

    name: str
    stages: tuple[Stage, ...]

    @property
    def total_epochs(self) -> int:
        """The most epochs that all stages together take."""
        return sum(stage.epochs for stage in self.stages)

    def plain(self) -> dict[str, Any]:
        """The strategy with every default filled in, as plain Python for files."""
        stages = [asdict(stage) | {"trainable": list(stage.trainable)} for stage in self.stages]
        return {"name": self.name, "stages": stages}


def read_strategy(
    strategy: Mapping[str, Any],
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    final_rate: float = 1.0,
) -> Strategy:
    """Check a strategy and fill in what it leaves out.

    Args:
        strategy: see the module's text.
        epochs: of stages that do not say.
        learning_rate: of stages that do not say.
        final_rate: of stages that do not say.

    Raises:
        ValueError: naming the stage and the key, when a key is unknown or missing, a value makes no
            sense, or two stages share a name: a misspelt key would otherwise train something else.

    Example:
        >>> found = read_strategy(
        ...     {"name": "frozen", "stages": [{"name": "decoder", "trainable": ["decoder"]}]},
        ...     epochs=200, learning_rate=1e-4)
        >>> found.total_epochs, found.stages[0].rate("decoder")
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
    twice = sorted({stage for stage in names if names.count(stage) > 1})
    if twice:
        raise ValueError(f"strategy.stages: names must differ, {', '.join(twice)} came twice")
    return Strategy(name, read)


def total_epochs(strategy: Mapping[str, Any], epochs: int) -> int:
    """The most epochs that all stages take: what a trainer's ``max_epochs`` must be.

    Args:
        strategy: see the module's text.
        epochs: of stages that do not say.

    Example:
        >>> stages = superimposed(["block1", "block2"], reverse=True)
        >>> total_epochs({"name": "two", "stages": stages}, 10)
        20
    """
    return read_strategy(strategy, epochs=epochs, learning_rate=1.0).total_epochs


def parameter_groups(network: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """Groups for an optimiser: every part of the network under its name, frozen ones too.

    Groups added on release would make optimiser states of different stages incomparable, and
    resuming impossible; parameters without gradient are skipped by the optimiser anyway.

    Args:
        network: with ``parameter_groups()``, see ``custom_nets.freezing.Freezable``.
        learning_rate: until a stage sets its own.

    Raises:
        ValueError: when the rate is not a positive number.
    """
    rate = _positive(learning_rate, "learning_rate")
    return [{**group, "lr": rate} for group in network.parameter_groups()]  # type: ignore[operator]


def superimposed(
    parts: Sequence[str], *, always: Sequence[str] = ("decoder",), reverse: bool = False
) -> list[dict[str, Any]]:
    """Stages that release one part more each: superimposed fine-tuning of blocks or of layers.

    Args:
        parts: block or layer names in forward order, e.g. ``network.layer_names``.
        always: what trains in every stage.
        reverse: release from the last part back to the first, as BSFT does; otherwise bottom-up.

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
    """Learning rates that fall from the last part to the first, each ``factor`` times smaller.

    The first blocks of a classifier see edges and textures, which serve any image; they need the
    least change.

    Args:
        parts: parameter groups in forward order, e.g. ``network.block_names``; the last one (the
            decoder) takes the full rate.
        learning_rate: of the last part.
        factor: 2.6 as its authors found; 1 gives all parts one rate.

    Raises:
        ValueError: when there are no parts, or the rate or the factor makes no sense.

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
    """One stage, checked; ``where`` is how messages call it."""
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
        raise ValueError(f"{where}.final_rate: must be at most 1, rates fall, got {final_rate}")
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
        raise ValueError(f"{where}: must be a text, got {value!r}")
    return value


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: must be a whole number of at least 1, got {value!r}")
    return value


def _positive(value: Any, where: str) -> float:
    """A learning rate; 0 is refused because freezing is what ``trainable`` is for."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{where}: must be a number above 0, got {value!r}")
    return float(value)
