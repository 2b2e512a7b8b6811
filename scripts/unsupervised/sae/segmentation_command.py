"""``python -m scripts sae segment``: labels of voxels from features of the patches around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.datalist import load_datalist, read_datalist
from scripts.evaluation.kinds import kind_of
from scripts.evaluation.report import EvaluationReport
from scripts.running.options import check_choice, check_whole, read_truth
from scripts.running.progress import Progress
from scripts.storage.locks import claimed
from scripts.unsupervised.ct_stacks import Case, CTStack, as_output, read_label, read_stack
from scripts.unsupervised.sae.autoencoder import (
    Training,
    is_trained_with,
    train_autoencoder,
    write_autoencoder,
)
from scripts.unsupervised.sae.described import FEATURES, SAE, Description, describe
from scripts.unsupervised.sae.examples import read_examples
from scripts.unsupervised.sae.patch_labels import Labeller, PatchMatching, VoxelClassifier
from scripts.unsupervised.sae.patches import PatchShape, in_parts
from scripts.unsupervised.sae.regions import SEARCH, region_of
from scripts.unsupervised.sae.training_command import DEFAULTS, read_widths, shown

MATCHING, CLASSIFIER = "patch_matching", "classifier"
METHODS = (MATCHING, CLASSIFIER)
SECTIONS = ("test", "validation", "volumes/test", "volumes/validation")
FILE = "sae.pt"


@dataclass(frozen=True)
class Labelling:
    """How voxels are labelled by examples.

    Attributes:
        method: ``patch_matching`` or ``classifier``.
        features: see :func:`scripts.unsupervised.sae.described.describe`.
        examples: number of labelled voxels.
        candidates: see :class:`scripts.unsupervised.sae.patch_labels.PatchMatching`.
        penalty: likewise.
        seed: of the draw of the examples.
    """

    method: str = MATCHING
    features: str = SAE
    examples: int = 20000
    candidates: int = 32
    penalty: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the choices and the number of examples; the others are checked where they count.

        Raises:
            ValueError: for an invalid one.
        """
        check_choice("method", self.method, METHODS)
        check_choice("features", self.features, FEATURES)
        check_whole("examples", self.examples, 2)
        check_whole("seed", self.seed, 0)

    def trained(self, cases: Sequence[Case], described: Description, kind: str) -> Labeller:
        """Return what labels voxels by examples of the cases.

        Raises:
            ValueError: see :func:`scripts.unsupervised.sae.examples.read_examples`.
        """
        found = read_examples(*(cases, described.reader, kind), count=self.examples, seed=self.seed)
        features = described.features(found.patches)
        if self.method == CLASSIFIER:
            return VoxelClassifier(features, found.labels)
        return PatchMatching(
            *(features, found.place, found.labels),
            search=SEARCH[kind],
            candidates=self.candidates,
            penalty=self.penalty,
        )

    def record(self) -> dict[str, Any]:
        """Return the settings that the labels depend on."""
        own = {"method": self.method, "features": self.features, "examples": self.examples}
        matching = {"candidates": self.candidates, "penalty": self.penalty}
        return own if self.method == CLASSIFIER else {**own, **matching}


def segment(
    datalist: str,
    output: str,
    *,
    section: str = "test",
    method: str = "patch_matching",
    features: str = "sae",
    autoencoder: str | None = None,
    widths: Sequence[int] | None = None,
    patch_size: int | None = None,
    patches: int | None = None,
    epochs: int | None = None,
    examples: int = 20000,
    candidates: int = 32,
    penalty: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Label voxels of a section by examples of the training patients; write the usual report.

    Of nodules, the voxels in a box around each annotated centre: like graph cut, the method is
    given their positions. Of organs, all voxels of the body. Labels of the section are read for the
    figures only. Writes summary.json and the tables of the kind of label; without --autoencoder
    also sae.pt, which is trained first and used again by the same command.

    Args:
        datalist: datalist.json, as prepare writes it.
        output: folder to write into.
        section: test or validation, slices; volumes/test or volumes/validation, whole volumes.
        method: patch_matching (the training patients' patches that make up the voxel's own vote) or
            classifier (logistic regression).
        features: sae (of the auto-encoder), pca (as many principal components of the same patches)
            or raw (the patches themselves).
        autoencoder: file of `sae train`; by default one is trained on this datalist.
        widths: without autoencoder, features of each layer (256,128); pca takes the last.
        patch_size: without autoencoder, pixels along a patch's side.
        patches: without autoencoder, number of patches to train on.
        epochs: without autoencoder, epochs of each layer.
        examples: number of labelled voxels of the training patients.
        candidates: for patch_matching, examples that are looked at for a voxel.
        penalty: for patch_matching, between 0 and 1; the larger, the fewer of them vote.
        seed: of patches, training and examples, and of the bootstrap for the intervals.
        overwrite: replace another evaluation in the output (sae.pt is not replaced).

    Raises:
        ValueError: for an invalid option, another evaluation in the output, or data that do not
            fit.
        OSError: when a file cannot be read or written.
    """
    check_choice("section", section, SECTIONS)
    how = Labelling(method, features, examples, candidates, penalty, seed)
    given = {"widths": widths, "patch_size": patch_size, "patches": patches, "epochs": epochs}
    training = _training({k: v for k, v in given.items() if v is not None}, seed)
    file = _file(autoencoder, how, given) or Path(output) / FILE
    report = EvaluationReport(
        load_datalist(datalist, section),
        output,
        kind=kind_of(read_datalist(Path(datalist))),
        datalist=datalist,
        section=section,
        seed=seed,
        model=file if how.features == SAE else None,
        method=_method(how, training),
        overwrite=read_truth("overwrite", overwrite),
    )
    with claimed(Path(output)):
        report.check_output()
        if how.features == SAE and autoencoder is None:
            _train(file, training, datalist)
        described = describe(how.features, training, datalist, file)
        labeller = how.trained(
            load_datalist(datalist, "training"), described, report.kind.label_kind
        )
        _segment_all(report, described, labeller, method)
        found = report.evaluate(report.collection.series())
        settings = {**found.settings, **how.record(), "patches": described.reader.settings()}
        report.write(replace(found, settings=settings))
    print(f"{found.shown}\nwritten to {output}")


def _training(given: dict[str, Any], seed: int) -> Training:
    """Return the training with the given options in place of the defaults."""
    options = dict(given)
    if "widths" in options:
        options["widths"] = read_widths(options["widths"])
    if "patch_size" in options:
        options["shape"] = PatchShape(options.pop("patch_size"))
    return replace(DEFAULTS, **options, seed=seed)


def _file(autoencoder: str | None, how: Labelling, given: dict[str, Any]) -> Path | None:
    """Return the given file, after a check that no other option contradicts it."""
    if autoencoder is None:
        return None
    if how.features != SAE:
        raise ValueError(f"autoencoder: features {how.features} need none; leave the option out")
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: {autoencoder} has its own; leave the option out")
    return Path(autoencoder)


def _method(how: Labelling, training: Training) -> dict[str, Any]:
    """Return the settings that identify this evaluation; a given auto-encoder is in its file."""
    own = {**how.record(), "seed": how.seed}
    return own if how.features == SAE else {**own, "training": asdict(training)}


def _train(file: Path, training: Training, datalist: str) -> None:
    """Train the auto-encoder of this output, unless an earlier run has.

    Raises:
        ValueError: for one that was trained otherwise, which is not replaced.
    """
    if is_trained_with(file, training, datalist):
        print(f"already trained: {file}")
        return
    if file.exists():
        raise ValueError(
            f"output: {file} was trained with other settings or data; give another output, or "
            "this file as --autoencoder"
        )
    model = train_autoencoder(datalist, training)
    write_autoencoder(file, model, datalist)
    print(shown(model.figures))


def _segment_all(
    report: EvaluationReport, described: Description, labeller: Labeller, name: str
) -> None:
    kind = report.kind
    for case in Progress(report.collection.cases, desc=name.replace("_", " "), unit="case"):
        location = f"slice {case['slice']}" if "slice" in case else "volume"
        try:
            stack = read_stack(case, described.reader.shape.slices)
            predicted = label_case(case, stack, described, labeller, kind.label_kind)
        except ValueError as error:
            raise ValueError(f"{case['series_uid']}, {location}: {error}") from error
        first, second = as_output(predicted, read_label(case), stack)
        item = {"pred": first, kind.annotation: second, "case": case["case"]}
        report.collection.add([item])


def label_case(
    case: Case, stack: CTStack, described: Description, labeller: Labeller, kind: str
) -> NDArray[np.uint8]:
    """Label the voxels of a case's region; its label is not read.

    Args:
        case: entry of a datalist.
        stack: its CT.
        described: features of a voxel.
        labeller: of these features.
        kind: of the labels: ``instances`` or ``classes``.

    Returns:
        (rows, Y, X): 0 outside the region.
    """
    region = region_of(case, stack, kind)
    labels = np.zeros(stack.hu.shape, np.uint8)
    start = 0
    for voxels in in_parts(region.voxels):
        place = region.place[start : start + len(voxels)]
        features = described.features(described.reader.read(stack.hu, voxels))
        labels[tuple(voxels.T)] = labeller.label(features, place)
        start += len(voxels)
    return labels[stack.rows.start : stack.rows.stop]
