"""What a study may name: bundles, networks, strategies, losses and so on, as they lie in configs/.

Paths start from the repository's root, where every command is run.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from scripts.datasets.ircadb.dataset import Ircadb
from scripts.datasets.luna16.dataset import Luna16
from scripts.preparation.splits import splits_of

GRAPH_CUT = "graph_cut"
SCRATCH = "scratch"
OWN = "own"
WEIGHTS = ("imagenet", OWN, "none")


@dataclass(frozen=True)
class Bundle:
    """What a study must know of a bundle.

    Args:
        folder: the bundle's.
        data_set: name of its ``prepare`` and ``phantom`` commands.
        labels: kinds of labels that it can be prepared with.
        splits: kinds of splits.
        leaking: those that put one patient on several sides.
        untested: those without a test section, as in a paper; their validation is evaluated.
        losses: folder of its losses.
        cases: table of its evaluation whose rows are compared in pairs, and the columns that name
            a case.
    """

    folder: str
    data_set: str
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    leaking: tuple[str, ...]
    untested: tuple[str, ...]
    losses: str
    cases: tuple[str, tuple[str, ...]]


BUNDLES = {
    "lung_nodule_ct_segmentation": Bundle(
        "bundles/lung_nodule_ct_segmentation",
        "luna16",
        Luna16.label_kinds,
        tuple(splits_of(Luna16)),
        tuple(name for name, split in splits_of(Luna16).items() if split.leak),
        (),
        "configs/losses",
        ("per_nodule.csv", ("series_uid", "nodule")),
    ),
    "liver_ct_segmentation": Bundle(
        "bundles/liver_ct_segmentation",
        "ircadb",
        ("organs",),
        tuple(splits_of(Ircadb)),
        ("slice_random", "slice_block"),
        ("slice_random",),
        "configs/class_losses",
        ("per_volume.csv", ("series_uid",)),
    ),
}


def named(folder: str) -> list[str]:
    """List the names of the config files in a folder."""
    return sorted(path.stem for path in Path(folder).glob("*.json"))


def check_name(where: str, value: object, valid: Collection[str]) -> str:
    """Return a name that is valid.

    Raises:
        ValueError: saying where it stands, the nearest valid names, and all of them.

    Example:
        >>> check_name("strategy", "bstf", ["bsft", "full"])
        Traceback (most recent call last):
        ...
        ValueError: strategy: no 'bstf'; did you mean bsft? Valid are bsft, full
    """
    if isinstance(value, str) and value in valid:
        return value
    near = difflib.get_close_matches(str(value), list(valid), n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    raise ValueError(f"{where}: no {value!r}{hint} Valid are {', '.join(valid)}")


def check_keys(where: str, found: Collection[str], valid: Collection[str]) -> None:
    """Refuse keys that nothing reads.

    Raises:
        ValueError: for the first of them.
    """
    for key in found:
        check_name(f"{where}: key", key, valid)
