"""Findings as text for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.audit.findings import LEVELS, LOW, Finding, count_levels

LONGEST = 160


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


def as_text(findings: Sequence[Finding], *, title: str, low: bool = True) -> str:
    """Format findings, the highest risk first.

    Args:
        findings: findings, sorted.
        title: names of the audited files.
        low: whether to list low findings.
    """
    counts = count_levels(findings)
    lines = [title, "  ".join(f"{level}: {counts[level]}" for level in LEVELS)]
    for level in LEVELS:
        of_level = [finding for finding in findings if finding.level == level]
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
