"""Self-training: networks give labels to unlabelled patients and are trained on them again.

A network is trained on the labelled patients and predicts the others. What it is sure of becomes
their label; what it is not sure of is unknown and not learnt from. The next network is trained on
all of them, from the same starting weights, and so on, as long as the validation on labelled
patients does not fall.

Source: Sun, Tseng, Zhang, Qian, Computerized Medical Imaging and Graphics 57, 2017, for
classification; carried over to segmentation here, with probabilities in place of their weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.bundle.record import sha256_of
from scripts.datasets.datalist import images_sha256
from scripts.retraining.self_training.division import Division, Entry
from scripts.retraining.self_training.network_maps import NetworkMaps
from scripts.retraining.self_training.pseudo_labels import PseudoLabels, write_pseudo_labels
from scripts.retraining.self_training.training_steps import TrainingSteps
from scripts.storage.files import read_json, write_json

MODEL = "model.pt"
RECORD = "labels.json"


@dataclass(frozen=True)
class Round:
    """One training.

    Attributes:
        number: 0 for the labelled patients alone.
        given: entries of unlabelled patients with the labels that it was trained on.
        training: its folder.
        validation: of its result.
    """

    number: int
    given: Sequence[Entry]
    training: Path
    validation: float

    @property
    def model(self) -> Path:
        """File of the trained network."""
        return self.training / MODEL


@dataclass(frozen=True)
class SelfTraining:
    """Rounds of training and labelling.

    Args:
        division: labelled and unlabelled patients.
        steps: trainings.
        maps: of the networks that they give.
        how: probabilities become labels.
        folder: of the rounds' data.
    """

    division: Division
    steps: TrainingSteps
    maps: NetworkMaps
    how: PseudoLabels
    folder: Path

    def run(self, rounds: int) -> list[Round]:
        """Train on the labelled patients, then label the others and train again.

        Stops after ``rounds`` such rounds, or after one whose validation is below that before.

        Raises:
            TaskError: when a training fails.
            ValueError: when a validation has no figure.
        """
        done = [self._train(0, [])]
        for number in range(1, rounds + 1):
            done.append(self._train(number, self._label(number, done[-1])))
            if done[-1].validation < done[-2].validation:
                break
        return done

    def write(self, chosen: Round, folder: Path) -> Path:
        """Write the data set that a round was trained on, and return its datalist."""
        own = self.division.entries(self.division.labelled)
        return self.division.write(folder, [*own, *chosen.given], self._record(chosen.given))

    def _train(self, number: int, given: Sequence[Entry]) -> Round:
        folder = self.folder / str(number)
        own = self.division.entries(self.division.labelled)
        datalist = self.division.write(folder, [*own, *given], self._record(given))
        training = self.steps.train(f"round {number} seed {self.steps.seed}", datalist)
        validation = self.steps.validation(training)
        if validation != validation:
            raise ValueError(
                f"config_file: the training of round {number} has no {self.steps.metric}; validate "
                "at least once in each stage (val_interval)"
            )
        print(f"round {number}: {self.steps.metric} {validation:.4f}", flush=True)
        return Round(number, given, training, validation)

    def _label(self, number: int, before: Round) -> list[Entry]:
        """Give labels by the network of the round before, unless it did in an earlier run."""
        folder = self.folder / str(number)
        images = self.division.images()
        key = {
            "model_sha256": sha256_of(before.model),
            f"{self.division.unit}s_sha256": images_sha256(images),
            **asdict(self.how),
        }
        record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
        if record.get("key") == plain_key(key):
            pairs = zip(images, record["entries"], strict=True)
            return [{**image, **_without(entry, image)} for image, entry in pairs]
        (folder / RECORD).unlink(missing_ok=True)
        maps = self.maps.probabilities(before.model, images)
        entries = write_pseudo_labels(maps, folder / "labels", self.how)
        write_json(folder / RECORD, {"key": plain_key(key), "entries": entries})
        return entries

    def _record(self, given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Describe the labels of a data set."""
        digest = hashlib.sha256()
        for path in sorted({entry["label"] for entry in given}):
            digest.update(sha256_of(path).encode())
        return {
            "labelled_patients": list(self.division.labelled),
            "patients_with_given_labels": sorted({entry["patient_id"] for entry in given}),
            "sure": self.how.sure,
            "given_labels_sha256": digest.hexdigest(),
        }


def _without(entry: Mapping[str, Any], image: Mapping[str, Any]) -> Entry:
    """Return what an entry says besides its image, whose file may have been moved since."""
    return {key: value for key, value in entry.items() if key not in image}


def plain_key(key: Mapping[str, Any]) -> dict[str, Any]:
    """Return a key as it is read back from JSON."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in key.items()}


def best_of(rounds: Sequence[Round]) -> Round:
    """Return the first of the rounds with the highest validation."""
    return max(rounds, key=lambda one: one.validation)
