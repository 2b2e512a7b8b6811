"""Findings of an audit, each with its level of risk and its location, and as text to print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HIGH, MEDIUM, PROBLEM, LOW = "high", "medium", "problem", "low"
LEVELS = (HIGH, MEDIUM, PROBLEM, LOW)
THRESHOLDS = LEVELS[:-1]
LONGEST = 160


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


def printable(text: str) -> str:
    """Escape control characters, which would move the cursor or hide text in a terminal.

    Example:
        >>> printable("a\\x1b[2Kb")
        'a\\\\x1b[2Kb'
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def clipped(text: str, longest: int = LONGEST) -> str:
    """Shorten a text to one line.

    Example:
        >>> clipped("a b  c", 3)
        'a ...'
    """
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()} ..."


def as_text(findings: Sequence[Finding], title: str, *, low: bool = True) -> str:
    """Format findings, the highest risk first.

    Args:
        findings: findings, sorted.
        title: names of the audited files.
        low: whether to list low findings.
    """
    by_level = {level: [one for one in findings if one.level == level] for level in LEVELS}
    lines = [title, "  ".join(f"{level}: {len(by_level[level])}" for level in LEVELS)]
    for level, of_level in by_level.items():
        if not of_level or (level == LOW and not low):
            continue
        lines += ["", level.upper()]
        for finding in of_level:
            lines += _lines(finding)
    return printable("\n".join(lines))


def _lines(finding: Finding) -> list[str]:
    """Format one finding on three lines, a low one on one line."""
    location = f"{finding.file}:{finding.place}" if finding.place else finding.file
    what, why = clipped(finding.what), clipped(finding.why)
    if finding.level == LOW:
        return [f"  {finding.kind:10} {location}  {what}  ({why})"]
    return [f"  {finding.kind:10} {location}", f"  {'':10}   {what}", f"  {'':10}   {why}"]


def as_lines(findings: Sequence[Finding], *, title: str) -> str:
    """Format what a strict policy refuses, one line each; one line when it refuses nothing."""
    lines = [
        f"refused ({one.level}): {':'.join(filter(None, (one.file, one.place)))}: "
        f"{clipped(one.what, 100)}: {clipped(one.why)}"
        for one in findings
        if one.level != LOW
    ]
    return printable("\n".join(lines or [f"allowed: {title}"]))
