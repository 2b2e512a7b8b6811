"""The comparison: which features, from which outlines, tell suspicious nodules from others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scripts.bundle.model_file import ModelFile
from scripts.bundle.training_scans import TrainingScans
from scripts.running.progress import Progress
from scripts.suspicion.cross_validation import Design, cross_validate, patient_folds
from scripts.suspicion.feature_tables import (
    Row,
    Store,
    network_table,
    predicted_nodules,
    radiomics_rows,
)
from scripts.suspicion.figures import Scored, auc
from scripts.suspicion.labels import LabelRule
from scripts.suspicion.network import Network, least_seen
from scripts.suspicion.radiomics import FEATURES, SIZE, predictors
from scripts.suspicion.rated_nodules import Nodule, RatedNodules
from scripts.suspicion.shape import SHAPE_FEATURES
from scripts.suspicion.training_crops import crop_scores
from scripts.volumes.geometry import Floats

SIZE_ONLY, SHAPE, RADIOMICS = "size only", "shape", "radiomics"
PREDICTED = ", predicted outlines"
CROPS = "classifier of crops"
SHUFFLES = 10


@dataclass(frozen=True)
class Outcome:
    """One way to tell nodules apart, on the nodules that it could be tried on.

    Attributes:
        name: of the row.
        used: (all nodules,), which of them.
        scored: these nodules with their out-of-fold probabilities.
        seen: number of test patients, of these nodules, on which the network that segmented or
            described their nodules had been trained; above 0 the figure may be too good.
        unseen: (used nodules,), those whose patient no network of this row had been trained on.
        basis: name of the row of size alone, for the same outlines.
    """

    name: str
    used: NDArray[np.bool_]
    scored: Scored
    basis: str
    seen: int = 0
    unseen: NDArray[np.bool_] | None = None


@dataclass
class Experiment:
    """All rows on one set of nodules.

    Args:
        nodules: with a label each.
        design: labels and folds of these nodules.
        scans_of: patient -> ids of all scans of that patient, of parts of scans also the whole's.
        store: of computed arrays.
        jobs: processes for radiomics.
        density: whether the nodules have a CT; without one, only size and shape are used.

    Attributes:
        outcomes: the rows so far.
        predicted: radiomics by predicted outlines; None for those of nodules that were not found.
    """

    nodules: Sequence[Nodule]
    design: Design
    scans_of: Mapping[str, Sequence[str]]
    store: Store
    jobs: int = 1
    density: bool = True
    outcomes: list[Outcome] = field(default_factory=list)
    predicted: list[Row | None] | None = None

    @property
    def features(self) -> list[str]:
        """Names of the radiomics features that are used."""
        return list(FEATURES if self.density else SHAPE_FEATURES)

    @property
    def best(self) -> str:
        """Name of the row that uses all of them."""
        return RADIOMICS if self.density else SHAPE

    @cached_property
    def rows(self) -> list[Row | None]:
        """Radiomics by the annotated outlines."""
        return radiomics_rows(self.nodules, jobs=self.jobs)

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """(nodules,), which of them are large enough."""
        return np.array([row is not None for row in self.rows])

    @property
    def measured_design(self) -> Design:
        """Labels and folds of these nodules."""
        return self._part(self.measured)

    def run_outlines(
        self, rows: Sequence[Row | None], suffix: str = "", seen: Sequence[str] = ()
    ) -> None:
        """Add size alone, shape and all radiomics, from one kind of outlines.

        Args:
            rows: radiomics of every nodule; None for those without.
            suffix: of the rows' names.
            seen: patients whose outlines come from a network that was trained on them.
        """
        used = np.array([row is not None for row in rows])
        kept = [row for row in rows if row is not None]
        basis = f"{SIZE_ONLY}{suffix}"
        sets = {SIZE_ONLY: [SIZE], SHAPE: list(SHAPE_FEATURES), self.best: self.features}
        for title, features in sets.items():
            name = f"{title}{suffix}"
            self._add(name, used, [predictors(kept, features)], basis=basis, seen=seen)

    def run_encoder(self, network: Network, title: str) -> None:
        """Add the features of an encoder without training on CT, alone and with radiomics."""
        table = network_table(network, self.nodules, self.store)
        self._run_network(title, dict.fromkeys(self.design.numbers, table), ())

    def run_models(self, networks: Sequence[Network]) -> None:
        """Add what segmentation networks say: predicted outlines, and features of their encoders.

        Every nodule is outlined by a network that was not trained on its patient, and every fold is
        described by a network that was not trained on its test patients, as far as there is one; of
        several, by one that was not selected by them.
        """
        chosen, seen = [], set[str]()
        for nodule in self.nodules:
            own = {nodule.patient: self.scans_of[nodule.patient]}
            network, known = least_seen(networks, own)
            chosen.append((network, nodule))
            seen |= set(known)
        outlined = predicted_nodules(chosen, self.store)
        rows = radiomics_rows([n for n in outlined if n.mask.any()], jobs=self.jobs)
        measured = iter(rows)
        self.predicted = [next(measured) if n.mask.any() else None for n in outlined]
        self.run_outlines(self.predicted, PREDICTED, sorted(seen))
        tables, trained_on = {}, set[str]()
        for fold in self.design.numbers:
            test = set(self.design.patients[self.design.folds == fold])
            network, known = least_seen(networks, {p: self.scans_of[p] for p in test})
            tables[fold] = network_table(network, self.nodules, self.store)
            trained_on |= set(known)
        self._run_network("segmentation network", tables, sorted(trained_on))

    def _run_network(self, title: str, tables: Mapping[int, Floats], seen: Sequence[str]) -> None:
        used = self.measured
        own = predictors([row for row in self.rows if row is not None], self.features)
        both = {fold: [own, table[used]] for fold, table in tables.items()}
        alone = {fold: [table[used]] for fold, table in tables.items()}
        self._add(f"features of {title}", used, alone, basis=SIZE_ONLY, seen=seen)
        self._add(f"radiomics and {title}", used, both, basis=SIZE_ONLY, seen=seen)

    def run_classifiers(self, models: Sequence[ModelFile]) -> None:
        """Add networks trained from crop to suspicion, one for each fold.

        A fold is scored by one that knows none of its patients, also not from its validation, which
        chose its weights.

        Raises:
            ValueError: when every one of them was trained on, or selected by, patients of a fold:
                its figure would be too good.
        """
        scores = np.full(len(self.nodules), np.nan)
        for fold in self.design.numbers:
            test = self.design.folds == fold
            scans = {s for p in set(self.design.patients[test]) for s in self.scans_of[p]}
            fitting = [model for model in models if not _knows(TrainingScans.of(model), scans)]
            if not fitting:
                raise ValueError(
                    f"classifiers: each of the {len(models)} files was trained on patients of fold "
                    f"{fold}, or selected by them (validation); give one for each fold, trained on "
                    "OUTPUT/crops/foldK"
                )
            tested = [n for n, chosen in zip(self.nodules, test, strict=True) if chosen]
            scores[test] = crop_scores(fitting[0], tested)
        used = self.measured
        scored = self.design.scored(scores).part(used)
        self.outcomes.append(Outcome(CROPS, used, scored, SIZE_ONLY))

    def shuffled_auc(self) -> list[float]:
        """Return the AUC of radiomics for labels dealt at random, several times."""
        rows = [row for row in self.rows if row is not None]
        table, part = predictors(rows, self.features), self.measured_design
        areas = []
        for seed in Progress(range(SHUFFLES), desc="shuffled labels", unit="time"):
            design = part.shuffled(seed)
            areas.append(auc(design.scored(cross_validate(design, [table]))).value)
        return areas

    def _part(self, used: NDArray[np.bool_]) -> Design:
        design = self.design
        return Design(design.labels[used], design.patients[used], design.folds[used], design.seed)

    def _add(
        self,
        name: str,
        used: NDArray[np.bool_],
        tables: Sequence[Floats] | Mapping[int, Sequence[Floats]],
        *,
        basis: str,
        seen: Sequence[str] = (),
    ) -> None:
        part = self._part(used)
        scored = part.scored(cross_validate(part, tables, title=f"cross-validation: {name}"))
        known = np.isin(part.patients, list(seen))
        count = len(np.unique(part.patients[known]))
        self.outcomes.append(Outcome(name, used, scored, basis, count, ~known if count else None))


def _knows(network: TrainingScans, scans: Collection[str]) -> bool:
    """Whether a network was trained on some of the scans, or selected by them."""
    return network.includes(scans) or network.was_selected_by(scans)


def experiment_of(
    found: RatedNodules, rule: LabelRule, store: Store, *, folds: int, seed: int, jobs: int
) -> Experiment:
    """Divide the nodules that have a label by patient.

    Raises:
        ValueError: when all of them have the same label, or there are fewer patients than folds.
    """
    labelled = [(nodule, rule.label(nodule.ratings)) for nodule in found.nodules]
    used = [(nodule, label) for nodule, label in labelled if label is not None]
    labels = np.array([label for _, label in used], bool)
    if labels.all() or not labels.any():
        raise ValueError(
            f"source: needs suspicious and unsuspicious nodules, got {int(labels.sum())} and "
            f"{int((~labels).sum())}"
        )
    scans_of = {patient: set(names) for patient, names in found.scans.items()}
    for nodule in found.nodules:
        names = {nodule.scan_id, nodule.series_uid or nodule.scan_id}
        scans_of.setdefault(nodule.patient, set()).update(names)
    patients = [nodule.patient for nodule, _ in used]
    tested = patient_folds(patients, list(scans_of), folds=folds, seed=seed)
    design = Design(labels, np.array(patients), tested, seed)
    nodules = [nodule for nodule, _ in used]
    listed = {patient: sorted(names) for patient, names in scans_of.items()}
    return Experiment(nodules, design, listed, store, jobs=jobs, density=found.with_ct)


def single_readers(nodules: Sequence[Nodule]) -> Scored | None:
    """Return each reader's rating as a score against the median of the other readers.

    Of nodules with four readers or more whose others do not end at indeterminate; None without any.
    It says how well radiologists agree, on fewer nodules than the classifiers' figures.
    """
    labels, scores, patients = [], [], []
    for nodule in nodules:
        for number, rating in enumerate(nodule.ratings):
            others = [*nodule.ratings[:number], *nodule.ratings[number + 1 :]]
            if len(others) >= 3 and np.median(others) != 3:
                labels.append(float(np.median(others)) > 3)
                scores.append(float(rating))
                patients.append(nodule.patient)
    if not labels:
        return None
    folds = np.zeros(len(labels), np.int64)
    return Scored(np.array(labels), np.array(scores), np.array(patients), folds)
