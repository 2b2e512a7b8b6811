"""The readers' ratings of a nodule's malignancy, and the label that a classifier learns.

Each reader of LIDC-IDRI rated every nodule of 3 mm or more from 1 (highly unlikely) over 3
(indeterminate) to 5 (highly suspicious of malignancy). Ratings are opinions of radiologists on one
CT, not pathology.

Source: Armato et al., Med. Phys. 38:915, 2011.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scripts.running.options import check_choice, check_whole

INDETERMINATE = 3
LOWEST, HIGHEST = 1, 5
AGGREGATES = ("median", "mean")


@dataclass(frozen=True)
class LabelRule:
    """How the ratings of one nodule become a label.

    Args:
        aggregate: ``median`` or ``mean`` of the ratings; above 3 is suspicious, below 3 is
            unsuspicious, 3 is left out.
        min_readers: nodules rated by fewer readers are left out.
    """

    aggregate: str = "median"
    min_readers: int = 3

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for another aggregate, or a number of readers other than 1 to 4.
        """
        check_choice("aggregate", self.aggregate, AGGREGATES)
        check_whole("min_readers", self.min_readers, 1, 4)

    def label(self, ratings: Sequence[int]) -> bool | None:
        """Return whether a nodule counts as suspicious; None for one that is left out.

        Raises:
            ValueError: for a rating that is not 1 to 5.

        Example:
            >>> rule = LabelRule()
            >>> rule.label([5, 4, 4]), rule.label([2, 3, 1, 2]), rule.label([3, 3, 3, 5])
            (True, False, None)
        """
        for rating in ratings:
            check_whole("malignancy", rating, LOWEST, HIGHEST)
        if len(ratings) < self.min_readers:
            return None
        value = float(np.median(ratings) if self.aggregate == "median" else np.mean(ratings))
        return None if value == INDETERMINATE else value > INDETERMINATE

    def count(self, ratings: Iterable[Sequence[int]]) -> dict[str, int]:
        """Count the nodules of each label, and those that are left out, by reason."""
        counts = dict.fromkeys(("suspicious", "unsuspicious", "indeterminate", "few_readers"), 0)
        for each in ratings:
            label = self.label(each)
            if label is not None:
                counts["suspicious" if label else "unsuspicious"] += 1
            else:
                few = len(each) < self.min_readers
                counts["few_readers" if few else "indeterminate"] += 1
        return counts

    def record(self) -> dict[str, Any]:
        """Return the rule for a file."""
        return asdict(self)
