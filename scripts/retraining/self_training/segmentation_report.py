"""The report of self-training: what the given labels are worth, and what the networks reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.datasets.datalist import class_names_of
from scripts.evaluation.figures.intervals import Figure
from scripts.retraining.self_training.division import Division
from scripts.retraining.self_training.gains import gain_of_ratios, verdict
from scripts.retraining.self_training.label_figures import (
    Counts,
    compare_files,
    compare_maps,
    pooled_dice,
    unknown_share,
)
from scripts.retraining.self_training.network_maps import NetworkMaps
from scripts.retraining.self_training.pseudo_labels import PseudoLabels
from scripts.retraining.self_training.rounds import Round
from scripts.storage.files import write_csv

FEW, SELF, ALL = "few labels", "few labels and self-training", "all labels"
TEST = "test"
CHOSEN_SLICES = (
    "the slices of the unlabelled patients were prepared by their annotation, which truly "
    "unlabelled patients do not have: those of lesions with a share of others, or --slices {slices}"
)
UNSURE = (
    "in round {number} the network was sure of {share:.1%} of the voxels only; train it longer, or "
    "ask for less (--sure)"
)
LEAST_SURE = 0.5  # share of voxels that should get a label


@dataclass
class Report:
    """Figures of one run.

    Args:
        division: labelled and unlabelled patients.
        rounds: of the run.
        best: the round whose labels are the result.
        seed: of the intervals.

    Attributes:
        given: round -> counts of its given labels, where the drawn ones exist.
        tested: row -> counts on the test partition, if they were compared.
    """

    division: Division
    rounds: Sequence[Round]
    best: Round
    seed: int
    given: dict[int, list[Counts]] = field(default_factory=dict)
    tested: dict[str, list[Counts]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compare the given labels with the withheld ones that exist."""
        entries = self.division.entries(self.division.unlabelled)
        drawn = [e for e in entries if "label" in e and Path(e["label"]).is_file()]
        if drawn:
            for one in self.rounds[1:]:
                self.given[one.number] = compare_files(one.given, drawn, self.names)

    @property
    def names(self) -> list[str]:
        """Names of the classes, background first."""
        return class_names_of(self.division.content) or ["background", "lesion"]

    def test(self, models: Mapping[str, Path], maps: NetworkMaps, how: PseudoLabels) -> None:
        """Test networks on the test partition, whose labels are read here only."""
        entries = self.division.everyone(TEST)
        for row, model in models.items():
            found = maps.probabilities(model, entries)
            self.tested[row] = compare_maps(found, self.names, how)

    def gains(self, row: str) -> dict[str, Figure]:
        """Return by how much a row's Dice of each class exceeds that of few labels."""
        own, other = self.tested[row], self.tested[FEW]
        gains = {}
        for name in dict.fromkeys(one.name for one in own):
            pairs = [p for p in zip(own, other, strict=True) if p[0].name == name]
            first, second = ([one.dice_terms for one in side] for side in zip(*pairs, strict=True))
            people = [one.patient for one, _ in pairs]
            gains[name] = gain_of_ratios(first, second, people, seed=self.seed)
        return gains

    def summary(self, metric: str) -> dict[str, Any]:
        """Return all figures for JSON.

        Args:
            metric: figure of the validation.
        """
        return {
            "labelled_patients": list(self.division.labelled),
            "unlabelled_patients": list(self.division.unlabelled),
            "validation_figure": metric,
            "rounds": [self._round(one) for one in self.rounds],
            "best_round": self.best.number,
            "by_validation": self.by_validation,
            "test": {
                row: {
                    "dice": _plain(pooled_dice(counts, seed=self.seed)),
                    **({} if row == FEW else {"gain": _plain(self.gains(row))}),
                }
                for row, counts in self.tested.items()
            },
            "test_verdict": self.test_verdicts,
            "remarks": self.remarks,
        }

    @property
    def remarks(self) -> list[str]:
        """What the reader of the figures should know."""
        content = self.division.content
        slices = content.get("provenance", {}).get("slices", "all")
        by_annotation = content.get("kind", "instances") == "instances" or slices != "all"
        by_annotation &= not self.division.prefix
        remarks = [CHOSEN_SLICES.format(slices=slices)] if by_annotation else []
        if not self.given and len(self.rounds) > 1:
            remarks.append("the unlabelled patients have no labels to compare the given ones with")
        for number, counts in self.given.items():
            share = 1 - unknown_share(counts)
            if share < LEAST_SURE:
                remarks.append(UNSURE.format(number=number, share=share))
        return remarks

    @property
    def by_validation(self) -> str:
        """What the validation, on labelled patients, says of self-training."""
        if len(self.rounds) == 1:
            return "not tried"
        return "helped" if self.best.number else "did not help: the labelled patients alone remain"

    @property
    def test_verdicts(self) -> dict[str, str]:
        """What the test says of self-training, class by class."""
        if not self.tested:
            return {}
        return {name: verdict(gain) for name, gain in self.gains(SELF).items()}

    def _round(self, one: Round) -> dict[str, Any]:
        counts = self.given.get(one.number, [])
        return {
            "round": one.number,
            "validation": one.validation,
            f"{self.division.unit}s_with_given_labels": len(one.given),
            "dice_of_given_labels": _plain(pooled_dice(counts, seed=self.seed)),
            "unknown_share": unknown_share(counts) if counts else None,
        }

    def write_tables(self, folder: Path) -> None:
        """Write rounds.csv, and given_labels.csv: voxels of each image, class and round."""
        rows = []
        for one in self.rounds:
            line = self._round(one)
            found = line.pop("dice_of_given_labels")
            dice = {f"dice_{name}": found.get(name, {}).get("value") for name in self.names[1:]}
            rows.append({**line, **dice})
        write_csv(folder / "rounds.csv", rows)
        given = [
            {"round": number, **asdict(count)}
            for number, counts in self.given.items()
            for count in counts
        ]
        columns = ("round", *Counts.__dataclass_fields__)
        write_csv(folder / "given_labels.csv", given, columns=columns)

    def lines(self) -> list[str]:
        """Describe the figures for the screen."""
        division = self.division
        lines = [
            f"{len(division.labelled)} labelled and {len(division.unlabelled)} unlabelled training "
            "patients"
        ]
        for one in self.rounds[1:]:
            found = pooled_dice(self.given.get(one.number, []), seed=self.seed)
            shown = ", ".join(f"{name} {figure.shown}" for name, figure in found.items())
            lines.append(f"  round {one.number}: Dice of given labels: {shown or 'not known'}")
        lines.append(f"by validation, self-training {self.by_validation}")
        for row, counts in self.tested.items():
            found = pooled_dice(counts, seed=self.seed)
            shown = ", ".join(f"{name} {figure.shown}" for name, figure in found.items())
            lines.append(f"  test, {row}: Dice {shown}")
        for name, says in self.test_verdicts.items():
            lines.append(f"on the test, gain {name} {self.gains(SELF)[name].shown}: {says}")
        return [*lines, *(f"note: {remark}" for remark in self.remarks)]


def _plain(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: asdict(figure) for name, figure in figures.items()}
