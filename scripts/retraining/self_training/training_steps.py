"""Trainings of one recipe on several data sets, as steps that are run once and resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.bundle.recipe import Recipe
from scripts.study.folders import best_validation
from scripts.study.sample_sources import given_task
from scripts.study.steps import merge
from scripts.study.workshop import LOG, Task, TaskError, Workshop


@dataclass(frozen=True)
class TrainingSteps:
    """Trainings that differ in their data only: each begins with the same weights and seed.

    Args:
        recipe: bundle, and config files laid over its ``train.json``.
        workshop: of the steps.
        seed: of each training.
        metric: figure of the validation by which a training chooses its weights.
    """

    recipe: Recipe
    workshop: Workshop
    seed: int
    metric: str

    def train(self, name: str, datalist: Path) -> Path:
        """Train on a data set unless that is done, and return the folder with ``model.pt``.

        Raises:
            TaskError: when the training fails, with the place of its log.
        """
        data = given_task(datalist.parent)
        config, *overlays = files_of(self.recipe)
        words = self.recipe.command(
            "training", "train", dataset_dir="<need0>", seed=self.seed, output_dir="<out>"
        )
        step = Task(
            *("trainings", name, tuple(words), (data,)),
            made_of={"config": merge([config, *overlays])},
            resumable=True,
        )
        try:
            self.workshop.do(step)
        except TaskError as error:
            log = step.folder(self.workshop.work) / LOG
            raise TaskError(f"{error}; its log: {log}") from error
        return step.out(self.workshop.work)

    def validation(self, training: Path) -> float:
        """Return the validation of a training's result; NaN if it has none."""
        value = best_validation(training / "stages.csv", self.metric)
        return float("nan") if value is None else value


def files_of(recipe: Recipe) -> list[str]:
    """Return the config files of a recipe's training, in order."""
    return [f"{recipe.bundle}/configs/train.json", *recipe.overlays]
