"""Audit of a composed config's parts: targets, expressions, texts that name code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from scripts.audit.arguments import unknown_argument
from scripts.audit.expressions import (
    ADDRESS,
    audit_expression,
    folded,
    imported_names,
    plain_code,
)
from scripts.audit.findings import HIGH, LOW, MEDIUM, PROBLEM, Finding, Sign
from scripts.audit.names import Names
from scripts.audit.rules import rule_of
from scripts.bundle.compose import META, Composition
from scripts.bundle.config_files import MissingError, find, walk

DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")

NAMED_CODE = ("reader", "writer", "merger_cls", "backbone", "workflow_name")
WRITTEN_TO = ("output_dir", "log_dir", "save_dir", "cache_dir", "artifacts", "output_file")
READ_FROM = (
    *("path", "dataset_dir", "data_dir", "load_path", "ckpt_path", "source", "datalist"),
    *("root_dir", "weights", "encoder_weights", "data_list_file_path", "base_dir"),
)

ARGUMENTS = {
    "weights_only": (False, HIGH, "pickle", "unpickles: a file that it reads can run any code"),
    "allow_pickle": (True, HIGH, "pickle", "unpickles: a file that it reads can run any code"),
    "trust_remote_code": (True, HIGH, "code", "runs code that it downloads"),
    "pretrained": (True, MEDIUM, "network", "downloads published weights"),
    "download": (True, MEDIUM, "network", "downloads data"),
    "_debug_": (True, MEDIUM, "code", "stops in a debugger and waits for the keyboard"),
}
MODES = ("default", "callable", "debug")


def audit_components(composition: Composition, names: Names) -> list[Finding]:
    """Judge everything in a config that would run.

    Disabled components are included, because their arguments are evaluated nevertheless.
    """
    imports: dict[str, str] = {}
    for _, value in walk(composition.config):
        if isinstance(value, str) and value.startswith("$") and "import" in value:
            imports |= imported_names(value)
    findings = []
    for id_, value in walk(composition.config):
        signs: Iterator[Sign] = iter(())
        if isinstance(value, dict) and "_target_" in value:
            signs = _component(composition.config, value, names)
        elif isinstance(value, str) and value.startswith("$"):
            signs = iter(audit_expression(value, names, imports))
        elif isinstance(value, str) and not _is_prose(id_):
            signs = _text(value, id_, names)
        findings += [sign.at(composition.file_of(id_), id_) for sign in signs]
        findings += [
            sign.at(composition.file_of(id_), id_) for sign in _path(composition, value, id_)
        ]
    return findings


def _is_prose(id_: str) -> bool:
    """Whether an id holds text for readers only, or is judged with its component."""
    return id_.startswith(META) or id_.endswith(("_desc_", "::_target_", "::_mode_"))


def _component(config: dict[str, Any], value: dict[str, Any], names: Names) -> Iterator[Sign]:
    """Judge a component by its target and by arguments that are risky for any target."""
    sign = _target(config, value["_target_"], names)
    if sign.level == HIGH and _loads_weights(value, sign):
        sign = Sign(MEDIUM, "read", sign.what, "reads a file of weights")
    if str(value.get("_disabled_")).strip().lower() == "true":
        level = MEDIUM if sign.level == HIGH else sign.level
        sign = Sign(level, sign.kind, sign.what, f"disabled; if enabled: {sign.why}")
    yield sign
    wrong = unknown_argument(value["_target_"], value, names)
    if wrong:
        yield Sign(PROBLEM, "name", f"{value['_target_']}", wrong)
    for argument, (risky, level, kind, why) in ARGUMENTS.items():
        given = value.get(argument)
        if given is risky or (isinstance(given, str) and given.lower() == str(risky).lower()):
            yield Sign(level, kind, f"{sign.what}({argument}={given})", why)
    mode = value.get("_mode_", "default")
    if mode == "debug":
        yield Sign(MEDIUM, "code", sign.what, "stops in a debugger and waits for the keyboard")
    elif isinstance(mode, str) and mode[:1] not in "@$" and mode not in MODES:
        yield Sign(PROBLEM, "name", f"_mode_ {mode}", f"must be one of {', '.join(MODES)}")


def _loads_weights(value: dict[str, Any], sign: Sign) -> bool:
    """Whether a component is ``torch.load`` restricted to tensors."""
    loads = sign.what in ("torch.load", "torch.serialization.load")
    return loads and value.get("weights_only") is True


def _target(config: dict[str, Any], target: Any, names: Names) -> Sign:
    """Judge a component's target, following references."""
    for _ in range(20):
        if not (isinstance(target, str) and target.startswith("@")):
            break
        try:
            target = find(config, target[1:])
        except MissingError:
            return Sign(PROBLEM, "reference", f"_target_ {target}", "refers to nothing")
    if not isinstance(target, str):
        return Sign(
            MEDIUM, "target", f"_target_ {target!r:.60}", "calls the result of another part"
        )
    if target.startswith("$"):
        known = re.fullmatch(r"\$@[\w:#]+(\.[A-Za-z]\w*)*", target)
        if known and not rule_of(f"builtins.{target}"):
            return Sign(MEDIUM, "target", target, "calls the result of another part of the config")
        return Sign(HIGH, "code", target, "calls a target computed at run time")
    sign = names.judge(target, target=True)
    return Sign(sign.level, sign.kind if sign.level == HIGH else "target", target, sign.why)


def _text(value: str, id_: str, names: Names) -> Iterator[Sign]:
    """Judge a plain text: an address, or the name of code."""
    if ADDRESS.search(value):
        yield Sign(HIGH, "network", value, "an address, which the component may contact")
        return
    key = id_.rpartition("::")[2]
    named = key in NAMED_CODE or any(part in NAMED_CODE for part in id_.split("::")[-2:])
    if not DOTTED.fullmatch(value):
        return
    sign = names.judge(value)
    if named or (sign.level == HIGH and rule_of(value)):
        yield Sign(sign.level, sign.kind, value, f"a name that the component may call: {sign.why}")


def _path(composition: Composition, value: Any, id_: str) -> Iterator[Sign]:
    """Judge the path in an argument that components read from or write to."""
    key = id_.rpartition("::")[2]
    if not isinstance(value, str) or key not in (*WRITTEN_TO, *READ_FROM) or id_[:6] == META:
        return
    text = static_text(composition.config, value)
    if text is None or ADDRESS.search(text):
        return
    if text == "imagenet":
        why = "downloads published weights unless they are cached; their hash is checked"
        yield Sign(LOW, "network", text, why)
        return
    written = key in WRITTEN_TO
    outside = _leaves(text)
    if written and outside and id_ != key and not _below_output(composition.config, text):
        yield Sign(HIGH, "write", text, "writes outside the output folder")
    elif written:
        why = "writes to a folder outside this one" if outside else "writes inside this folder"
        yield Sign(MEDIUM if outside else LOW, "write", text, why)
    elif ("/" in text or "." in text) and not set(text) & set("()'\""):
        why = "reads from a path outside this folder" if outside else "reads inside this folder"
        yield Sign(MEDIUM if outside else LOW, "read", text, why)


def _leaves(text: str) -> bool:
    """Whether a path points outside the current directory."""
    paths = (PurePosixPath(text), PureWindowsPath(text))
    return text.startswith("~") or any(p.is_absolute() or ".." in p.parts for p in paths)


def _below_output(config: dict[str, Any], text: str) -> bool:
    """Whether a path is in the config's output folder."""
    output = static_text(config, config.get("output_dir"))
    if output is None or ".." in PurePosixPath(text).parts:
        return output == text
    return PurePosixPath(output) in (PurePosixPath(text), *PurePosixPath(text).parents)


def static_text(config: dict[str, Any], value: Any, depth: int = 0) -> str | None:
    """Evaluate a text made of constants and references to texts; None for anything else.

    Example:
        >>> static_text({"a": "models", "b": "$@a + '/x.pt'"}, "@b")
        'models/x.pt'
    """
    if not isinstance(value, str) or depth > 20:
        return None
    if value.startswith("@"):
        try:
            return static_text(config, find(config, value[1:]), depth + 1)
        except MissingError:
            return None
    if not value.startswith("$"):
        return value
    try:
        node = ast.parse(plain_code(value), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return folded(_Filled(config, depth).visit(node))


class _Filled(ast.NodeTransformer):
    """Puts texts in place of references."""

    def __init__(self, config: dict[str, Any], depth: int) -> None:
        self.config = config
        self.depth = depth

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:  # ast's own name
        """Replace one reference."""
        key = node.slice
        constant = isinstance(key, ast.Constant) and isinstance(key.value, str)
        if isinstance(node.value, ast.Name) and constant:
            text = static_text(self.config, f"@{ast.literal_eval(key)}", self.depth + 1)
            if text is not None:
                return ast.Constant(text)
        return node
