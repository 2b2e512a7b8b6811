"""Events of stages and checkpoints, and the states of handlers that checkpoints save."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import ignite.distributed as idist
import torch.distributed as dist
from ignite.engine import Engine, EventEnum
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys

from scripts.training.precision import check_finite


class StageEvents(EventEnum):
    """Events that the trainer fires for :class:`.fine_tuning.stages.StagedFineTuning`.

    - ``STAGE_STARTED``: the stage's parts are released, the optimiser state is empty.
    - ``STAGE_COMPLETED``: the stage's best weights are in the network.
    - ``EPOCH_RECORDED``: the epoch is in the history; after validation and every other handler.
    - ``RUN_COMPLETED``: the result is in the network and on disk.
    """

    STAGE_STARTED = "stage_started"
    STAGE_COMPLETED = "stage_completed"
    EPOCH_RECORDED = "stage_epoch_recorded"
    RUN_COMPLETED = "stage_run_completed"


class CheckpointEvents(EventEnum):
    """``RESUMED``: fired on the trainer when a checkpoint has been loaded."""

    RESUMED = "checkpoint_resumed"


class Stateful(Protocol):
    """Object that a checkpoint can save and load."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain Python and tensors."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state."""


@dataclass
class Kept:
    """Objects and settings of one engine's handlers for its checkpoints.

    Attributes:
        objects: name -> object that is saved and loaded.
        settings: name -> plain Python that must be equal when a run is resumed.
        changes: accepted changes of settings: the epoch after which they apply, and what changed.
    """

    objects: dict[str, Stateful] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)


def kept(engine: Engine) -> Kept:
    """Return the engine's :class:`Kept`, created on first use."""
    if not hasattr(engine.state, "kept"):
        engine.state.kept = Kept()
    registered: Kept = engine.state.kept
    return registered


def keep_state(
    engine: Engine, name: str, state: Stateful | None, *, settings: Mapping[str, Any] | None = None
) -> None:
    """Save a handler's state in every checkpoint of ``engine``.

    Handlers call it when they are attached, so that a config names each handler only once.

    Args:
        engine: the trainer.
        name: under which the state is saved.
        state: the handler; None if it has settings only.
        settings: plain Python that distinguishes this run from others.

    Raises:
        ValueError: when the name is in use, for example if a handler was attached twice.
    """
    own = kept(engine)
    if name in own.objects or not own.settings.keys().isdisjoint(settings or {}):
        raise ValueError(
            f"{name}: a handler of this kind is already attached to this trainer; list it once"
        )
    if state is not None:
        own.objects[name] = state
    own.settings.update(settings or {})


def register(engine: Engine, events: Iterable[EventEnum]) -> None:
    """Register events on an engine, unless another handler has already done so."""
    missing = [event for event in list(events) if not engine.has_registered_events(event)]
    engine.register_events(*missing)


def after_run(engine: Engine, complete: Callable[[], None]) -> None:
    """Call a function when the stages of a trainer are completed, in the process that writes files.

    The best weights are then in the network and in ``model.pt``.
    """
    register(engine, StageEvents)

    def run_completed() -> None:
        if is_main_process():
            complete()

    engine.add_event_handler(StageEvents.RUN_COMPLETED, run_completed)


def is_main_process() -> bool:
    """Whether this process writes files: the only one, or the first of a distributed run."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def finite_loss(trainer: Engine, where: str = "") -> float:
    """Return the loss of an iteration, before it changes the weights.

    Args:
        trainer: a MONAI trainer, after its loss is computed.
        where: the stage, for the message.

    Raises:
        ValueError: when it is not finite, with epoch and iteration.
    """
    loss = float(trainer.state.output[CommonKeys.LOSS].detach())
    if not math.isfinite(loss):
        length = trainer.state.epoch_length or 1
        raise ValueError(
            f"loss: is {loss} in {where and f'{where}, '}epoch {trainer.state.epoch}, iteration "
            f"{trainer.state.iteration} (batch {(trainer.state.iteration - 1) % length + 1} of "
            f"{length}); lower the learning rate or check that batch"
        )
    return loss


def check_logits(engine: Engine, where: Callable[[], str] = str) -> None:
    """Refuse logits of a MONAI evaluator that are not finite, whatever its inferer.

    Args:
        engine: the evaluator; another engine has no such event and is left as it is.
        where: tells the epoch, for the message.
    """
    if engine.has_registered_events(IterationEvents.FORWARD_COMPLETED):
        engine.add_event_handler(
            IterationEvents.FORWARD_COMPLETED,
            lambda: check_finite(engine.state.output[CommonKeys.PRED], where()),
        )


def mean_of_all_processes(losses: Sequence[float]) -> float:
    """Return the mean loss of an epoch over the iterations of all processes.

    Example:
        >>> mean_of_all_processes([0.5, 0.25])
        0.375
    """
    total, count = math.fsum(losses), len(losses)
    if idist.get_world_size() > 1:
        total, count = float(idist.all_reduce(total)), int(idist.all_reduce(count))
    return total / max(count, 1)
