"""What an evaluation of nodules says of whole scans: its headline, and LUNA16's score.

Dice per nodule is computed beside annotated nodules, so that a network which marks everything has
one too. The headline therefore states it with the detected share and the false positives per scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from scripts.datasets.candidates import COLUMNS as CANDIDATE_COLUMNS
from scripts.datasets.candidates import Candidate, candidate_rows
from scripts.evaluation.figures.froc import MOST_CANDIDATES, RESAMPLES, Froc, score
from scripts.evaluation.figures.summary import Entry
from scripts.evaluation.pictures.froc_drawing import draw_froc
from scripts.evaluation.results import NoduleSeries
from scripts.evaluation.tables import FROC_COLUMNS, Tables, froc_rows

CROPS = "crops around nodules, not scans"
FROC_DEFINITIONS = {
    "candidate": "a suspected lesion: its position in mm and a probability, which only ranks it",
    "hit": "a candidate that is closer to a nodule's centre than the nodule's radius; several hits "
    "of a nodule count once, with the highest probability",
    "false_positive": "a candidate that hits no nodule and no excluded finding (of 10 mm where its "
    "diameter is unknown); one on an excluded finding only is neither",
    "sensitivity": "hit nodules of all nodules, at a number of false positives per scan over all "
    "scans, also those without nodules or candidates; linear between the points of the curve",
    "limit": f"of a scan with more than {MOST_CANDIDATES} candidates those count that are more "
    f"probable than number {MOST_CANDIDATES + 1}",
    "cpm": "mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan",
    "probability": "the least probability that may count for at most so many false positives",
    "interval_95": f"percentile bootstrap over scans, {RESAMPLES} resamples; those without a "
    "nodule are left out",
}


class ScanScore:
    """LUNA16's score of an evaluation, or the reason why it has none.

    Args:
        results: of each series.
        crops: whether the series are crops around nodules.
        seed: of the resampling of scans.
    """

    def __init__(self, results: Sequence[NoduleSeries], *, crops: bool, seed: int) -> None:
        self.crops = crops
        self.results = results
        self.reason = _why_not(results, crops=crops)
        self.froc: Froc | None = None
        if not self.reason:
            marks = [result.marks for result in results if result.marks is not None]
            self.froc = score(marks, seed=seed)

    def headline(self, figures: Mapping[str, Entry]) -> str:
        """Return Dice per nodule, detected share and false positives per scan in one line."""
        dice, found = figures["dice_per_nodule_mean"], figures["nodules_detected_share"]
        parts = [
            f"Dice per nodule {dice['value']:.3f}{_interval(dice)}",
            f"{100 * found['value']:.1f} % of {found['n']} nodules detected",
        ]
        if self.crops:
            parts.append(f"false positives per scan unknown ({CROPS})")
        else:
            parts.append(self._false_positives(figures["false_positives_per_scan_mean"]))
        if self.froc is not None:
            parts.append(f"CPM {self.froc.cpm.value:.3f}")
        return ", ".join(parts)

    def _false_positives(self, entry: Entry) -> str:
        text = f"{entry['value']:,.2f} false positives per scan"
        if all(result.is_whole for result in self.results):
            return text
        slices = sum(result.slices for result in self.results) / max(len(self.results), 1)
        return f"{text} on {slices:.1f} evaluated slices per scan, not on whole scans"

    def tables(self) -> Tables:
        """Return the tables ``candidates`` and ``froc``; none without a score."""
        if self.froc is None:
            return {}
        found: list[Candidate] = [one for result in self.results for one in result.candidates]
        return {
            "candidates": (CANDIDATE_COLUMNS, candidate_rows(found)),
            "froc": (FROC_COLUMNS, froc_rows(self.froc)),
        }

    def record(self) -> dict[str, Any]:
        """Return the summary's entry ``froc``."""
        if self.froc is None:
            return {"not_computed": self.reason}
        return {
            "cpm": self.froc.cpm.value,
            "cpm_interval_95": self.froc.cpm.ends,
            "points": froc_rows(self.froc),
            "counts": self.froc.counts(),
            "definitions": FROC_DEFINITIONS,
        }

    def drawings(self) -> dict[str, Any]:
        """Return file name -> function that draws it to a path."""
        return {} if self.froc is None else {"froc.png": partial(draw_froc, self.froc)}


def _why_not(results: Sequence[NoduleSeries], *, crops: bool) -> str:
    if crops:
        return f"{CROPS}: false positives elsewhere in the lungs are unknown"
    partly = sum(result.is_whole is not True for result in results)
    if partly:
        return (
            f"{partly} of {len(results)} scans were not evaluated as a whole; evaluate volumes "
            "(configs/data/luna16_volumes.json), or score the candidates.csv of predict with "
            "python -m scripts froc"
        )
    if any(result.marks is None for result in results):
        return "the postprocessing keeps no `probability` of each voxel"
    if not any(result.marks.hits for result in results if result.marks):
        return "no scan has a nodule"
    return ""


def _interval(entry: Entry) -> str:
    ends = entry["interval_95"]
    return f" (95 % {ends[0]:.3f} - {ends[1]:.3f})" if ends else ""
