"""``suspicion.json``: a trained classifier as plain numbers, with what it is worth."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import hashed_case
from scripts.storage.files import read_json, write_json
from scripts.suspicion.logistic import Columns, Logistic
from scripts.suspicion.radiomics import FEATURES, SIZE, predictors, radiomics

KIND = "radiologists' suspicion of a lung nodule"
MEANING = (
    "probability that most radiologists would rate the nodule as suspicious of malignancy rather "
    "than unsuspicious; an imitation of opinions, not a probability of cancer, not a diagnosis"
)


@dataclass(frozen=True)
class SuspicionClassifier:
    """A classifier of radiomics features.

    Attributes:
        name: of its file, with the start of its SHA-256.
        features: names, in the order of its weights.
        model: scaling and weights.
        worth: AUC with interval, numbers of nodules and patients, outlines, rule of the labels, and
            ``volume_mm3``: the smallest and the largest nodule of the training.
        cases: hashes of the scans that it was trained on, and their salt.
    """

    name: str
    features: tuple[str, ...]
    model: Logistic
    worth: Mapping[str, Any]
    cases: frozenset[str] = frozenset()
    salt: str = ""

    def suspicion(
        self, hu: NDArray[np.number], mask: NDArray[np.bool_], spacing_mm: Sequence[float]
    ) -> float:
        """Return the suspicion (0 to 1) of one nodule; see :data:`MEANING`.

        Args:
            hu: (Z, Y, X), with some millimetres around the nodule.
            mask: (Z, Y, X), the nodule's voxels.
            spacing_mm: along (z, y, x).

        Raises:
            ValueError: for a nodule that is too small to be measured, or smaller or larger than
                all of the training, about which the classifier knows nothing.
        """
        row = radiomics(hu, mask, spacing_mm)
        low, high = self.worth.get(SIZE) or (0.0, np.inf)
        if not low <= row[SIZE] <= high:
            raise ValueError(f"mask: {row[SIZE]:.3g} mm³ is outside the training's {low} to {high}")
        return float(self.model.probabilities([predictors([row], self.features)])[0])

    def has_seen(self, names: Iterable[str]) -> bool:
        """Whether it was trained on the scan with one of these ids or names."""
        return any(hashed_case(name, self.salt) in self.cases for name in names)


def write_classifier(
    path: Path,
    model: Logistic,
    worth: Mapping[str, Any],
    scans: Iterable[str],
    features: Sequence[str] = tuple(FEATURES),
) -> None:
    """Write a classifier of radiomics features.

    Args:
        path: of the file.
        model: trained on these features, in their order.
        worth: see :class:`SuspicionClassifier`.
        scans: ids of the scans it was trained on, stored as salted hashes.
        features: names, of :data:`FEATURES`.
    """
    cases = sorted(set(scans))
    salt = hashlib.sha256("\n".join(cases).encode()).hexdigest()[:16]
    (columns,) = model.columns
    content = {
        "kind": KIND,
        "meaning": MEANING,
        "worth": worth,
        "features": [
            {"name": name, "mean": mean, "scale": scale, "weight": weight}
            for name, mean, scale, weight in zip(
                features, columns.mean, columns.scale, model.weights, strict=True
            )
        ],
        "intercept": model.intercept,
        "C": model.strength,
        "salt": salt,
        "cases": sorted(hashed_case(case, salt) for case in cases),
    }
    write_json(path, content)


def read_classifier(path: str | Path) -> SuspicionClassifier:
    """Read a classifier.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for a file of another kind, an unknown feature, or numbers that are missing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"suspicion: no such file: {path}; `python -m scripts suspicion` writes suspicion.json"
        )
    content = read_json(path)
    if content.get("kind") != KIND:
        raise ValueError(
            f"suspicion: {path} must be the suspicion.json that `python -m scripts suspicion` "
            f"writes, got kind {content.get('kind')!r}"
        )
    try:
        return _read(path, content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"suspicion: {path} is damaged: {error!r}") from error


def _read(path: Path, content: Mapping[str, Any]) -> SuspicionClassifier:
    entries = content["features"]
    names = tuple(str(entry["name"]) for entry in entries)
    unknown = [name for name in names if name not in FEATURES]
    if unknown:
        raise ValueError(
            f"suspicion: {path} needs features that this version does not measure: "
            f"{', '.join(unknown)}"
        )
    columns = [[float(entry[key]) for entry in entries] for key in ("mean", "scale", "weight")]
    numbers = np.array(columns)
    intercept, strength = float(content["intercept"]), float(content["C"])
    if not np.isfinite([*numbers.ravel(), intercept]).all() or not (numbers[1] > 0).all():
        raise ValueError(f"suspicion: {path} is damaged: its numbers must be finite")
    model = Logistic((Columns(numbers[0], numbers[1]),), numbers[2], intercept, strength)
    name = f"{path.name} ({sha256_of(path)[:12]})"
    worth, cases = dict(content["worth"]), frozenset(content["cases"])
    return SuspicionClassifier(name, names, model, worth, cases, str(content["salt"]))
