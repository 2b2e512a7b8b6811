"""What differs between two configs, in words, however they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from scripts.audit.components import audit_components
from scripts.audit.findings import LOW, Finding, by_risk
from scripts.audit.listing import clipped
from scripts.audit.names import Names
from scripts.audit.places import Disk
from scripts.bundle.compose import Composition, compose

LONGEST = 100
Change = dict[str, str]


def compare(before: Sequence[str], after: Sequence[str]) -> tuple[list[Change], list[Finding]]:
    """Compare two configs.

    Macros and relative ids are replaced first, so that what is written in another file or by
    another path is no difference. A record that a run wrote (``training_config.json``) is a config.

    Args:
        before: files that make one config.
        after: files that make the other.

    Returns:
        Changes (``change``: added, removed, changed, moved or calls; ``id``; ``text``), and what
        only the second config would run, read, write or send.

    Raises:
        ValueError: for what does not exist or cannot be read.
    """
    left, right = (compose(list(files), Disk().read) for files in (before, after))
    names = Names(Disk(_bundle_of(after[0])).read_inside)
    known = {(f.level, f.kind, f.what) for f in audit_components(left, names)}
    found = _of_executables(right, names)
    added = [f for f in found if (f.level, f.kind, f.what) not in known]
    return list(_differ(left.config, right.config, "")), by_risk(added)


def _bundle_of(file: str) -> Path:
    """Return the folder of a config's bundle."""
    folder = Path(file).resolve().parent
    return folder.parent if folder.name == "configs" else folder


def _of_executables(made: Composition, names: Names) -> list[Finding]:
    """List what a config runs; plain paths below the folder run nothing."""
    found = audit_components(made, names)
    return [f for f in found if f.level != LOW or f.kind in ("target", "expression", "import")]


def _differ(old: Any, new: Any, place: str) -> Iterator[Change]:
    """Yield the changes from one item to another."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _differ_sections(old, new, place)
    elif _has_parts(old) and _has_parts(new):
        yield from _differ_lists(old, new, place)
    elif json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True) and old != new:
        text = f"is {_shown(new)}, was {_shown(old)}"
        yield {"change": "changed", "id": place, "text": text}


def _has_parts(value: Any) -> bool:
    """Whether a list's items are compared one by one."""
    return isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)


def _differ_sections(old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[Change]:
    """Yield the changes between two dictionaries."""
    for key in dict.fromkeys([*old, *new]):
        inner = f"{place}::{key}" if place else key
        if key == "_target_" and old.get(key) != new.get(key) and key in old and key in new:
            text = f"calls {_shown(new[key])} instead of {_shown(old[key])}"
            yield {"change": "calls", "id": place, "text": text}
        elif key not in new:
            yield {"change": "removed", "id": inner, "text": f"removed, was {_shown(old[key])}"}
        elif key not in old:
            yield {"change": "added", "id": inner, "text": f"added: {_shown(new[key])}"}
        else:
            yield from _differ(old[key], new[key], inner)


def _differ_lists(old: list[Any], new: list[Any], place: str) -> Iterator[Change]:
    """Yield the changes between two lists, their items matched by what they are."""
    labels, other = [_label(item) for item in old], [_label(item) for item in new]
    pairs = []
    for block in SequenceMatcher(None, labels, other, autojunk=False).get_matching_blocks():
        pairs += [(block.a + step, block.b + step) for step in range(block.size)]
    gone = [i for i in range(len(old)) if i not in {a for a, _ in pairs}]
    come = [i for i in range(len(new)) if i not in {b for _, b in pairs}]
    for there in list(come):
        here = next((i for i in gone if labels[i] == other[there]), None)
        if here is not None:
            gone.remove(here)
            come.remove(there)
            pairs.append((here, there))
            text = f"{other[there]} moved from place {here} to {there}"
            yield {"change": "moved", "id": f"{place}::{there}", "text": text}
    for index in gone:
        text = f"removed from the list: {_shown(old[index])}"
        yield {"change": "removed", "id": f"{place}::{index}", "text": text}
    for index in come:
        text = f"added to the list: {_shown(new[index])}"
        yield {"change": "added", "id": f"{place}::{index}", "text": text}
    for here, there in sorted(pairs):
        yield from _differ(old[here], new[there], f"{place}::{there}")


def _label(item: Any) -> str:
    """Name an item of a list by what it calls or how it is called."""
    if isinstance(item, dict):
        for key in ("_target_", "name"):
            if isinstance(item.get(key), str):
                return str(item[key])
        return f"section of {', '.join(sorted(map(str, item)))}"
    return json.dumps(item)


def _shown(value: Any) -> str:
    """Show a value on one short line; a component as a call."""
    if isinstance(value, dict) and isinstance(value.get("_target_"), str):
        given = [f"{k}={_shown(v)}" for k, v in value.items() if k != "_target_"]
        return clipped(f"{value['_target_']}({', '.join(given)})", LONGEST)
    return clipped(json.dumps(value, ensure_ascii=False), LONGEST)


def difference_text(
    changes: Sequence[Change], added: Sequence[Finding], sides: Sequence[str]
) -> str:
    """Write a comparison out.

    Args:
        changes: as :func:`compare` gives them.
        added: likewise.
        sides: the two configs as they were named.
    """
    lines = [f"from {sides[0]}", f"to   {sides[1]}", ""]
    if not changes:
        return "\n".join([*lines, "no difference: the same config, however it is written"])
    lines += [f"  {change['id'] or '(the whole)'}: {change['text']}" for change in changes]
    if added:
        lines += ["", "runs what the first one does not:"]
    for finding in added:
        where = f"{finding.file}:{finding.place}"
        what = f"{clipped(finding.what, LONGEST)}: {clipped(finding.why)}"
        lines += [f"  {finding.level:7} {where}  {what}"]
    return "\n".join(lines)
