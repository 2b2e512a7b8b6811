"""Checkpoints of a training run: complete files, from which it resumes bit for bit."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from torch import nn
from torch.optim import Optimizer

from custom_nets.memory_layout import match_state_layout
from custom_nets.state_dicts import UnreadableError, read_content, refuse_non_finite
from scripts.storage.files import plain
from scripts.storage.locks import LOCK, acquire, release
from scripts.storage.output_folder import claim_output
from scripts.training.engine_events import (
    CheckpointEvents,
    Stateful,
    is_main_process,
    kept,
    register,
)
from scripts.training.engine_parts import parts_of
from scripts.training.fine_tuning.stage_checks import unwrapped
from scripts.training.resumed_settings import EPOCH_LENGTH, accept_by_name, differing_settings
from scripts.training.tensor_files import MODEL_FILE, mark_outdated, write_tensors

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
KEPT_FILES = 2


class TrainingCheckpoint:
    """Ignite handler that saves a run at the end of epochs and resumes it.

    It saves the trainer's counters and gradient scaler, ``objects``, and the state of every handler
    registered with :func:`~scripts.training.engine_events.keep_state` (stages, seed). Random states
    are not saved: with :class:`~scripts.training.determinism.EpochSeed` an epoch does not depend on
    them. The last two files are kept. The position in the list of handlers does not matter: an
    epoch is saved after all other handlers of its end.

    Args:
        output_dir: the run's folder; the files are in its subfolder ``checkpoints``.
        objects: name -> network, optimiser and other objects with a ``state_dict``.
        settings: plain Python that must be equal when the run is resumed, such as the split.
            Strategy, seed, the network's tensors, and loss, optimiser, transforms and other parts
            of the engines are always compared.
        resume: continue from the newest readable file, or start if there is no file.
        overwrite: delete an older run's checkpoints, and replace its result at the end; until then
            evaluation and prediction refuse that result.
        interval: epochs between files.
        accepted_changes: names of settings that may differ from those of the resumed run; they are
            logged and recorded in later checkpoints, in ``model.pt`` and in the run's record.

    Raises:
        ValueError: when an object has no state, or both ``resume`` and ``overwrite`` are asked for.
    """

    def __init__(
        self,
        output_dir: str | Path,
        objects: Mapping[str, Stateful],
        *,
        settings: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        interval: int = 1,
        accepted_changes: str | Sequence[str] | None = None,
    ) -> None:
        stateless = [name for name, item in objects.items() if not hasattr(item, "state_dict")]
        if stateless or not objects:
            raise ValueError(f"objects: must have a state_dict each, got {stateless or 'none'}")
        if resume and overwrite:
            raise ValueError(
                "resume, overwrite: give only one of them; a run resumes or starts again"
            )
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f"interval: must be at least 1 epoch, got {interval!r}")
        self.folder = Path(output_dir) / FOLDER
        self.result = Path(output_dir) / MODEL_FILE
        self.objects = dict(objects)
        self.settings = dict(settings or {})
        self.resume = resume
        self.overwrite = overwrite
        self.interval = interval
        names = accepted_changes.split(",") if isinstance(accepted_changes, str) else None
        self.accepted_changes = [str(name).strip() for name in names or accepted_changes or ()]
        self._parts: dict[str, Any] = {}
        self._readable = False
        self._running = False
        self._locked = False

    def attach(self, engine: Engine) -> None:
        """Save and resume a trainer."""
        register(engine, CheckpointEvents)
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_STARTED, self._run_last)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._stopped)

    def _stopped(self, trainer: Engine, error: BaseException) -> None:
        """Log how to resume, and raise the error again."""
        self._unlock()
        files = saved_files(self.folder) if self._running else []
        if files and is_main_process():
            logger.error(
                "stopped in epoch %d by %s; the same command with --resume true continues from %s",
                trainer.state.epoch,
                type(error).__name__,
                files[0],
            )
        raise error

    def _started(self, trainer: Engine) -> None:
        self._lock(trainer)
        files = saved_files(self.folder)
        stages = kept(trainer).objects.get("stages")
        self._parts = parts_of(trainer, getattr(stages, "evaluator", None))
        if self.resume and files:
            self._load(trainer, files)
        elif self.overwrite:
            self._clear(files)
        elif files or self.result.is_file():
            raise FileExistsError(
                f"output_dir: {files[0] if files else self.result} belongs to an earlier run; pass "
                f"{'resume=true to continue it, ' if files else ''}another output_dir, or "
                "overwrite=true to replace it"
            )
        elif self.resume:
            logger.info("resume: no checkpoint in %s, starting from the beginning", self.folder)
        if is_main_process():
            claim_output(self.folder, "output_dir")
        self._running = True

    def _lock(self, trainer: Engine) -> None:
        """Lock the run's folder until the last handler of the run's end."""
        if is_main_process():
            claim_output(self.result.parent, "output_dir")
            acquire(self.result.parent / LOCK, "output_dir")
            self._locked = True
        if not trainer.has_event_handler(self._unlock, Events.COMPLETED):
            trainer.add_event_handler(Events.COMPLETED, self._unlock)

    def _unlock(self) -> None:
        if self._locked:
            release(self.result.parent / LOCK)
        self._locked = False

    def _clear(self, files: list[Path]) -> None:
        if is_main_process():
            mark_outdated(self.result.parent)
            for file in files:
                logger.warning("overwrite: deleting %s", file)
                file.unlink()

    def _run_last(self, trainer: Engine) -> None:
        """Run after every other handler, also those attached when the run starts."""
        if not trainer.has_event_handler(self._epoch_completed, Events.EPOCH_COMPLETED):
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)

    def _epoch_completed(self, trainer: Engine) -> None:
        last = trainer.should_terminate or trainer.state.epoch == trainer.state.max_epochs
        if is_main_process() and (last or trainer.state.epoch % self.interval == 0):
            self._save(trainer)

    def _save(self, trainer: Engine) -> None:
        """Write the file of this epoch, then delete the oldest."""
        content: dict[str, Any] = {
            name: state.state_dict() for name, state in self._stateful(trainer).items()
        }
        content["trainer"] = dict(trainer.state_dict())
        content["settings"] = self._all_settings(trainer)
        content["changes"] = kept(trainer).changes
        path = self.folder / f"checkpoint_{trainer.state.epoch:05d}.pt"
        write_tensors(path, content)
        if not self._readable:
            _read(path)  # checks once per run that the states of all handlers can be read again
            self._readable = True
        for file in saved_files(self.folder)[KEPT_FILES:]:
            file.unlink()

    def _stateful(self, trainer: Engine) -> dict[str, Stateful]:
        """Return all objects to save by name; networks without DistributedDataParallel."""
        scaler = getattr(trainer, "scaler", None)
        objects = {**self.objects, **kept(trainer).objects}
        if scaler is not None:
            objects["scaler"] = scaler
        return {
            name: unwrapped(item) if isinstance(item, nn.Module) else item
            for name, item in objects.items()
        }

    def _all_settings(self, trainer: Engine) -> dict[str, Any]:
        """Return everything that a resumed run must have equal, as plain Python."""
        values = {**self.settings, **kept(trainer).settings}
        for name, item in self.objects.items():
            if isinstance(item, nn.Module):
                tensors = unwrapped(item).state_dict().items()
                values[f"{name} tensors"] = {key: list(tensor.shape) for key, tensor in tensors}
            else:
                values[f"{name} class"] = type(item).__name__
        values[EPOCH_LENGTH] = trainer.state.epoch_length
        values |= self._parts
        settings: dict[str, Any] = plain(values)
        return settings

    def _load(self, trainer: Engine, files: list[Path]) -> None:
        """Resume from the newest readable file.

        Raises:
            ValueError: when the run was started with other settings that are not accepted.
        """
        file, content = _newest_readable(files)
        done = content["trainer"]["iteration"] // content["settings"][EPOCH_LENGTH]
        kept(trainer).changes = list(content.get("changes", []))
        differences = differing_settings(content["settings"], self._all_settings(trainer))
        accepted = accept_by_name(file, differences, self.accepted_changes)
        for name, item in self.objects.items():
            if isinstance(item, nn.Module):
                refuse_non_finite(content[name], f"resume: {name} in {file}")
        to_load: dict[str, Any] = {**self._stateful(trainer), "trainer": trainer}
        length = trainer.state.epoch_length
        content["trainer"] |= {
            "max_epochs": trainer.state.max_epochs,
            "epoch_length": length,
            "iteration": done * length,
        }
        Checkpoint.load_objects(to_load=to_load, checkpoint=content)
        for item in self.objects.values():
            if isinstance(item, Optimizer):
                match_state_layout(item)
        if accepted and getattr(kept(trainer).objects.get("stages"), "finished", False):
            logger.warning("resume: all stages are finished; accepted_changes has no effect")
        elif accepted:
            logger.warning("resume: changed on purpose: %s", "; ".join(accepted))
            kept(trainer).changes.append({"after_epoch": done, "changes": accepted})
        finished = trainer.state.epoch >= trainer.state.max_epochs
        message = "already finished, %d epochs" if finished else "continuing after epoch %d"
        logger.info(f"resume: {message}, from %s", trainer.state.epoch, file)
        trainer.fire_event(CheckpointEvents.RESUMED)


def saved_files(folder: Path) -> list[Path]:
    """List the checkpoints in a folder, the newest first; files of other names are ignored."""
    if not folder.is_dir():
        return []
    files = [file for file in folder.iterdir() if re.fullmatch(r"checkpoint_\d+\.pt", file.name)]
    return sorted(files, key=lambda file: int(file.stem.rpartition("_")[2]), reverse=True)


def _newest_readable(files: list[Path]) -> tuple[Path, dict[str, Any]]:
    """Read the first readable file, with a warning for each that is not.

    Raises:
        ValueError: when there is none; starting again unnoticed could waste days.
    """
    for file in files:
        try:
            return file, _read(file)
        except (OSError, RuntimeError, EOFError, ValueError) as error:
            logger.warning("resume: cannot read %s (%s), trying the previous one", file, error)
    raise ValueError(
        f"resume: none of {', '.join(map(str, files))} can be read; move them away to start from "
        "the beginning"
    )


def _read(file: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU; plain Python and tensors only.

    Raises:
        ValueError: when it is not a checkpoint of a run.
    """
    try:
        content = read_content(file)
    except UnreadableError as error:
        raise ValueError(
            f"{file}: not a readable checkpoint, {file.stat().st_size} bytes: {error}"
        ) from error
    if not isinstance(content, dict) or not {"trainer", "settings"} <= content.keys():
        raise ValueError(f"{file}: not a checkpoint of a training run")
    return content
