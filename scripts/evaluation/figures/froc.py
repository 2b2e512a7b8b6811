"""LUNA16's score: free-response ROC (FROC) of candidates over scans, and its mean (CPM).

*Hit*: a candidate whose distance to a nodule's centre is below the nodule's radius. Several hits of
one nodule count once, with the highest probability. A candidate on two nodules hits both.

*False positive*: a candidate that hits no nodule and no excluded finding. One on an excluded
finding only is neither. Every scan counts, also one without nodules or candidates. Of a scan with
more than 100 candidates those that are more probable than the 101st count.

*FROC*: sensitivity (hit nodules of all nodules) against the false positives per scan, from the most
probable candidate on, with straight lines between its points. The curve is level beyond its last
point. *CPM*: mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per scan.

*Interval*: percentiles of 1,000 resamplings of the scans, each with its nodules and candidates.

Source: Setio et al., Medical Image Analysis 42:1-13, 2017, and the evaluation script of LUNA16;
Niemeijer et al., IEEE Transactions on Medical Imaging 30(2):215-223, 2011 (the mean).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scripts.datasets.candidates import Candidate
from scripts.datasets.contract import Point

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
NAMES = ("1/8", "1/4", "1/2", "1", "2", "4", "8")
MOST_CANDIDATES = 100  # per scan
RESAMPLES = 1000
CONFIDENCE = 0.95
# false positives per scan of the drawn band, 32 to a doubling; every 32nd is one of RATES
BAND_RATES = tuple(float(rate) for rate in 2.0 ** (np.arange(6 * 32 + 1) / 32 - 3))

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Marks:
    """The candidates of one scan by what they lie on.

    Args:
        hits: highest probability of the candidates on each nodule; NaN for a missed one.
        false_positives: probabilities of the candidates on nothing.
        candidates: number of counted candidates.
        excluded: number of them on excluded findings only.
        repeated: number of hits of nodules that a more probable candidate hits.
    """

    hits: tuple[float, ...]
    false_positives: tuple[float, ...]
    candidates: int
    excluded: int = 0
    repeated: int = 0


def mark_scan(
    candidates: Sequence[Candidate], nodules: Sequence[Point], excluded: Sequence[Point] = ()
) -> Marks:
    """Match the candidates of one scan with its nodules and excluded findings.

    Args:
        candidates: of the scan.
        nodules: (x, y, z, diameter) in LPS mm.
        excluded: likewise, findings that are neither nodules nor false positives.

    Example:
        >>> found = [Candidate("a", (0, 0, 2.9), 0.7), Candidate("a", (0, 0, 3), 0.9)]
        >>> mark_scan(found, [(0, 0, 0, 6)])
        Marks(hits=(0.7,), false_positives=(0.9,), candidates=2, excluded=0, repeated=0)
    """
    probabilities = np.array([one.probability for one in candidates], float)
    kept = _most_probable(probabilities)
    probabilities = probabilities[kept]
    centres = np.array([one.centre_lps_mm for one in candidates], float).reshape(-1, 3)[kept]
    on_nodule, on_excluded = np.zeros((2, len(centres)), bool)
    hits, repeated = [], 0
    for nodule in nodules:
        inside = _inside(centres, nodule)
        on_nodule |= inside
        hits.append(float(probabilities[inside].max()) if inside.any() else math.nan)
        repeated += max(int(inside.sum()) - 1, 0)
    for finding in excluded:
        on_excluded |= _inside(centres, finding)
    return Marks(
        hits=tuple(hits),
        false_positives=tuple(probabilities[~on_nodule & ~on_excluded].tolist()),
        candidates=len(centres),
        excluded=int((on_excluded & ~on_nodule).sum()),
        repeated=repeated,
    )


def _most_probable(probabilities: Floats) -> npt.NDArray[np.bool_]:
    """Return which candidates of a scan count: all, or those more probable than the 101st."""
    if len(probabilities) <= MOST_CANDIDATES:
        return np.ones(len(probabilities), bool)
    limit = np.sort(probabilities)[::-1][MOST_CANDIDATES]
    return np.asarray(probabilities > limit)


def _inside(centres: Floats, finding: Point) -> npt.NDArray[np.bool_]:
    squared = ((centres - np.asarray(finding[:3], float)) ** 2).sum(axis=1)
    return np.asarray(squared < (finding[3] / 2) ** 2)


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval; None without one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Lower and upper end."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Froc:
    """The FROC of a set of scans.

    Args:
        marks: of each scan.
        rates: false positives per scan of the curve's points, from 0, not falling.
        sensitivities: of these points.
        probabilities: least probability of the candidates that each point counts; the first counts
            none.
        resampled: (resamplings, band) sensitivity at :data:`BAND_RATES`; resamplings without a
            nodule are left out.
    """

    marks: tuple[Marks, ...]
    rates: Floats
    sensitivities: Floats
    probabilities: Floats
    resampled: Floats

    @property
    def nodules(self) -> int:
        """Number of nodules."""
        return sum(len(scan.hits) for scan in self.marks)

    @property
    def detected(self) -> int:
        """Number of nodules that any candidate hits."""
        return sum(not math.isnan(hit) for scan in self.marks for hit in scan.hits)

    def sensitivity(self, rate: float) -> float:
        """Return the sensitivity at a number of false positives per scan."""
        return float(np.interp(rate, self.rates, self.sensitivities))

    def probability(self, rate: float) -> float | None:
        """Return the least probability to count for at most so many false positives per scan.

        None if the most probable candidates alone are more false positives, or there are none.
        """
        last = int(np.flatnonzero(self.rates <= rate)[-1])
        return None if last == 0 else float(self.probabilities[last])

    @cached_property
    def points(self) -> tuple[Interval, ...]:
        """Sensitivity at each of :data:`RATES`."""
        bands = self.resampled[:, ::32].T
        return tuple(
            _interval(self.sensitivity(rate), band) for rate, band in zip(RATES, bands, strict=True)
        )

    @cached_property
    def cpm(self) -> Interval:
        """Mean sensitivity at :data:`RATES`."""
        value = float(np.mean([point.value for point in self.points]))
        return _interval(value, self.resampled[:, ::32].mean(axis=1))

    def counts(self) -> dict[str, int]:
        """Count scans, nodules, and candidates by what they lie on."""
        return {
            "scans": len(self.marks),
            "scans_with_nodules": sum(bool(scan.hits) for scan in self.marks),
            "nodules": self.nodules,
            "nodules_hit": self.detected,
            "candidates": sum(scan.candidates for scan in self.marks),
            "false_positives": sum(len(scan.false_positives) for scan in self.marks),
            "candidates_on_excluded": sum(scan.excluded for scan in self.marks),
            "repeated_hits": sum(scan.repeated for scan in self.marks),
        }

    def text(self) -> str:
        """Return score, sensitivities and counts for the terminal."""
        ends = self.cpm.ends
        interval = f" (95 % {ends[0]:.4f} - {ends[1]:.4f})" if ends else ""
        values = "  ".join(
            f"{name}: {point.value:.4f}" for name, point in zip(NAMES, self.points, strict=True)
        )
        counts = self.counts()
        return (
            f"CPM {self.cpm.value:.4f}{interval}\n"
            f"sensitivity by false positives per scan  {values}\n"
            f"{counts['nodules_hit']} of {counts['nodules']} nodules hit in "
            f"{counts['scans']} scans, {counts['false_positives']} false positives, "
            f"{counts['candidates_on_excluded']} candidates on excluded findings"
        )

    @cached_property
    def band(self) -> tuple[Floats, Floats] | None:
        """Lower and upper end of the sensitivity at :data:`BAND_RATES`; None for a single scan."""
        ends = [_interval(0.0, column).ends for column in self.resampled.T]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends):
            return None
        low, high = np.array(known).T
        return low, high


def score(marks: Sequence[Marks], *, seed: int = 0) -> Froc:
    """Compute the FROC of scans.

    Args:
        marks: of every scan, also of those without nodules or candidates.
        seed: of the resampling of the scans.

    Raises:
        ValueError: for scans without a nodule: nothing could be detected.
    """
    entries = _Entries.of(marks)
    if not entries.nodules.sum():
        raise ValueError("scans: must have at least one nodule, got none")
    once = np.ones(len(marks))
    rates, sensitivities = entries.curve(once)
    return Froc(tuple(marks), rates, sensitivities, entries.probabilities, _resample(entries, seed))


@dataclass(frozen=True)
class _Entries:
    """Hits and false positives of all scans by falling probability.

    Args:
        scan: (N,) number of the scan.
        is_hit: (N,) whether it is the hit of a nodule, or a false positive.
        ends: (P,) index of the last entry of each probability.
        probabilities: (P + 1,) of the curve's points; the first counts nothing.
        nodules: (scans,) number of nodules.
    """

    scan: npt.NDArray[np.int64]
    is_hit: npt.NDArray[np.bool_]
    ends: npt.NDArray[np.int64]
    probabilities: Floats
    nodules: npt.NDArray[np.int64]

    @classmethod
    def of(cls, marks: Sequence[Marks]) -> _Entries:
        found = [
            (probability, number, is_hit)
            for number, scan in enumerate(marks)
            for is_hit, several in ((True, scan.hits), (False, scan.false_positives))
            for probability in several
            if not math.isnan(probability)
        ]
        columns = np.array(found, float).reshape(-1, 3)
        values, scan, is_hit = columns[np.argsort(-columns[:, 0], kind="stable")].T
        last_of_equals = np.append(values[1:] != values[:-1], True)[: len(values)]
        ends = np.flatnonzero(last_of_equals)
        probabilities = np.concatenate([[math.inf], values[ends]])
        nodules = np.array([len(scan.hits) for scan in marks], np.int64)
        return cls(scan.astype(np.int64), is_hit > 0, ends, probabilities, nodules)

    def curve(self, times: Floats) -> tuple[Floats, Floats]:
        """Return false positives per scan and sensitivity of each point.

        Args:
            times: (scans,) how often each scan counts.
        """
        weights = times[self.scan]
        hits = np.cumsum(np.where(self.is_hit, weights, 0.0))[self.ends]
        false = np.cumsum(np.where(self.is_hit, 0.0, weights))[self.ends]
        return (
            np.concatenate([[0.0], false]) / times.sum(),
            np.concatenate([[0.0], hits]) / float(times @ self.nodules),
        )


def _resample(entries: _Entries, seed: int) -> Floats:
    """Return (resamplings, band) sensitivity at :data:`BAND_RATES`; none for a single scan."""
    scans = len(entries.nodules)
    generator = np.random.default_rng(seed)
    curves = []
    for _ in range(RESAMPLES if scans > 1 else 0):
        drawn = generator.integers(scans, size=scans)
        times = np.bincount(drawn, minlength=scans).astype(float)
        if times @ entries.nodules:
            curves.append(np.interp(BAND_RATES, *entries.curve(times)))
    return np.array(curves).reshape(-1, len(BAND_RATES))


def _interval(value: float, resampled: Floats) -> Interval:
    """Return the ends as LUNA16's evaluation takes them from the sorted resamplings."""
    if not len(resampled):
        return Interval(value)
    ordered, tail = np.sort(resampled), (1 - CONFIDENCE) / 2
    low, high = (math.floor(share * len(ordered)) for share in (tail, 1 - tail))
    return Interval(value, float(ordered[low]), float(ordered[min(high, len(ordered) - 1)]))
