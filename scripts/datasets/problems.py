"""Problems with single scans, files or rows, which are reported while the others are prepared."""

from __future__ import annotations

from dataclasses import asdict, dataclass

COLUMNS = ("scan_id", "place", "reason", "left_out")  # of the report's CSV


@dataclass(frozen=True)
class Problem:
    """A scan, file or row that could not be used, or only with an assumption.

    Args:
        scan_id: the scan (series, patient); empty if unknown.
        place: the file, and the row if there is one (line of the file, the header is line 1);
            empty if the reason names the file.
        reason: what is wrong, so that the user can correct it.
        left_out: whether the whole scan is left out because of it.
    """

    scan_id: str
    place: str
    reason: str
    left_out: bool = True

    def __str__(self) -> str:
        """One line for the screen."""
        consequence = "scan left out" if self.left_out else "scan kept"
        where = f"{self.place}: " if self.place else ""
        if not self.scan_id:
            return f"{where}{self.reason}"
        return f"{self.scan_id}: {where}{self.reason} [{consequence}]"

    def row(self) -> dict[str, str | bool]:
        """Columns of the report."""
        return asdict(self)
