"""Audit of a composed config's parts: components, expressions, texts."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from scripts.audit.allowed import WRITTEN
from scripts.audit.arguments import RESERVED, judge_arguments, takes_paths
from scripts.audit.expressions import audit_expression, imported_names
from scripts.audit.findings import HIGH, LOW, MEDIUM, Finding, Sign
from scripts.audit.names import PROJECT, Names, is_installed
from scripts.audit.static_values import GIVEN, Static, path_sign
from scripts.bundle.compose import META, Composition
from scripts.bundle.config_files import walk

DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
DATA_SUFFIXES = (".json", ".csv", ".txt", ".pt", ".pth", ".ts", ".gz", ".nii", ".yaml", ".yml")
MODES = ("default", "callable")


def audit_components(composition: Composition, names: Names) -> list[Finding]:
    """Judge everything in a config that would run.

    Disabled components are included, because their arguments are evaluated nevertheless.
    """
    config = composition.config
    imports: dict[str, str] = dict(GIVEN)
    findings = []
    for id_, value in walk(config):
        if isinstance(value, str) and value.startswith("$") and "import" in value:
            for alias, name in imported_names(value).items():
                if imports.setdefault(alias, name) != name:
                    why = f"{alias} already stands for {imports[alias]}"
                    findings.append(_found(composition, id_, Sign(MEDIUM, "import", value, why)))
    static = Static(config, imports)
    for id_, value in walk(config):
        if isinstance(value, dict):
            for where, sign in _dictionary(value, names, static):
                place = f"{id_}::{where}" if where else id_
                findings.append(_found(composition, place, sign))
        elif isinstance(value, str) and value.startswith("$"):
            signs = audit_expression(value, names, static)
            findings += [_found(composition, id_, sign) for sign in signs]
        elif isinstance(value, str) and not _is_prose(id_):
            findings += [_found(composition, id_, sign) for sign in _text(value, id_, names)]
    return findings


def _found(composition: Composition, id_: str, sign: Sign) -> Finding:
    return sign.at(composition.file_of(id_), id_)


def _is_prose(id_: str) -> bool:
    """Whether an id holds text for readers only, or is judged with its component."""
    return id_.startswith(META) or id_.endswith(("_desc_", "::_target_", "::_mode_"))


def _dictionary(value: dict[str, Any], names: Names, static: Static) -> Iterator[tuple[str, Sign]]:
    """Judge a dictionary's keys and, if it is a component, its target and arguments."""
    for key in value:
        if "::" in str(key) or "#" in str(key):
            yield "", Sign(MEDIUM, "id", str(key), "a key inside a value that spells another id")
    if "_target_" not in value:
        return
    known = static.of(value["_target_"])
    sign = _target(value["_target_"], known, names)
    if str(value.get("_disabled_")).strip().lower() == "true":
        level = MEDIUM if sign.level == HIGH else sign.level
        sign = Sign(level, sign.kind, sign.what, f"disabled; if enabled: {sign.why}")
    yield "", sign
    mode = value.get("_mode_", "default")
    if mode not in MODES:
        why = "starts a debugger" if mode == "debug" else f"must be one of {', '.join(MODES)}"
        yield "_mode_", Sign(MEDIUM, "code", f"_mode_ {mode}", why)
    if not isinstance(known, str):
        return
    given = {key: static.of(item) for key, item in value.items() if key not in RESERVED}
    if mode == "callable" and not given and takes_paths(known, names):
        yield "", Sign(MEDIUM, "code", known, "handed on: its paths are not in the config")
    if given.get("data_root_dir") not in (None, "", ".", static.of_id("dataset_dir")):
        why = "results are written relative to it: must be @dataset_dir"
        yield "data_root_dir", Sign(MEDIUM, "write", str(value["data_root_dir"]), why)
    yield from judge_arguments(known, given, names)


def _target(target: Any, known: Any, names: Names) -> Sign:
    """Judge a component's target as written, and the text that it stands for if it is known."""
    if not isinstance(known, str):
        why = "calls something computed at run time"
        return Sign(MEDIUM, "target", f"_target_ {target!r:.60}", why)
    sign = names.judge(known, target=True)
    if isinstance(target, str) and target.startswith("$") and sign.level == LOW:
        return Sign(MEDIUM, "target", target, "a target computed at run time")
    return Sign(sign.level, sign.kind, known, sign.why)


def _text(value: str, id_: str, names: Names) -> Iterator[Sign]:
    """Judge a plain text: a path, an address, or the name of code."""
    sign = path_sign(value, written=id_.rpartition("::")[2] in WRITTEN)
    if sign.level != LOW:
        yield sign
    elif DOTTED.fullmatch(value) and PurePosixPath(value).suffix not in DATA_SUFFIXES:
        root = value.partition(".")[0]
        if root in PROJECT or root in sys.stdlib_module_names or is_installed(root):
            sign = names.judge(value)
            if sign.level != LOW:
                why = f"a name that the component calls: {sign.why}"
                yield Sign(sign.level, sign.kind, value, why)
