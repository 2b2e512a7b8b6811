"""The nine ratings that LIDC-IDRI's readers gave a nodule, and its texture by their median.

Source: Armato et al., Med. Phys. 38:915, 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

# The ratings and the highest value of each; all begin at 1.
RATINGS = {
    "subtlety": 5,
    "internalStructure": 5,  # the scale ends at 4, but one reader gave a 5
    "calcification": 6,
    "sphericity": 5,
    "margin": 5,
    "lobulation": 5,
    "spiculation": 5,
    "texture": 5,
    "malignancy": 5,
}
TEXTURE_GROUPS = ("solid", "part_solid", "ground_glass")


def check_rating(name: str, value: object) -> int:
    """Return a rating that is on its scale.

    Raises:
        ValueError: naming the rating.

    Example:
        >>> check_rating("calcification", 6)
        6
    """
    highest = RATINGS[name]
    if not isinstance(value, int) or not 1 <= value <= highest:
        raise ValueError(f"{name} must be a whole number from 1 to {highest}, got {value!r:.40}")
    return value


def read_ratings(name: str, cell: str) -> list[int]:
    """Read the ratings of several readers: ``5|4|4``.

    Raises:
        ValueError: naming the rating.

    Example:
        >>> read_ratings("texture", "5|4|4")
        [5, 4, 4]
    """
    try:
        values = [int(rating) for rating in cell.split("|")]
    except ValueError:
        raise ValueError(f"{name}: must be ratings like 5|4|4, got {cell[:40]!r}") from None
    return [check_rating(name, value) for value in values]


def texture_group(ratings: Sequence[int]) -> str:
    """Return solid (median of the readers' texture 5), ground glass (1) or part solid (between).

    Example:
        >>> [texture_group(ratings) for ratings in ([5, 5, 4], [5, 4], [1, 1, 1])]
        ['solid', 'part_solid', 'ground_glass']
    """
    middle = median(ratings)
    return {5: "solid", 1: "ground_glass"}.get(middle, "part_solid")  # type: ignore[call-overload,no-any-return]
