"""What was wrong with one patient: kept, reported by name and file, and the others go on."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that could not be used, or only with a doubt.

    Args:
        patient_id: the patient; empty where none can be named.
        reason: file and what is wrong with it, in words for the one who can mend it.
        left_out: whether the whole patient is left out because of it.
    """

    patient_id: str
    reason: str
    left_out: bool = True

    def __str__(self) -> str:
        """One line for the screen."""
        consequence = "patient left out" if self.left_out else "patient kept"
        return f"{self.patient_id or '(no patient)'}: {self.reason} [{consequence}]"

    def row(self) -> dict[str, str | bool]:
        """Columns of the report."""
        return asdict(self)
