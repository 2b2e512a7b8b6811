"""References that lead nowhere, and ids that nothing reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from functools import lru_cache
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
# the arguments of components are theirs; these sections are read by the ids that they hold
SECTIONS = ("train", "validate")
# read by `python -m scripts predict`
PROGRAM_IDS = ("segments",)
PROPERTIES = [*TrainProperties.values(), *InferProperties.values()]
RESERVED = frozenset(
    [str(one[BundlePropertyConfig.ID]) for one in PROPERTIES]
    + ["imports", "initialize", "finalize", META, *RUN_IDS, *TRACKING_IDS, *PROGRAM_IDS]
)


def audit_references(made: Composition, spoken: frozenset[str] = frozenset()) -> list[Finding]:
    """Check what refers to what.

    Args:
        made: the config as it would be run.
        spoken: ids that other configs of the same bundle or project refer to: a file that sets one
            of them may combine with several configs, not all of which need it.

    Returns:
        Problems: references to nothing or in a circle, ids that nothing refers to.
    """
    own = {key: value for key, value in made.config.items() if key != META}
    found: list[Finding] = []
    referred: dict[str, list[str]] = {}
    for place, value in walk(own):
        for wanted in references_of(value):
            referred.setdefault(wanted, []).append(place)
    made_when_run = _made_when_run(own)
    for wanted, places in referred.items():
        for place in places:
            if place.partition("::")[0] in made_when_run and not wanted.startswith("::"):
                found += _dangling(made, own, wanted, place)
    for place in _circles(own, referred):
        why = "refers to itself in a circle"
        found.append(_problem(made, "reference", place, what=f"@{place}", why=why))
    return [*found, *_unused(made, frozenset(referred), spoken)]


def audit_files(made: Composition) -> list[Finding]:
    """Report what is wrong with the way that the files of a config refer to one another."""
    return [
        Sign(MEDIUM if one.kind == "read" else PROBLEM, one.kind, one.what, one.why).at(
            one.file, one.id
        )
        for one in made.remarks
    ]


def _problem(made: Composition, kind: str, place: str, *, what: str, why: str) -> Finding:
    """Report a problem in the file that an id was written in."""
    return Sign(PROBLEM, kind, what, why).at(made.file_of(place), place)


def _made_when_run(own: dict[str, Any]) -> set[str]:
    """Return the top-level ids that a run, or an application that loads the bundle, comes to.

    MONAI makes nothing else: a strategy beside an evaluation may refer to what only training has.
    """
    reserved = {one.partition("::")[0] for one in RESERVED}
    waiting = [key for key, value in own.items() if key in reserved or _is_to_run(value)]
    if not {*RUN_IDS} & own.keys():
        return set(own)  # no config to run, a part of one
    reached: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            inner = [one for _, v in walk(own.get(key)) for one in references_of(v)]
            waiting += [one.partition("::")[0] for one in inner]
    return reached


def _dangling(made: Composition, own: dict[str, Any], wanted: str, place: str) -> Iterator[Finding]:
    """Yield a reference that leads to nothing."""
    try:
        find(own, wanted)
        if wanted:
            return
    except MissingError:
        pass
    near = difflib.get_close_matches(wanted, list(all_ids(own)), n=2, cutoff=0.6)
    hint = f"; did you mean {', '.join('@' + one for one in near)}?" if near else ""
    why = f"refers to nothing{hint}" if wanted else "refers to nothing: @ stands before an id"
    yield _problem(made, "reference", place, what=f"@{wanted}", why=why)


def _circles(own: dict[str, Any], referred: Iterable[str]) -> list[str]:
    """List ids that need themselves to be made."""
    needs: dict[str, list[str]] = {}
    for wanted in referred:
        try:
            inside = find(own, wanted) if wanted else None
        except MissingError:
            inside = None
        needs[wanted] = [one for _, value in walk(inside) for one in references_of(value)]
    return [start for start in needs if _reaches(needs, start)]


def _reaches(needs: dict[str, list[str]], start: str) -> bool:
    """Whether an id leads back to itself."""
    waiting, seen = list(needs[start]), set()
    while waiting:
        one = waiting.pop()
        if one == start:
            return True
        if one not in seen:
            seen.add(one)
            waiting += needs.get(one, [])
    return False


def _unused(
    made: Composition, referred: frozenset[str], spoken: frozenset[str]
) -> Iterator[Finding]:
    """Yield ids that are set and that nothing reads."""
    known = referred | spoken | RESERVED | made.macros
    for place in dict.fromkeys(_set_ids(made)):
        if _is_used(made.config, place, known):
            continue
        near = difflib.get_close_matches(place, sorted(known), n=2, cutoff=0.7)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        yield _problem(made, "id", place, what=place, why=f"no id uses it{hint}")


def _set_ids(made: Composition) -> Iterator[str]:
    """Yield the ids that the files set, those in ``train`` and ``validate`` one by one."""
    for place in made.written:
        try:
            value = find(made.config, place)
        except MissingError:
            continue
        if place in SECTIONS and isinstance(value, dict) and "_target_" not in value:
            yield from (f"{place}::{key}" for key in value)
        else:
            yield place


def _is_used(config: dict[str, Any], place: str, known: frozenset[str]) -> bool:
    """Whether anything reads an id."""
    parts = place.split("::")
    above = ["::".join(parts[:length]) for length in range(1, len(parts) + 1)]
    if any(one in known for one in above):
        return True
    if any(one.startswith(f"{place}::") for one in known):
        return True
    parent = find(config, above[-2]) if len(above) > 1 else {}
    if len(above) > 1 and (isinstance(parent, list) or "_target_" in parent):
        return _is_used(config, above[-2], known)
    return len(above) == 1 and _is_to_run(find(config, place))


def _is_to_run(value: Any) -> bool:
    """Whether an id holds what ``run ID`` runs: a list of expressions."""
    expressions = isinstance(value, list) and all(isinstance(v, str) for v in value)
    return bool(value) and expressions and all(v[:1] in ("$", "@") for v in value)


def spoken_ids(configs: Iterable[Any]) -> frozenset[str]:
    """Collect the ids that configs refer to."""
    return frozenset(
        one for config in configs for _, value in walk(config) for one in references_of(value)
    )


@lru_cache(maxsize=1)
def spoken_here() -> frozenset[str]:
    """Collect the ids that this project's own configs refer to."""
    files = [*ROOT.glob("configs/**/*.json"), *ROOT.glob("bundles/*/configs/*.json")]
    return spoken_ids(load(str(file), file.read_bytes())[0] for file in sorted(files))
