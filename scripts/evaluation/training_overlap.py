"""Evaluated cases compared with those that the network was trained, selected and set aside for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.bundle.training_scans import CONTROL, TrainingScans, case_id, ids_of, spacings_of
from scripts.evaluation.collection import Case


@dataclass(frozen=True)
class TrainingOverlap:
    """How many of the evaluated cases a network already knows.

    Attributes:
        evaluated: number of cases.
        of_training: those of patients that it was trained on; None if its file does not say.
        of_validation: those of patients by which its weights were chosen; None if its file does
            not say.
        of_test: those of the test set that was set aside at training; None if its file does not
            say.
        not_evaluated: cases of that test set that are missing; None if its file does not say.
    """

    evaluated: int
    of_training: int | None
    of_validation: int | None
    of_test: int | None
    not_evaluated: int | None

    @classmethod
    def of(cls, scans: TrainingScans, cases: Sequence[Case]) -> TrainingOverlap:
        """Compare cases with what a model file says."""
        return cls.of_all([scans], cases, {})

    @classmethod
    def of_all(
        cls, known: Sequence[TrainingScans], cases: Sequence[Case], datalist: Mapping[str, Any]
    ) -> TrainingOverlap:
        """Compare cases with what the files of several networks say, whose results are averaged.

        Training and validation cases are those of any network, test cases those of all.

        Args:
            known: what each file says.
            cases: that are evaluated.
            datalist: in which a patient's other scans are found: they count as training or
                validation cases like the one that was.
        """
        seen = [one.with_patients(datalist) for one in known]
        ids = {case_id(case): ids_of(case) for case in cases}.values()
        tested = all(one.test is not None for one in known)
        in_test = sum(all(one.set_aside(each[:1]) for one in known) for each in ids)
        sizes = [one.test_cases for one in known if one.test_cases is not None]
        whole = tested and len(sizes) == len(known)
        return cls(
            len(ids),
            sum(any(one.includes(each) for one in seen) for each in ids)
            if all(one.cases for one in known)
            else None,
            sum(any(one.was_selected_by(each) for one in seen) for each in ids)
            if all(one.validation is not None for one in known)
            else None,
            in_test if tested else None,
            max(0, max(sizes) - in_test) if whole else None,
        )

    def warnings(self, section: str) -> list[str]:
        """Say which cases make the figures doubtful; ``section`` is the evaluated partition."""
        warnings = []
        if self.of_training:
            warnings.append(
                f"{self.of_training} of {self.evaluated} scans are of patients that the network "
                "was trained on"
            )
        if self.of_validation and section.endswith("test"):
            warnings.append(
                f"{self.of_validation} of {self.evaluated} scans are of patients by which the "
                "network's weights were chosen (validation)"
            )
        return warnings

    def remarks(self, section: str) -> list[str]:
        """Say how the test set differs from the one that was set aside at training."""
        if self.of_test is None or not section.endswith("test"):
            return []
        others = self.evaluated - self.of_test
        if not self.of_test:
            return [f"none of the {others} scans is in the test set set aside at training"]
        remarks = []
        if others:
            remarks.append(
                f"{others} of {self.evaluated} scans are not in the test set set aside at training"
            )
        if self.not_evaluated:
            remarks.append(
                f"{self.not_evaluated} scans of the test set set aside at training are missing"
            )
        return remarks


def differences_from_training(scans: TrainingScans, cases: Sequence[Case]) -> list[str]:
    """Warn of spacing and labels that differ from those of the training."""
    warnings = scans.spacing_warnings(spacings_of(cases))
    kinds = {str(case["label_kind"]) for case in cases if "label_kind" in case}
    others = sorted(kinds - set(scans.labels)) if scans.labels else []
    if scans.is_control:
        warnings.append(CONTROL)
    elif others:
        warnings.append(
            f"labels of kind {', '.join(others)}: the network was trained on "
            f"{', '.join(scans.labels)}"
        )
    return warnings
