"""Differences between two configs, independent of how the files are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from scripts.audit.bundle_files import FolderFiles
from scripts.audit.components import audit_components
from scripts.audit.findings import LOW, Finding, by_risk, clipped
from scripts.audit.names import Names
from scripts.bundle.compose import compose

LONGEST = 100
RUN = ("target", "expression", "import")  # kinds of low findings that run code, unlike paths
Change = dict[str, str]


def compare(before: Sequence[str], after: Sequence[str]) -> tuple[list[Change], list[Finding]]:
    """Compare two configs.

    Macros and relative ids are replaced first, so that moving a part to another file is not a
    difference. The config that a run recorded (``training_config.json``) can be compared too.

    Args:
        before: files of the first config, composed in order.
        after: files of the second config.

    Returns:
        Changes (``change``: added, removed, changed, moved or calls; ``id``; ``text``), and the
        findings of what only the second config would run, read, write or send.

    Raises:
        ValueError: for a file that does not exist or cannot be read.
    """
    left, right = (compose(list(files), FolderFiles().read) for files in (before, after))
    folder = Path(after[0]).resolve().parent
    names = Names(FolderFiles(folder.parent if folder.name == "configs" else folder).read_inside)
    known = {(f.level, f.kind, f.what) for f in audit_components(left, names)}
    added = [
        one
        for one in audit_components(right, names)
        if (one.level, one.kind, one.what) not in known and (one.level != LOW or one.kind in RUN)
    ]
    return list(_differ(left.config, right.config, "")), by_risk(added)


def _differ(old: Any, new: Any, id_: str) -> Iterator[Change]:
    """Yield the changes from one item to another."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _differ_dictionaries(old, new, id_)
    elif _has_parts(old) and _has_parts(new):
        yield from _differ_lists(old, new, id_)
    elif json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True) and old != new:
        text = f"is {_shown(new)}, was {_shown(old)}"
        yield {"change": "changed", "id": id_, "text": text}


def _has_parts(value: Any) -> bool:
    """Whether a list's items are compared one by one."""
    return isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)


def _differ_dictionaries(old: dict[str, Any], new: dict[str, Any], id_: str) -> Iterator[Change]:
    """Yield the changes between two dictionaries."""
    for key in dict.fromkeys([*old, *new]):
        inner = f"{id_}::{key}" if id_ else key
        if key == "_target_" and old.get(key) != new.get(key) and key in old and key in new:
            text = f"calls {_shown(new[key])} instead of {_shown(old[key])}"
            yield {"change": "calls", "id": id_, "text": text}
        elif key not in new:
            yield {"change": "removed", "id": inner, "text": f"removed, was {_shown(old[key])}"}
        elif key not in old:
            yield {"change": "added", "id": inner, "text": f"added: {_shown(new[key])}"}
        else:
            yield from _differ(old[key], new[key], inner)


def _differ_lists(old: list[Any], new: list[Any], id_: str) -> Iterator[Change]:
    """Yield the changes between two lists, whose items are matched by label."""
    labels, other = [_label(item) for item in old], [_label(item) for item in new]
    pairs = []
    for block in SequenceMatcher(None, labels, other, autojunk=False).get_matching_blocks():
        pairs += [(block.a + step, block.b + step) for step in range(block.size)]
    removed = [i for i in range(len(old)) if i not in {a for a, _ in pairs}]
    added = [i for i in range(len(new)) if i not in {b for _, b in pairs}]
    for target in list(added):
        source = next((i for i in removed if labels[i] == other[target]), None)
        if source is not None:
            removed.remove(source)
            added.remove(target)
            pairs.append((source, target))
            text = f"{other[target]} moved from index {source} to {target}"
            yield {"change": "moved", "id": f"{id_}::{target}", "text": text}
    both = (("removed", "from", old, removed), ("added", "to", new, added))
    for change, to, items, indices in both:
        for index in indices:
            text = f"{change} {to} the list: {_shown(items[index])}"
            yield {"change": change, "id": f"{id_}::{index}", "text": text}
    for source, target in sorted(pairs):
        yield from _differ(old[source], new[target], f"{id_}::{target}")


def _label(item: Any) -> str:
    """Label an item of a list by its target or name, else by its keys or value."""
    if isinstance(item, dict):
        for key in ("_target_", "name"):
            if isinstance(item.get(key), str):
                return str(item[key])
        return f"dictionary of {', '.join(sorted(map(str, item)))}"
    return json.dumps(item)


def _shown(value: Any) -> str:
    """Format a value on one short line, a component as a call."""
    if isinstance(value, dict) and isinstance(value.get("_target_"), str):
        given = [f"{k}={_shown(v)}" for k, v in value.items() if k != "_target_"]
        return clipped(f"{value['_target_']}({', '.join(given)})", LONGEST)
    return clipped(json.dumps(value, ensure_ascii=False), LONGEST)


def difference_text(
    changes: Sequence[Change], added: Sequence[Finding], sides: Sequence[str]
) -> str:
    """Format a comparison for printing.

    Args:
        changes: first result of :func:`compare`.
        added: second result of :func:`compare`.
        sides: names of the two configs.
    """
    lines = [f"from {sides[0]}", f"to   {sides[1]}", ""]
    if not changes:
        return "\n".join([*lines, "no difference: both files compose to the same config"])
    lines += [f"  {change['id'] or '(whole config)'}: {change['text']}" for change in changes]
    if added:
        lines += ["", "only the second one runs:"]
    for finding in added:
        where = f"{finding.file}:{finding.place}"
        what = f"{clipped(finding.what, LONGEST)}: {clipped(finding.why)}"
        lines += [f"  {finding.level:7} {where}  {what}"]
    return "\n".join(lines)
