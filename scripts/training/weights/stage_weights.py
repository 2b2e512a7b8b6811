"""Saving of the best weights of every stage, not only of the best stage."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine
from torch import nn

from scripts.training.engine_events import StageEvents, is_main_process, kept, register
from scripts.training.fine_tuning.stage_checks import unwrapped
from scripts.training.fine_tuning.stage_record import copy_of
from scripts.training.fine_tuning.stages import StagedFineTuning
from scripts.training.tensor_files import STAGE_FOLDER, write_tensors


class StageWeights:
    """Ignite handler that writes ``stages/stage_N.pt`` when stage N (from 1) ends.

    Each file has the stage's best weights and can be used in place of ``model.pt``.

    Args:
        network: the network to train.
        output_dir: the run's folder.
    """

    def __init__(self, network: nn.Module, output_dir: str | Path) -> None:
        self.network = unwrapped(network)
        self.folder = Path(output_dir) / STAGE_FOLDER

    def attach(self, engine: Engine) -> None:
        """Write whenever a stage of a trainer with ``StagedFineTuning`` ends."""
        register(engine, StageEvents)
        engine.add_event_handler(StageEvents.STAGE_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the network, which has the stage's best weights when the stage ends."""
        stages = kept(engine).objects["stages"]
        if isinstance(stages, StagedFineTuning) and is_main_process():
            ended = stages.record.stage - 1  # the record already points to the next, from 0
            content = stages.model_content(copy_of(self.network), ended)
            write_tensors(self.folder / f"stage_{ended + 1}.pt", content)
