"""The least agreement of members that is usual, calibrated on annotated scans, in a small file.

The limit is the k-th lowest of the calibration cases' agreements, with k = share * (n + 1) rounded
down, at least 1. A further scan of the same kind lies below it with a probability of at most
k / (n + 1) (the order statistic of split conformal prediction: Bates et al., Testing for outliers
with conformal p-values, Annals of Statistics 51, 2023). Only scans that no member was trained on
count, see :mod:`scripts.prediction.members.held_out`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from scripts.prediction.members.agreement import DECIMALS, Agreement
from scripts.storage.files import plain, read_json, write_json

FILE = "agreement.json"
FORMAT = "agreement of members 2"
RULE = (
    "flagged if the mean pairwise Dice of the members is below the limit, which is the k-th lowest "
    "of the calibration cases, k = share * (cases + 1) rounded down, at least 1; so a scan of the "
    "same kind is flagged with a probability of at most k / (cases + 1)"
)
HOW = "python -m scripts evaluate members DATALIST OUTPUT --section validation"


@dataclass(frozen=True)
class Members:
    """What an agreement depends on.

    Attributes:
        weights: SHA-256 of the weights of each network, in alphabetical order; a file of a training
            and its package hold the same.
        flips: axes of the flips.
        config_sha256: of the bundle's config with overlays, options and settings of the network.
        threshold: of the mask; None for the most probable class.
    """

    weights: tuple[str, ...]
    flips: tuple[str, ...]
    config_sha256: str
    threshold: float | None

    def differences(self, other: Members) -> list[str]:
        """Name the attributes in which two differ, in words."""
        words = {"weights": "other networks", "flips": "other flips"}
        words |= {"config_sha256": "another config", "threshold": "another threshold"}
        return [words[f.name] for f in fields(self) if vars(self)[f.name] != vars(other)[f.name]]


@dataclass(frozen=True)
class AgreementLimit:
    """A calibrated limit.

    Attributes:
        limit: mean pairwise Dice below which a scan is flagged.
        share: of usual scans that may be flagged, as asked for.
        rate: largest probability with which a usual scan is flagged.
        cases: number of calibration cases.
        patients: of these.
        members: that they were predicted with.
    """

    limit: float
    share: float
    rate: float
    cases: int
    patients: int
    members: Members

    @classmethod
    def calibrated(
        cls, agreements: Sequence[float], patients: Sequence[str], share: float, members: Members
    ) -> AgreementLimit:
        """Compute the limit of some cases.

        Args:
            agreements: mean pairwise Dice of each case.
            patients: patient of each.
            share: of usual scans that may be flagged, between 0 and 1.
            members: that they were predicted with.
        """
        count = len(agreements)
        rank = max(1, int(share * (count + 1) + 1e-9))
        limit = round(sorted(agreements)[rank - 1], DECIMALS)
        rate = round(rank / (count + 1), DECIMALS)
        return cls(limit, share, rate, count, len(set(patients)), members)

    @property
    def remark(self) -> str | None:
        """Say that there were too few scans for the share asked for; None if there were enough."""
        least = math.ceil(1 / self.share - 1e-9) - 1
        if self.cases >= least:
            return None
        return (
            f"up to {100 * self.rate:.3g} % of usual scans lie below the limit, not "
            f"{100 * self.share:g} %, which takes at least {least} scans"
        )

    def flags(self, agreement: float) -> bool:
        """Whether an agreement is unusually low."""
        return round(agreement, DECIMALS) < self.limit

    def record(self) -> dict[str, Any]:
        """Return what a result states of the limit."""
        return {
            "limit": self.limit,
            "usual_scans_flagged_at_most": self.rate,
            "calibration_cases": self.cases,
            "calibration_patients": self.patients,
        }

    def write(self, path: Path, evidence: Mapping[str, Any]) -> None:
        """Write the file.

        Args:
            path: of the file.
            evidence: further entries: what the agreement was worth on the calibration cases.
        """
        write_json(path, {"format": FORMAT, **asdict(self), "rule": RULE, "evidence": evidence})


def read_limit(path: Path) -> AgreementLimit:
    """Read the file.

    Raises:
        FileNotFoundError: when it does not exist.
        ValueError: for a file of another kind, or a damaged one.
    """
    if not path.is_file():
        raise FileNotFoundError(f"agreement: no such file: {path}; {HOW} writes it")
    try:
        content = read_json(path)
        if content["format"] != FORMAT:
            raise ValueError(
                f"its format is {content['format']!r}, expected {FORMAT!r}; if an earlier "
                "version wrote it, calibrate again"
            )
        members = content["members"]
        return AgreementLimit(
            limit=float(content["limit"]),
            share=float(content["share"]),
            rate=float(content["rate"]),
            cases=int(content["cases"]),
            patients=int(content["patients"]),
            members=Members(
                tuple(map(str, members["weights"])),
                tuple(map(str, members["flips"])),
                str(members["config_sha256"]),
                None if members["threshold"] is None else float(members["threshold"]),
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"agreement: {path} is not a file of `{HOW}`: {error or type(error).__name__}"
        ) from error


def refuse_other_members(path: Path, limit: AgreementLimit, members: Members) -> None:
    """Refuse a limit that was calibrated with something else.

    Raises:
        ValueError: naming what differs.
    """
    if found := members.differences(limit.members):
        raise ValueError(
            f"agreement: {path} was calibrated with {' and '.join(found)}; its limit does not hold "
            f"here: repeat {HOW} with these files and options, or leave --agreement out"
        )


def record_of(agreement: Agreement, limit: AgreementLimit | None) -> dict[str, Any]:
    """Return what statistics and manifest state of a study's agreement."""
    value = round(agreement.mean_dice, DECIMALS)
    dice = {kind: round(dice, DECIMALS) for kind, dice in agreement.dice.items()}
    common = {"members": list(agreement.members), "mean_pairwise_dice": value, "dice": dice}
    if limit is None:
        note = f"not calibrated, so nothing is flagged; `{HOW}` calibrates it"
        return {**common, "flagged": None, "note": note}
    flagged = limit.flags(value)
    record: dict[str, Any] = plain({**common, "flagged": flagged, **limit.record()})
    return record


def warning_of(record: Mapping[str, Any]) -> str | None:
    """Return the warning of a study that is flagged; None for others."""
    if not record["flagged"]:
        return None
    return (
        f"the {len(record['members'])} members agree less than usual: mean pairwise Dice "
        f"{record['mean_pairwise_dice']:.3f}, below {record['limit']:.3f} (at most "
        f"{100 * record['usual_scans_flagged_at_most']:.0f} % of scans like the "
        f"{record['calibration_cases']} of the calibration); the segmentation may have failed: "
        "look at the mask"
    )
