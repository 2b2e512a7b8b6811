"""The records that a release rests on: a training and the evaluation of its network on a test set.

Everything that a model card states is read from here; what was not recorded is not stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bundle.model_file import ModelFile, read_model
from scripts.bundle.record import sha256_of
from scripts.datasets.known import KNOWN, data_set_class
from scripts.storage.files import read_json
from scripts.training.tensor_files import refuse_outdated

NEW_EVALUATION = "evaluate it on a test set (`run evaluating`, or `python -m scripts evaluate`)"


@dataclass(frozen=True)
class Evidence:
    """What is known of a trained network.

    Attributes:
        model: its file, with settings and the record of its training.
        sha256: of the file.
        summary: ``summary.json`` of its evaluation.
        training: ``training_record.json``; empty if there is none.
        config: ``training_config.json``; empty if there is none.
        stages: rows of ``stages.json``; empty if there is none.
    """

    model: ModelFile
    sha256: str
    summary: Mapping[str, Any]
    training: Mapping[str, Any]
    config: Mapping[str, Any]
    stages: Sequence[Mapping[str, Any]]

    @property
    def data(self) -> Mapping[str, Any]:
        """What the model file says about the data of its training."""
        data = self.model.record.get("data")
        return data if isinstance(data, Mapping) else {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of network and input."""
        return self.model.settings or {}

    @property
    def tested_on(self) -> str | None:
        """Name of the data set of the evaluation; None if it is not recorded."""
        name = self.summary["data"].get("data_set")
        return name if name in KNOWN else None

    @property
    def case(self) -> str:
        """Name of an evaluated volume: scan, or crop for parts cut out around lesions."""
        name = self.tested_on
        return "crop" if name is not None and data_set_class(name).cut_out else "scan"

    @property
    def is_external(self) -> bool:
        """Whether none of the evaluated cases comes from the split of the training."""
        return not self.summary["cases"]["of_test"]

    @property
    def missing(self) -> int:
        """Number of cases of the test set that were not evaluated."""
        return missing_cases(self.summary)


def read_evidence(run: Path, evaluation: Path, *, partial_test: bool = False) -> Evidence:
    """Read and check the records of a training and an evaluation.

    Args:
        run: folder of the training, or its model file.
        evaluation: folder of the evaluation.
        partial_test: accept an evaluation that lacks cases of the test set set aside at training.

    Raises:
        FileNotFoundError: when one of them lacks its result.
        ValueError: for an evaluation of another model, on cases of training or validation, or of a
            part of the test set; with what to do.
    """
    file = run / "model.pt" if run.is_dir() else run
    if not file.is_file():
        raise FileNotFoundError(f"run: no trained network at {file}; give the folder of a training")
    model, sha256 = read_model(file), sha256_of(file)
    refuse_outdated(file)
    if model.settings is None:
        raise ValueError(f"run: {file} does not say how it was trained; train it again to release")
    summary = _summary(evaluation)
    _check_subject(summary, sha256, evaluation)
    _check_cases(summary, evaluation, partial_test=partial_test)
    folder = file.parent
    return Evidence(
        model,
        sha256,
        summary,
        training=_record(folder / "training_record.json"),
        config=_record(folder / "training_config.json"),
        stages=_record(folder / "stages.json").get("stages", ()),
    )


def _record(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _summary(evaluation: Path) -> dict[str, Any]:
    """Return the summary of an evaluation."""
    file = evaluation / "summary.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"evaluation: no summary.json in {evaluation}; a release needs the figures of a test "
            f"set: {NEW_EVALUATION}"
        )
    summary = read_json(file)
    if not isinstance(summary.get("cases"), dict) or not isinstance(summary.get("data"), dict):
        raise ValueError(
            f"evaluation: {file} does not say which cases it evaluated, as that of another version "
            f"or of a network without record; {NEW_EVALUATION} with this version"
        )
    return summary


def _check_subject(summary: Mapping[str, Any], sha256: str, evaluation: Path) -> None:
    """Check that an evaluation is that of the model, on a test partition."""
    data = summary["data"]
    evaluated = data.get("model_sha256")
    if evaluated != sha256:
        raise ValueError(
            f"evaluation: {evaluation} is that of another model (sha256 {evaluated}, the run's "
            f"model.pt has {sha256}); {NEW_EVALUATION}"
        )
    section = str(data.get("section"))
    if section.removeprefix("volumes/") != "test":
        raise ValueError(
            f"evaluation: {evaluation} is of the partition {section}, by which the network was "
            f"trained or selected; {NEW_EVALUATION}"
        )


def _check_cases(summary: Mapping[str, Any], evaluation: Path, *, partial_test: bool) -> None:
    """Check that the evaluated cases are a whole test set, unknown to the network."""
    cases = summary["cases"]
    for name, use in (("of_training", "trained on"), ("of_validation", "selected by")):
        if cases[name] is None:
            raise ValueError(
                f"evaluation: {evaluation}: the model file does not say which cases the network "
                f"was {use}, so that they cannot be told from test cases; train it again with "
                "this version"
            )
        if cases[name]:
            raise ValueError(
                f"evaluation: {evaluation}: {cases[name]} of the {cases['evaluated']} evaluated "
                f"cases are of patients that the network was {use}; evaluate it on a test set "
                "without them"
            )
    missing = missing_cases(summary)
    if missing and not partial_test:
        raise ValueError(
            f"evaluation: {evaluation} lacks {missing} cases of the test set; evaluate all of it, "
            "or pass --partial_test true, which the model card then says"
        )


def missing_cases(summary: Mapping[str, Any]) -> int:
    """Count the cases of a test set that an evaluation lacks.

    Of an external test set, in which no case is of the test set set aside at training, none but
    those that were listed and not reached.
    """
    cases: Mapping[str, Any] = summary["cases"]
    set_aside = int(cases["not_evaluated"] or 0) if cases["of_test"] else 0
    return set_aside + int(cases["evaluated"]) - int(summary["counts"]["series"])
