"""Annotated scans with the agreement of the members on them: the figures, and their report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from scripts.evaluation.figures.classes import class_confusion, confusion_matrix, merge_unknown
from scripts.evaluation.figures.risk_coverage import DEFINITIONS, RiskCoverage
from scripts.evaluation.figures.summary import Entry, entry_of
from scripts.evaluation.pictures.risk_coverage_drawing import draw_risk_coverage
from scripts.evaluation.report import Evaluation
from scripts.prediction.annotated_volume import Labels
from scripts.prediction.measures.statistics import MEMBER_DEFINITIONS
from scripts.prediction.members.agreement import AGREEMENT
from scripts.prediction.members.limit import RULE, AgreementLimit

COLUMNS = ("series_uid", "patient", "dice", "mean_pairwise_dice", "flagged")
PICTURE = "risk_coverage.png"
WORDS = {
    "aurc": "AURC by agreement",
    "aurc_random_order": "random order",
    "aurc_ideal_order": "ideal order",
    "aurc_gain": "gain over random",
}
NO_BETTER = (
    "the agreement does not rank these scans better than chance (the interval of aurc_gain reaches "
    "0): a warning by its limit says little"
)


@dataclass(frozen=True)
class AgreedCase:
    """One scan.

    Attributes:
        uid: of its series.
        patient: its patient, for grouping; never written to files.
        dice: of the result with the annotation, see :func:`dice_of_case`.
        agreement: mean pairwise Dice of the members.
    """

    uid: str
    patient: str
    dice: float
    agreement: float


@dataclass(frozen=True)
class AgreedCases:
    """All scans of an evaluation.

    Attributes:
        cases: the scans, at least one with a Dice.
        limit: of the agreement; None without one.
        seed: of the bootstrap.
    """

    cases: Sequence[AgreedCase]
    limit: AgreementLimit | None
    seed: int

    @cached_property
    def curve(self) -> RiskCoverage:
        """Risk and coverage of the scans that have a Dice."""
        judged = [one for one in self.cases if not np.isnan(one.dice)]
        return RiskCoverage(
            [one.agreement for one in judged],
            [1 - one.dice for one in judged],
            [one.patient for one in judged],
            self.seed,
        )

    @cached_property
    def figures(self) -> dict[str, Entry]:
        """AURC and what it is compared with, as entries of the summary."""
        return {name: entry_of(figure) for name, figure in self.curve.figures().items()}

    @property
    def remark(self) -> str | None:
        """A remark if the agreement ranks the scans no better than chance."""
        ends = self.figures["aurc_gain"]["interval_95"]
        return NO_BETTER if ends is not None and ends[0] <= 0 else None

    def flags(self, case: AgreedCase) -> bool | None:
        """Whether a scan is below the limit; None without one."""
        return None if self.limit is None else self.limit.flags(case.agreement)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row of the table for each scan; patients are numbered."""
        patients = dict.fromkeys(one.patient for one in self.cases)
        numbers = {patient: number for number, patient in enumerate(patients, 1)}
        cells = [
            (one.uid, numbers[one.patient], one.dice, one.agreement, self.flags(one))
            for one in self.cases
        ]
        return [dict(zip(COLUMNS, row, strict=True)) for row in cells]

    def of_limit(self) -> dict[str, Any] | None:
        """Return the limit, the number of scans below it, and the mean Dice of both groups."""
        if self.limit is None:
            return None
        dice = {
            name: [one.dice for one in self.cases if self.flags(one) == flagged]
            for name, flagged in (("flagged", True), ("others", False))
        }
        means = {name: _mean(values) for name, values in dice.items()}
        return {
            **self.limit.record(),
            "scans": len(self.cases),
            "flagged_scans": len(dice["flagged"]),
            **{f"mean_dice_{name}": value for name, value in means.items()},
        }

    def added_to(self, evaluation: Evaluation, members: Sequence[str]) -> Evaluation:
        """Return an evaluation with these figures, their table and the picture."""
        more = {"members": members, "limit": self.of_limit(), "remark": self.remark}
        limit = None if self.limit is None else self.limit.limit
        picture = partial(draw_risk_coverage, self.curve, limit=limit)
        ours = {**DEFINITIONS, **MEMBER_DEFINITIONS, "limit": RULE}
        return replace(
            evaluation,
            figures={**evaluation.figures, **self.figures},
            definitions={**evaluation.definitions, **ours},
            tables={**evaluation.tables, AGREEMENT: (COLUMNS, self.rows())},
            more={**evaluation.more, AGREEMENT: more},
            drawings={**evaluation.drawings, PICTURE: picture},
        )

    def lines(self) -> list[str]:
        """Return the figures for the screen."""
        lines = []
        for name, word in WORDS.items():
            ends = self.figures[name]["interval_95"]
            interval = f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
            lines.append(f"{word:<20}{self.figures[name]['value']:.3f}{interval}")
        if (found := self.of_limit()) is not None:
            lines.append(
                f"below the limit {found['limit']:.3f}: {found['flagged_scans']} of "
                f"{found['scans']} scans, mean Dice {_decimal(found['mean_dice_flagged'])}; others "
                f"{_decimal(found['mean_dice_others'])}"
            )
        if self.limit is not None and self.limit.remark:
            lines.append(f"note: {self.limit.remark}")
        return [*lines, *([f"note: {self.remark}"] if self.remark else [])]


def dice_of_case(classes: Labels, labels: Labels, known: Sequence[bool] | None) -> float:
    """Return the Dice of a scan: of all lesions together, or the mean of its known classes.

    Args:
        classes: predicted, (Z, Y, X).
        labels: annotated: numbers of lesions, or classes.
        known: whether each class was annotated, background first; None for lesions.

    Returns:
        1 where nothing is annotated or predicted; NaN where no class is known.

    Example:
        >>> predicted, annotated = np.array([1, 1, 0], np.uint8), np.array([3, 2, 2], np.uint8)
        >>> dice_of_case(predicted, annotated, None)
        0.8
        >>> dice_of_case(predicted, np.array([0, 1, 2], np.uint8), [True, True, False])
        0.6666666666666666
    """
    if known is None:
        classes, labels, known = np.minimum(classes, 1), np.minimum(labels, 1), (True, True)
    matrix = confusion_matrix(merge_unknown(classes, known), labels, known)
    dice = [class_confusion(matrix, k).dice for k in range(1, len(known)) if known[k]]
    return float(np.mean(dice)) if dice else float("nan")


def _mean(values: Sequence[float]) -> float | None:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else None


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def evidence_of(cases: AgreedCases, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file of a limit says of the scans that it was calibrated on."""
    return {"figures": cases.figures, "limit": cases.of_limit(), "data": dict(data)}
