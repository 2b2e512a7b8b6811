"""What a mechanism of a stage, such as a penalty or an average of weights, does during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.training.fine_tuning.stage_options import Stage


class Mechanism:
    """Base of what a stage does beyond training its parts at fixed rates; does nothing itself.

    ``StagedFineTuning`` calls it in every stage; one that the stage does not use must do nothing
    there. Steps are those of the optimiser, after all gradients of the batch are known, also with
    accumulated gradients. Checkpoints hold its state under ``name``.
    """

    name = ""

    def begin(self, stage: Stage) -> None:
        """Start a stage, whose parts are released."""

    def restore(self, stage: Stage) -> None:
        """Continue a stage that a checkpoint interrupted, after `load_state_dict`."""

    def before_step(self) -> None:
        """Act before the optimiser changes the weights."""

    def after_step(self) -> None:
        """Act after the optimiser changed the weights."""

    def epoch_ended(self, done: int) -> None:
        """Act at the end of an epoch; ``done`` epochs of the stage are complete."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state between two epochs as plain Python and tensors."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state."""
