"""Findings of an audit, each with its level of risk and its location."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

HIGH, MEDIUM, PROBLEM, LOW = "high", "medium", "problem", "low"
LEVELS = (HIGH, MEDIUM, PROBLEM, LOW)
THRESHOLDS = (HIGH, MEDIUM, PROBLEM)


@dataclass(frozen=True)
class Sign:
    """A risk or problem in a piece of code or config, without its location.

    Attributes:
        level: one of :data:`LEVELS`.
        kind: target, expression, import, process, code, network, pickle, read, write, delete,
            reference, id, metric, file or name.
        what: the item as written.
        why: its effect, or what is wrong with it.
    """

    level: str
    kind: str
    what: str
    why: str

    def at(self, file: str, place: str) -> Finding:
        """Return the finding of this sign in a file, at a config id or line."""
        return Finding(self.level, self.kind, self.what, self.why, file, place)


@dataclass(frozen=True)
class Finding(Sign):
    """A sign with its location.

    Attributes:
        file: file that contains it.
        place: config id, ``line N`` of Python, or empty for the whole file.
    """

    file: str
    place: str

    def as_dict(self) -> dict[str, str]:
        """Return the entries of the JSON report."""
        return asdict(self)


def by_risk(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by level, then by file; duplicates are removed."""
    unique = dict.fromkeys(findings)
    return sorted(unique, key=lambda f: (LEVELS.index(f.level), f.file))


def at_or_above(findings: Iterable[Finding], level: str) -> list[Finding]:
    """Keep findings of a level or above; ``problem`` keeps all but low ones.

    Example:
        >>> risky = Sign("medium", "read", "open", "reads a file").at("train.json", "data")
        >>> len(at_or_above([risky], "problem")), len(at_or_above([risky], "high"))
        (1, 0)
    """
    return [f for f in findings if LEVELS.index(f.level) <= LEVELS.index(level)]


def count_levels(findings: Sequence[Finding]) -> dict[str, int]:
    """Count the findings of each level."""
    return {level: sum(f.level == level for f in findings) for level in LEVELS}
