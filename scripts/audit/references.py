"""Audit of references: dangling and circular references, unused ids."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from monai.bundle.properties import InferProperties, TrainProperties
from monai.utils import BundlePropertyConfig

from scripts.audit.findings import MEDIUM, PROBLEM, Finding, Sign
from scripts.bundle.compose import META, Composition
from scripts.bundle.config_files import MissingError, find, load, references_of, walk
from scripts.bundle.ids import TRACKING_IDS, all_ids

ROOT = Path(__file__).resolve().parents[2]
RUN_IDS = ("run", "training", "pretraining", "evaluating", "inferring")
# dictionaries whose entries are ids of their own, unlike the arguments of a component
GROUPS = ("train", "validate")
# read by `python -m scripts predict`
PROGRAM_IDS = ("segments",)
PROPERTIES = [*TrainProperties.values(), *InferProperties.values()]
RESERVED = frozenset(
    [str(one[BundlePropertyConfig.ID]) for one in PROPERTIES]
    + ["imports", "initialize", "finalize", META, *RUN_IDS, *TRACKING_IDS, *PROGRAM_IDS]
)


def audit_references(
    composition: Composition, referenced: frozenset[str] = frozenset()
) -> list[Finding]:
    """Check references between the ids of a config.

    Args:
        composition: the composed config.
        referenced: ids that other configs of the bundle or the project refer to. They are not
            reported as unused, because one overlay may serve several configs.

    Returns:
        Problems: dangling and circular references, unused ids.
    """
    own = {key: value for key, value in composition.config.items() if key != META}
    problems: list[Finding] = []
    referred: dict[str, list[str]] = {}
    for id_, value in walk(own):
        for wanted in references_of(value):
            referred.setdefault(wanted, []).append(id_)
    evaluated = _evaluated_ids(own)
    for wanted, places in referred.items():
        for id_ in places:
            if id_.partition("::")[0] in evaluated and not wanted.startswith("::"):
                problems += _dangling(composition, own, wanted, id_)
    for id_ in _circle(own, referred):
        why = "refers to itself in a circle"
        problems.append(_problem(composition, "reference", id_, what=f"@{id_}", why=why))
    return [*problems, *_unused(composition, frozenset(referred), referenced)]


def audit_files(composition: Composition, home: str = "") -> list[Finding]:
    """Report the remarks made when the config was composed.

    Args:
        composition: the composed config.
        home: the bundle's folder, whose files a macro may name by their full path.
    """
    remarks = [r for r in composition.remarks if not (home and r.what.startswith(f"%{home}/"))]
    return [
        Sign(MEDIUM if one.kind == "read" else PROBLEM, one.kind, one.what, one.why).at(
            one.file, one.id
        )
        for one in remarks
    ]


def _problem(composition: Composition, kind: str, id_: str, *, what: str, why: str) -> Finding:
    """Create a finding of level "problem" in the file that sets an id."""
    return Sign(PROBLEM, kind, what, why).at(composition.file_of(id_), id_)


def _evaluated_ids(own: dict[str, Any]) -> set[str]:
    """Return the top-level ids that a run, or an application that loads the bundle, evaluates.

    MONAI evaluates no others, so that they may refer to ids that only another workflow has.
    """
    reserved = {one.partition("::")[0] for one in RESERVED}
    waiting = [key for key, value in own.items() if key in reserved or _is_to_run(value)]
    if not {*RUN_IDS} & own.keys():
        return set(own)  # not a complete config
    reached: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            inner = [one for _, v in walk(own.get(key)) for one in references_of(v)]
            waiting += [one.partition("::")[0] for one in inner]
    return reached


def _dangling(
    composition: Composition, own: dict[str, Any], wanted: str, id_: str
) -> Iterator[Finding]:
    """Yield a problem when a reference has no target."""
    with suppress(MissingError):
        find(own, wanted)
        if wanted:
            return
    near = difflib.get_close_matches(wanted, list(all_ids(own)), n=2, cutoff=0.6)
    hint = f"; did you mean {', '.join('@' + one for one in near)}?" if near else ""
    why = f"refers to nothing{hint}" if wanted else "refers to nothing: an id must follow @"
    yield _problem(composition, "reference", id_, what=f"@{wanted}", why=why)


def _circle(own: dict[str, Any], referred: Iterable[str]) -> list[str]:
    """List the ids of a circle of references, none if there is no circle."""
    needs: dict[str, list[str]] = {}
    for wanted in referred:
        with suppress(MissingError):
            inside = walk(find(own, wanted)) if wanted else ()
            needs[wanted] = [one for _, value in inside for one in references_of(value)]
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(dict.fromkeys(error.args[1]))
    return []


def _unused(
    composition: Composition, referred: frozenset[str], referenced: frozenset[str]
) -> Iterator[Finding]:
    """Yield a problem for each id that is set but not used."""
    known = referred | referenced | RESERVED | composition.macros
    for id_ in dict.fromkeys(_set_ids(composition)):
        if _is_used(composition.config, id_, known):
            continue
        near = difflib.get_close_matches(id_, sorted(known), n=2, cutoff=0.7)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        yield _problem(composition, "id", id_, what=id_, why=f"no id uses it{hint}")


def _set_ids(composition: Composition) -> Iterator[str]:
    """Yield the ids that the files set; for those of :data:`GROUPS`, their entries."""
    for id_ in composition.written:
        with suppress(MissingError):
            value = find(composition.config, id_)
            is_group = id_ in GROUPS and isinstance(value, dict) and "_target_" not in value
            yield from ([f"{id_}::{key}" for key in value] if is_group else [id_])


def _is_used(config: dict[str, Any], id_: str, known: frozenset[str]) -> bool:
    """Whether an id, or an id above or below it, is used."""
    parts = id_.split("::")
    above = ["::".join(parts[:length]) for length in range(1, len(parts) + 1)]
    if any(one in known for one in above) or any(one.startswith(f"{id_}::") for one in known):
        return True
    parent = find(config, above[-2]) if len(above) > 1 else {}
    if len(above) > 1 and (isinstance(parent, list) or "_target_" in parent):
        return _is_used(config, above[-2], known)
    return len(above) == 1 and _is_to_run(find(config, id_))


def _is_to_run(value: Any) -> bool:
    """Whether a value is a list of expressions, which ``run ID`` runs."""
    expressions = isinstance(value, list) and all(isinstance(v, str) for v in value)
    return bool(value) and expressions and all(v[:1] in ("$", "@") for v in value)


def references_in(configs: Iterable[Any]) -> frozenset[str]:
    """Collect the ids that configs refer to."""
    return frozenset(
        one for config in configs for _, value in walk(config) for one in references_of(value)
    )


@lru_cache(maxsize=1)
def references_of_project() -> frozenset[str]:
    """Collect the ids that this project's configs refer to."""
    files = [*ROOT.glob("configs/**/*.json"), *ROOT.glob("bundles/*/configs/*.json")]
    return references_in(load(str(file), file.read_bytes())[0] for file in sorted(files))
