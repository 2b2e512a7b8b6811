"""Fine-tuning strategies: the parts, epochs and learning rates of each stage.

A strategy is a plain dict, as read from a JSON file::

    {"name": "bsft", "stop_margin": null,
     "stages": [{"name": "A: block5", "trainable": ["decoder", "block5"],
                 "epochs": 200, "patience": null,
                 "learning_rate": 1e-4, "learning_rates": {"block5": 1e-5},
                 "final_rate": 0.1}, ...]}

Parts not named in ``trainable`` are frozen. ``epochs`` (the maximum for a stage) and
``learning_rate`` default to those of the run; ``patience`` ends a stage after that many validations
without improvement; ``learning_rates`` gives single parts (blocks, or convolutions of the encoder)
their own rate; over a stage's epochs all rates fall by a constant factor per epoch to
``final_rate`` times their first value. ``schedule``, ``penalty``, ``average`` and ``low_rank`` are
those of :mod:`.stage_options`; with ``"auto_rates": true`` each convolution's rate follows its
gradient (:mod:`.layer_rates`). With ``stop_margin`` the run ends after the first stage whose best
validation is not better than that of all earlier stages by more than the margin.

The shipped strategies are those of Ma, Wei, Ma, Journal of Computer Applications 40(7), 2020, the
usual ones that they compare with, and those of the table in docs/studies.md with their papers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from scripts.training.fine_tuning.stage_options import (
    OPTIONS,
    Stage,
    Strategy,
    count,
    names,
    not_negative,
    positive,
    refuse_unknown,
    text,
)

STRATEGY_KEYS = ("name", "stages", "stop_margin")
RATE_KEYS = ("learning_rate", "learning_rates", "final_rate")
STAGE_KEYS = ("name", "trainable", "epochs", "patience", *RATE_KEYS, *OPTIONS)


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
    refuse_unknown(strategy, STRATEGY_KEYS, "strategy")
    name = text(strategy.get("name"), "strategy.name")
    stages = strategy.get("stages")
    if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise ValueError(f"strategy.stages: must be a list of at least one stage, got {stages!r}")
    defaults = {"epochs": epochs, "learning_rate": learning_rate, "final_rate": final_rate}
    read = tuple(
        _read_stage(stage, f"strategy.stages[{i}]", defaults) for i, stage in enumerate(stages)
    )
    titles = [stage.name for stage in read]
    repeated = sorted({title for title in titles if titles.count(title) > 1})
    if repeated:
        raise ValueError(
            f"strategy.stages: names must differ, got {', '.join(repeated)} more than once"
        )
    margin = strategy.get("stop_margin")
    return Strategy(
        name, read, None if margin is None else not_negative(margin, "strategy.stop_margin")
    )


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
    rate = positive(learning_rate, "learning_rate")
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
    rate = positive(learning_rate, "learning_rate")
    last = len(parts) - 1
    return {part: rate / factor ** (last - index) for index, part in enumerate(parts)}


def _read_stage(stage: Any, where: str, defaults: Mapping[str, Any]) -> Stage:
    """Check and read one stage; ``where`` names it in messages."""
    refuse_unknown(stage, STAGE_KEYS, where)
    name = text(stage.get("name"), f"{where}.name")
    where = f"{where} ({name})"
    patience = stage.get("patience")
    rates = stage.get("learning_rates") or {}
    if not isinstance(rates, Mapping):
        raise ValueError(f"{where}.learning_rates: must map parts to numbers, got {rates!r}")
    options = {
        key: read(stage[key], f"{where}.{key}")
        for key, read in OPTIONS.items()
        if stage.get(key) is not None
    }
    final_rate = _final_rate(stage, where, defaults)
    if "low_rank" in options and ("penalty" in options or options.get("auto_rates")):
        raise ValueError(
            f"{where}.low_rank: the kernels have no gradients of their own, which penalty and "
            "auto_rates need; use one of them in a stage"
        )
    return Stage(
        name=name,
        trainable=names(stage.get("trainable"), f"{where}.trainable"),
        epochs=count(_or_default(stage, "epochs", defaults), f"{where}.epochs"),
        patience=None if patience is None else count(patience, f"{where}.patience"),
        learning_rate=positive(
            _or_default(stage, "learning_rate", defaults), f"{where}.learning_rate"
        ),
        learning_rates={
            str(part): positive(rate, f"{where}.learning_rates.{part}")
            for part, rate in rates.items()
        },
        final_rate=final_rate,
        **options,
    )


def _final_rate(stage: Mapping[str, Any], where: str, defaults: Mapping[str, Any]) -> float:
    """Return a stage's final rate; with a schedule, that of the run does not apply."""
    own = stage.get("final_rate")
    if stage.get("schedule") is not None:
        if own not in (None, 1):
            raise ValueError(
                f"{where}.final_rate: the schedule lowers the rates itself, got {own!r} too; leave "
                "one of them out"
            )
        return 1.0
    rate = positive(_or_default(stage, "final_rate", defaults), f"{where}.final_rate")
    if rate > 1:
        raise ValueError(f"{where}.final_rate: must be at most 1, got {rate}")
    return rate


def _or_default(stage: Mapping[str, Any], key: str, defaults: Mapping[str, Any]) -> Any:
    value = stage.get(key)
    return defaults[key] if value is None else value
