"""Findings as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.audit.findings import LEVELS, LOW, Finding, count_levels

LONGEST = 160


def printable(text: str) -> str:
    """Write out what would move the cursor, colour or hide text in a terminal.

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
    """Write findings out, the riskiest first.

    Args:
        findings: sorted.
        title: what was audited.
        low: whether to list what is known and harmless.
    """
    counts = count_levels(findings)
    lines = [title, "  ".join(f"{level}: {counts[level]}" for level in LEVELS)]
    for level in LEVELS:
        chosen = [finding for finding in findings if finding.level == level]
        if not chosen or (level == LOW and not low):
            continue
        lines += ["", level.upper()]
        for finding in chosen:
            lines += _lines(finding)
    return printable("\n".join(lines))


def _lines(finding: Finding) -> list[str]:
    """Write one finding: on one line where it is low."""
    where = f"{finding.file}:{finding.place}" if finding.place else finding.file
    what, why = clipped(finding.what), clipped(finding.why)
    if finding.level == LOW:
        return [f"  {finding.kind:10} {where}  {what}  ({why})"]
    return [f"  {finding.kind:10} {where}", f"  {'':10}   {what}", f"  {'':10}   {why}"]
