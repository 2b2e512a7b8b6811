"""Which ids of an overlay a bundle uses: a misspelt one would be ignored without a word."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from scripts.bundle.compose import compose
from scripts.bundle.config_files import (
    Config,
    MissingError,
    Read,
    files_below,
    find,
    load_named,
    normalized,
    references_of,
    walk,
)
from scripts.bundle.ids import TRACKING_IDS
from scripts.storage.shipped import FOLDERS, ROOT, shipped, shipped_below

BY_MONAI = ("initialize", "run", "finalize", *TRACKING_IDS)  # what MONAI reads in any config


def check_files(files: Sequence[str]) -> None:
    """Check that config files can be composed, before a command begins that runs them later.

    Raises:
        ValueError: for a file that does not exist or is no config, a reference to nothing, or an id
            that nothing reads.
    """
    compose(files, files_below()).complete()
    refuse_unread(files, files_below())


def refuse_unread(files: Sequence[str], read: Read) -> None:
    """Refuse an overlay of the user's that sets an id which nothing reads.

    Read are the ids of all configs of the bundle, as one overlay may serve several of them, those
    that a config file refers to, and those of other files of ``configs/``, which a trained network
    may add. A file in ``configs/`` may also serve the other shipped bundles, and its parts may be
    copied one by one.

    Args:
        files: the bundle's config, then its overlays.
        read: returns the files.

    Raises:
        ValueError: naming the file and the id, with similar ones.
    """
    own = [load_named(files[0], read)[0], *_beside(files[0], read)]
    overlays = {name: load_named(name, read)[0] for name in files[1:]}
    text = json.dumps([*own, *overlays.values()], default=str)
    for name, overlay in overlays.items():
        for key in overlay:
            first = normalized(key).partition("::")[0]
            referred = any(f"{mark}{first}" in text for mark in ("@", "%", "::"))
            if referred or first in BY_MONAI or any(first in one for one in own):
                continue
            if not is_read_elsewhere(name, key, read):
                raise ValueError(unread(name, key, own))


def is_read_elsewhere(name: str, key: str, read: Read) -> bool:
    """Whether an id of an overlay is one of another file of ``configs/``.

    For a file in ``configs/``, also whether any shipped file copies it, or has or refers to it.

    Args:
        name: of the overlay.
        key: that it sets.
        read: returns the files.
    """
    first = normalized(key).partition("::")[0]
    file = shipped(name).resolve()
    others = [other for other in _shipped_overlays() if shipped(other).resolve() != file]
    if is_shipped(name):
        others += shipped_below("bundles", "*/configs/*.json")
        copied = f"{file.name}::{first}"
        texts = [(read(str(other)) or b"").decode("utf-8", "replace") for other in others]
        if any(copied in text or f"@{first}" in text for text in texts):
            return True
    return any(first in load_named(str(other), read)[0] for other in others)


def is_shipped(name: str) -> bool:
    """Whether a file is one of ``configs/`` or ``bundles/`` of this software, by its place."""
    file = shipped(name).resolve()
    return any(ROOT / folder in file.parents for folder in FOLDERS)


def _beside(config: str, read: Read) -> list[Config]:
    """Return the other configs in a config's folder; a file that is none is passed over."""
    found = []
    for path in sorted(Path(config).parent.glob("*.json")):
        with suppress(ValueError):
            found.append(load_named(str(path), read)[0])
    return found


def _shipped_overlays() -> list[Path]:
    return shipped_below("configs", "*/*.json")


@cache
def changed_in_part() -> frozenset[str]:
    """Return the ids of which a file of ``configs/`` sets a part, or which it adds to.

    A bundle whose config copies one of them by a macro could not take that file: MONAI merges
    files before it replaces macros, and a macro has no parts.

    Example:
        >>> {"train", "train::handlers", "optional"} <= changed_in_part()
        True
    """
    ids: set[str] = set()
    for file in _shipped_overlays():
        for key in json.loads(shipped(file).read_text(encoding="utf-8")):
            id_ = normalized(key)
            parts = id_.split("::")
            ids |= {"::".join(parts[:depth]) for depth in range(1, len(parts))}
            ids |= {id_} if key.startswith("+") else set()
    return frozenset(ids)


def unread(file: str, key: str, workflows: Iterable[Config]) -> str:
    """Describe an id of an overlay that nothing reads, with similar ids."""
    valid = sorted({name for config in workflows for name in config})
    near = difflib.get_close_matches(key, valid, n=3, cutoff=0.5)
    advice = f"; did you mean {', '.join(near)}?" if near else ", and none is similar"
    return f"config_file: {file} sets {key!r}, which no config of the bundle has{advice}"


def knows(config: Config, key: str) -> bool:
    """Whether a config has the id that a key sets, or the parent of a nested id.

    Args:
        config: flattened config.
        key: key of a config file: ``lr``, ``+handlers``, ``network_def::width``.

    Example:
        >>> knows({"network_def": {"_target_": "Net"}}, "network_def::width")
        True
        >>> knows({"network_def": {"_target_": "Net"}}, "width")
        False
    """
    id_ = normalized(key)
    try:
        find(config, id_.rpartition("::")[0] or id_)
    except MissingError:
        return False
    return True


def chosen_keys(config: Config, overlay: Mapping[str, object]) -> list[str]:
    """List the keys of an overlay that a config uses: ids that it has, and those they refer to.

    Example:
        >>> overlay = {"net": {"width": "@width"}, "width": 4, "strategy": {}}
        >>> chosen_keys({"net": {}}, overlay)
        ['net', 'width']
    """
    taken = {key for key in overlay if knows(config, key)}
    pending = list(taken)
    while pending:
        for _, value in walk(overlay[pending.pop()]):
            for first in (name.partition("::")[0] for name in references_of(value)):
                if first in overlay and first not in taken:
                    taken.add(first)
                    pending.append(first)
    return [key for key in overlay if key in taken]
