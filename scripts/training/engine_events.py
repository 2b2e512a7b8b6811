"""What the handlers of one trainer share: events of the stages, and whose state is saved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import ignite.distributed as idist
import torch.distributed as dist
from ignite.engine import Engine, EventEnum


class StageEvents(EventEnum):
    """Events that :class:`~scripts.training.stages.StagedFineTuning` fires on the trainer.

    - ``STAGE_STARTED``: the stage's parts are released, its optimiser state is fresh.
    - ``STAGE_COMPLETED``: the stage's best weights are in the network.
    - ``EPOCH_RECORDED``: the epoch stands in the history, after validation and every other handler.
    - ``RUN_COMPLETED``: the result is in the network and on the disk.
    """

    STAGE_STARTED = "stage_started"
    STAGE_COMPLETED = "stage_completed"
    EPOCH_RECORDED = "stage_epoch_recorded"
    RUN_COMPLETED = "stage_run_completed"


class CheckpointEvents(EventEnum):
    """``RESUMED``: fired on the trainer when a checkpoint has been loaded."""

    RESUMED = "checkpoint_resumed"


class Stateful(Protocol):
    """What a checkpoint can hold: plain Python and tensors out, the same in again."""

    def state_dict(self) -> dict[str, Any]:
        """The state, of plain Python and tensors."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state."""


@dataclass
class Kept:
    """What the handlers of one engine want in its checkpoints.

    Attributes:
        objects: name -> what is saved and loaded.
        settings: name -> plain Python that must not differ when a run is resumed.
    """

    objects: dict[str, Stateful] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def kept(engine: Engine) -> Kept:
    """The engine's own :class:`Kept`, made on first use."""
    if not hasattr(engine.state, "kept"):
        engine.state.kept = Kept()
    found: Kept = engine.state.kept
    return found


def keep_state(
    engine: Engine, name: str, state: Stateful | None, *, settings: Mapping[str, Any] | None = None
) -> None:
    """Have every checkpoint of ``engine`` hold a handler's state.

    Handlers call it when they are attached, so that a config need not name each handler twice.

    Args:
        engine: the trainer.
        name: under which the state is saved.
        state: the handler; None if it has settings only.
        settings: plain Python by which a run is told from another one.

    Raises:
        ValueError: when the name is taken, as by a handler that was attached twice.
    """
    own = kept(engine)
    if name in own.objects or not own.settings.keys().isdisjoint(settings or {}):
        raise ValueError(f"{name}: a handler of this kind is attached to this trainer already")
    if state is not None:
        own.objects[name] = state
    own.settings.update(settings or {})


def register(engine: Engine, events: Iterable[EventEnum]) -> None:
    """Let the engine fire our events; attaching handlers in any order comes to the same."""
    missing = [event for event in list(events) if not engine.has_registered_events(event)]
    engine.register_events(*missing)


def is_main_process() -> bool:
    """Whether this process writes the files: the only one, or the first of a distributed run."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def mean_of_all_processes(losses: Sequence[float]) -> float:
    """Mean loss of an epoch; every process of a distributed run has seen a part of it.

    Example:
        >>> mean_of_all_processes([0.5, 0.25])
        0.375
    """
    total, count = math.fsum(losses), len(losses)
    if idist.get_world_size() > 1:
        total, count = float(idist.all_reduce(total)), int(idist.all_reduce(count))
    return total / max(count, 1)
