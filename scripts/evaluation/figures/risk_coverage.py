"""Risk and coverage: how well a confidence ranks cases by how wrong their segmentation is.

Of the most confident cases up to a share (the coverage), the mean risk (1 - Dice) is the selective
risk; its mean over all shares is the area under the risk-coverage curve, AURC: low if the cases
with a low confidence are those with a low Dice, and the cases are segmented well. A random order
gives the mean risk of all cases on the mean; no order is better than that by the risk itself.

Source: Geifman et al., Bias-reduced uncertainty estimation for deep neural classifiers, ICLR 2019
(AURC); Zenk et al., Medical Image Analysis 101, 2025 (risk 1 - Dice, segmentation). Cases of equal
confidence take their mean risk, as their order is open: our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scripts.evaluation.figures.intervals import RESAMPLES, Figure

Floats = npt.NDArray[np.float64]
DEFINITIONS = {
    "risk": "1 - Dice of a scan; Dice as per_volume, of classes the mean over those known",
    "aurc": "mean over all coverages of the mean risk of the scans with the highest agreement; "
    "scans of equal agreement take their mean risk; lower is better",
    "aurc_random_order": "what a random order gives on the mean: the mean risk of all scans",
    "aurc_ideal_order": "the scans in the order of their risk: no order is better",
    "aurc_gain": "aurc_random_order - aurc; above 0 if the agreement tells which scans are wrong",
}


@dataclass(frozen=True)
class RiskCoverage:
    """Risks of cases in the order of a confidence.

    Args:
        confidence: of each case.
        risk: of each case.
        patients: patient of each case, for the intervals.
        seed: of the bootstrap.
    """

    confidence: Sequence[float]
    risk: Sequence[float]
    patients: Sequence[str]
    seed: int = 0

    def curve(self) -> Floats:
        """Return (n,): the selective risk of the 1, 2 ... n most confident cases."""
        return selective_risks(np.asarray(self.confidence, float), np.asarray(self.risk, float))

    def ideal_curve(self) -> Floats:
        """Return (n,): the same in the order of the risk."""
        risk = np.asarray(self.risk, float)
        return selective_risks(-risk, risk)

    def figures(self) -> dict[str, Figure]:
        """Return AURC, that of a random and of the ideal order, and the gain over random."""
        shares: dict[str, Callable[[Floats, Floats], float]] = {
            "aurc": aurc,
            "aurc_random_order": lambda _, risk: float(risk.mean()),
            "aurc_ideal_order": lambda _, risk: aurc(-risk, risk),
            "aurc_gain": lambda confidence, risk: float(risk.mean()) - aurc(confidence, risk),
        }
        return {name: self._figure(of) for name, of in shares.items()}

    def _figure(self, of: Callable[[Floats, Floats], float]) -> Figure:
        """Return a figure with its 95 % percentile interval by bootstrap over patients."""
        confidence, risk = np.asarray(self.confidence, float), np.asarray(self.risk, float)
        value, count = of(confidence, risk), len(risk)
        names, index = np.unique(self.patients, return_inverse=True)
        if len(names) == 1:
            reason = "one patient: no spread between patients to estimate"
            return Figure(value, count, 1, None, reason)
        own = [np.flatnonzero(index == k) for k in range(len(names))]
        random = np.random.default_rng(self.seed)
        drawn = []
        for _ in range(RESAMPLES):
            cases = np.concatenate([own[k] for k in random.integers(len(own), size=len(own))])
            drawn.append(of(confidence[cases], risk[cases]))
        low, high = np.percentile(drawn, (2.5, 97.5))
        return Figure(value, count, len(names), (float(low), float(high)), None)


def aurc(confidence: Floats, risk: Floats) -> float:
    """Return the area under the risk-coverage curve.

    Example:
        >>> risk = np.array([0.1, 0.2, 0.9])
        >>> round(aurc(np.array([0.9, 0.8, 0.3]), risk), 4), round(aurc(np.zeros(3), risk), 4)
        (0.2167, 0.4)
    """
    return float(selective_risks(confidence, risk).mean())


def selective_risks(confidence: Floats, risk: Floats) -> Floats:
    """Return the mean risk of the 1, 2 ... n cases of the highest confidence."""
    _, rank = np.unique(-confidence, return_inverse=True)
    means = np.bincount(rank, risk) / np.bincount(rank)
    ordered = means[np.sort(rank)]
    return np.asarray(np.cumsum(ordered) / np.arange(1, len(ordered) + 1))
