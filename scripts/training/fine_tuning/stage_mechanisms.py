"""The mechanisms that a strategy uses, together: what stages call at each step and epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer

from scripts.training.fine_tuning.layer_rates import GradientRates, is_layered, split_groups
from scripts.training.fine_tuning.low_rank import LowRankChanges, group_name
from scripts.training.fine_tuning.mechanism import Mechanism
from scripts.training.fine_tuning.stage_options import Stage, Strategy
from scripts.training.fine_tuning.starting_point import StartingPoint
from scripts.training.fine_tuning.weight_average import WeightAverage


class StageMechanisms:
    """Rates of every update, and the mechanisms of those stages that have one.

    Args:
        network: of :class:`.stages.StagedFineTuning`.
        optimizer: of the same.
        strategy: whose stages say which mechanisms there are; the others cost nothing.
    """

    def __init__(self, network: Any, optimizer: Optimizer, strategy: Strategy) -> None:
        stages = strategy.stages
        self.optimizer, self.network = optimizer, network
        self.layered = is_layered(network, strategy)
        self.gradients = GradientRates(optimizer) if any(s.auto_rates for s in stages) else None
        self.average = WeightAverage(network) if any(s.average for s in stages) else None
        self.low_rank = (
            LowRankChanges(network, optimizer, stages) if any(s.low_rank for s in stages) else None
        )
        start = StartingPoint(network, optimizer) if any(s.penalty for s in stages) else None
        found = (self.gradients, start, self.low_rank, self.average)
        self.all: list[Mechanism] = [each for each in found if each is not None]
        self._now: Callable[[], tuple[Stage, int, int, int]] | None = None

    def prepare_groups(self) -> None:
        """Give the optimiser the groups of all stages, before a checkpoint is loaded into it."""
        if self.layered:
            split_groups(self.optimizer, self.network)
        if self.low_rank is not None:
            self.low_rank.add_groups()

    @property
    def own_groups(self) -> dict[str, int]:
        """The optimiser's groups with their numbers of parameters; empty if they are the blocks.

        The state of an optimiser can only be loaded into the groups that it was saved with.
        """
        if not self.layered and self.low_rank is None:
            return {}
        groups = self.optimizer.param_groups
        return {group["name"]: sum(p.numel() for p in group["params"]) for group in groups}

    def hook(self, now: Callable[[], tuple[Stage, int, int, int]]) -> None:
        """Act at every step of the optimiser from now on.

        Args:
            now: returns the stage, its complete epochs, its update from 0, and its updates.
        """
        if self._now is None:
            self.optimizer.register_step_pre_hook(lambda *_: self._before_step())
            self.optimizer.register_step_post_hook(lambda *_: self._after_step())
        self._now = now

    def _before_step(self) -> None:
        if self.gradients is not None:
            self.gradients.before_step()
        if self._now is not None:
            self.set_rates(*self._now())
        for mechanism in self.all:
            if mechanism is not self.gradients:
                mechanism.before_step()

    def _after_step(self) -> None:
        for mechanism in self.all:
            mechanism.after_step()

    def set_rates(self, stage: Stage, epoch: int, update: int, updates: int) -> None:
        """Set the rates of an update."""
        factor = 1.0 if stage.schedule is None else stage.schedule.factor(update, updates)
        for group in self.optimizer.param_groups:
            rate = stage.rate(group["name"], epoch, block=group.get("block", ""))
            own = 1.0 if self.gradients is None else self.gradients.factor(group["name"])
            group["lr"] = rate * factor * own

    @property
    def blocks(self) -> dict[str, str]:
        """Block of each layer, and of the decoder."""
        return {group["name"]: group["block"] for group in self.network.layer_groups()}

    def rates(self, stage: Stage) -> dict[str, float]:
        """Return the present rate of each group that trains in a stage."""
        return {
            group["name"]: float(group["lr"])
            for group in self.optimizer.param_groups
            if self._trains(group, stage)
        }

    def _trains(self, group: Mapping[str, Any], stage: Stage) -> bool:
        adapted = {id(p) for p in self.low_rank.kernels} if self.low_rank is not None else set()
        if self.low_rank is not None and str(group["name"]).startswith(group_name("")):
            return bool(group["name"] == group_name(stage.name))
        return any(p.requires_grad and id(p) not in adapted for p in group["params"])

    def begin(self, stage: Stage) -> None:
        """Start a stage."""
        for mechanism in self.all:
            mechanism.begin(stage)

    def restore(self, stage: Stage) -> None:
        """Continue a stage."""
        for mechanism in self.all:
            mechanism.restore(stage)

    def epoch_ended(self, done: int) -> None:
        """End an epoch of a stage, after its validation."""
        for mechanism in self.all:
            mechanism.epoch_ended(done)

    def state_dict(self) -> dict[str, Any]:
        """Return the states by name; empty for strategies without mechanisms."""
        return {mechanism.name: mechanism.state_dict() for mechanism in self.all}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from saved states.

        Raises:
            ValueError: when there is none of a mechanism, as in a run of another strategy.
        """
        missing = [mechanism.name for mechanism in self.all if mechanism.name not in state_dict]
        if missing:
            raise ValueError(
                f"resume: the strategy needs the state of {', '.join(missing)}, and the run was "
                "started without; use the run's own strategy, or another output_dir"
            )
        for mechanism in self.all:
            mechanism.load_state_dict(state_dict[mechanism.name])
