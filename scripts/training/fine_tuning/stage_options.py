"""A stage and its options as plain data, and the checks of their values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Schedule:
    """Rates that rise linearly and then fall as a polynomial, update by update.

    Source: the rise, Goyal et al., Accurate, large minibatch SGD, 2017; the fall, Chen et al.,
    DeepLab, IEEE TPAMI 40(4), 2018, section 4.1 ("poly", power 0.9).

    Attributes:
        warm_up: share of the stage's updates over which the rates rise, from 0 to below 1.
        power: of the polynomial; 1 is a straight line to 0, 0 holds the rates.
    """

    warm_up: float = 0.0
    power: float = 0.9

    def factor(self, update: int, updates: int) -> float:
        """Return the factor of the rates at an update, counted from 0, of the stage's ``updates``.

        Example:
            >>> [Schedule(0.5, 1).factor(update, 4) for update in range(4)]
            [0.5, 1.0, 1.0, 0.5]
        """
        rise = math.ceil(self.warm_up * updates)
        if update < rise:
            return (update + 1) / rise
        return float((1 - (update - rise) / max(1, updates - rise)) ** self.power)


@dataclass(frozen=True)
class Penalty:
    """L2-SP: a pull of pretrained weights to their start, and of new weights to 0.

    Adds pull / 2 * |w - start|^2 of the encoder and decay / 2 * |w|^2 of the decoder to the loss.
    ``start`` is what the run began with, also in later stages.

    Source: Li, Grandvalet, Davoine, Explicit inductive bias for transfer learning with
    convolutional networks, ICML 2018 (their alpha and beta).
    """

    pull: float = 0.1
    decay: float = 0.01


@dataclass(frozen=True)
class Average:
    """Weights averaged over the ends of a stage's last epochs.

    Source: Izmailov et al., Averaging weights leads to wider optima and better generalization,
    UAI 2018.

    Attributes:
        start: share of the stage's epochs after which averaging starts, from 0 to below 1.
    """

    start: float = 0.5


@dataclass(frozen=True)
class LowRank:
    """Changes of frozen kernels that are products of two small matrices.

    Sources: Hu et al., LoRA, ICLR 2022; for kernels (k x k to ``rank`` maps, then 1 x 1), Yeh et
    al., Navigating text-to-image customization, ICLR 2024 (LoCon).

    Attributes:
        rank: of the change of each kernel.
        scale: of the change.
        parts: blocks or layers whose kernels change; their other weights stay frozen.
    """

    rank: int = 4
    scale: float = 1.0
    parts: tuple[str, ...] = ("encoder",)


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
        schedule: rise and fall of these rates, in place of ``final_rate``.
        penalty: of the distance from the starting weights.
        average: of the weights of the last epochs.
        low_rank: changes of frozen kernels.
        auto_rates: whether the rates of the encoder's layers follow their gradients.
    """

    name: str
    trainable: tuple[str, ...]
    epochs: int
    patience: int | None
    learning_rate: float
    learning_rates: dict[str, float] = field(default_factory=dict)
    final_rate: float = 1.0
    schedule: Schedule | None = None
    penalty: Penalty | None = None
    average: Average | None = None
    low_rank: LowRank | None = None
    auto_rates: bool = False

    def rate(self, group: str, epoch: int = 0, *, block: str = "") -> float:
        """Return a parameter group's learning rate in an epoch of this stage, counted from 0.

        ``block`` is that of the group if it is one layer: its rate applies if the layer has none.
        The factor of ``schedule`` is not in it.
        """
        done = epoch / max(1, self.epochs - 1)
        of_block = self.learning_rates.get(block, self.learning_rate)
        return self.learning_rates.get(group, of_block) * float(self.final_rate**done)


@dataclass(frozen=True)
class Strategy:
    """Named list of stages, in the order in which they run; with ``stop_margin`` not always all."""

    name: str
    stages: tuple[Stage, ...]
    stop_margin: float | None = None

    @property
    def total_epochs(self) -> int:
        """Maximum number of epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def plain(self) -> dict[str, Any]:
        """Return the strategy with all defaults filled in, as plain Python for files.

        Options that are not used are left out, so that runs of versions without them can resume.
        """
        margin = {} if self.stop_margin is None else {"stop_margin": self.stop_margin}
        return {"name": self.name, "stages": [_plain(s) for s in self.stages], **margin}


def read_schedule(value: Any, where: str) -> Schedule:
    """Read ``{"warm_up": 0.1, "power": 0.9}``."""
    refuse_unknown(value, ("warm_up", "power"), where)
    return Schedule(
        _share(value.get("warm_up", 0.0), f"{where}.warm_up"),
        not_negative(value.get("power", 0.9), f"{where}.power"),
    )


def read_penalty(value: Any, where: str) -> Penalty:
    """Read ``{"pull": 0.1, "decay": 0.01}``.

    Raises:
        ValueError: also when both are 0.
    """
    refuse_unknown(value, ("pull", "decay"), where)
    pull = not_negative(value.get("pull", 0.1), f"{where}.pull")
    decay = not_negative(value.get("decay", 0.01), f"{where}.decay")
    if not pull and not decay:
        raise ValueError(f"{where}: pull and decay are both 0; leave the penalty out")
    return Penalty(pull, decay)


def read_average(value: Any, where: str) -> Average:
    """Read ``{"start": 0.5}``."""
    refuse_unknown(value, ("start",), where)
    return Average(_share(value.get("start", 0.5), f"{where}.start"))


def read_low_rank(value: Any, where: str) -> LowRank:
    """Read ``{"rank": 4, "scale": 1.0, "parts": ["encoder"]}``."""
    refuse_unknown(value, ("rank", "scale", "parts"), where)
    return LowRank(
        count(value.get("rank", 4), f"{where}.rank"),
        positive(value.get("scale", 1.0), f"{where}.scale"),
        names(value.get("parts", ["encoder"]), f"{where}.parts"),
    )


def _plain(stage: Stage) -> dict[str, Any]:
    """Return a stage as plain Python, as it is read."""
    found = asdict(stage) | {"trainable": list(stage.trainable)}
    if stage.low_rank is not None:
        found["low_rank"]["parts"] = list(stage.low_rank.parts)
    return {key: value for key, value in found.items() if key not in OPTIONS or value}


def refuse_unknown(value: Any, known: Sequence[str], where: str) -> None:
    """Refuse what is not a dict of known keys.

    Raises:
        ValueError: naming the valid keys.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: must be a dict with {', '.join(known)}, got {value!r}")
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise ValueError(
            f"{where}: unknown {', '.join(unknown)}; valid keys are {', '.join(known)}"
        )


def names(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of names of parts.

    Raises:
        ValueError: for anything but a list of at least one name.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"{where}: must be a list of block or layer names, got {value!r}")
    return tuple(text(part, where) for part in value)


def text(value: Any, where: str) -> str:
    """Return text that is not empty.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}: must be text, got {value!r}")
    return value


def truth(value: Any, where: str) -> bool:
    """Return true or false.

    Raises:
        ValueError: for anything else, such as 0 or "false".
    """
    if not isinstance(value, bool):
        raise ValueError(f"{where}: must be true or false, got {value!r}")
    return value


def count(value: Any, where: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{where}: must be a whole number of at least 1, got {value!r}")
    return value


def positive(value: Any, where: str) -> float:
    """Return a number above 0, such as a learning rate: ``trainable`` is the way to freeze.

    Raises:
        ValueError: for anything else.
    """
    if not _is_number(value) or value <= 0:
        raise ValueError(f"{where}: must be a number above 0, got {value!r}")
    return float(value)


def not_negative(value: Any, where: str) -> float:
    """Return a number of at least 0.

    Raises:
        ValueError: for anything else.
    """
    if not _is_number(value) or value < 0:
        raise ValueError(f"{where}: must be a number of at least 0, got {value!r}")
    return float(value)


def _share(value: Any, where: str) -> float:
    if not _is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{where}: must be from 0 to below 1, got {value!r}")
    return float(value)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


OPTIONS: dict[str, Any] = {
    "schedule": read_schedule,
    "penalty": read_penalty,
    "average": read_average,
    "low_rank": read_low_rank,
    "auto_rates": truth,
}
"""Keys of a stage beyond its parts and rates, and how each is read."""
