"""What was wrong with one scan or one row: kept, reported by name, and the others go on."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that could not be used.

    Args:
        series_uid: the series it belongs to; empty where no series can be named.
        place: the file, and the row where there is one (line of the file, the header is line 1).
        reason: what is wrong, in words for the one who can mend it.
        scan_left_out: whether the whole scan is left out because of it.
    """

    series_uid: str
    place: str
    reason: str
    scan_left_out: bool = True

    def __str__(self) -> str:
        """One line for the screen."""
        consequence = "scan left out" if self.scan_left_out else "scan kept"
        return f"{self.series_uid or '(no series)'}: {self.place}: {self.reason} [{consequence}]"

    def row(self) -> dict[str, str | bool]:
        """Columns of the report."""
        return asdict(self)
