"""Audit of metric names: metrics that a config uses but does not compute."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from scripts.audit.findings import PROBLEM, Finding, Sign
from scripts.audit.static_values import MISSING, Static, plain_code
from scripts.bundle.compose import Composition
from scripts.bundle.config_files import walk

ARGUMENTS = {
    "val": ("key_val_metric", "additional_metrics", "val_handlers", "val_data_loader"),
    "train": ("key_train_metric", "additional_metrics", "train_handlers", "train_data_loader"),
}
STOPPING = ("stopping_fn_from_metric",)


@dataclass(frozen=True)
class Engine:
    """A trainer or an evaluator of the config, and the metrics that it computes.

    Attributes:
        kind: train or val.
        id_: id in the config.
        handlers: id of its list of handlers, "" if unknown.
        key: names of its key metric.
        names: names of all its metrics; None when an expression creates them.
    """

    kind: str
    id_: str
    handlers: str
    key: frozenset[str]
    names: frozenset[str] | None


def audit_metrics(composition: Composition) -> list[Finding]:
    """Check that every metric that is used by name is computed.

    Returns:
        Problems; none when an expression creates the metrics, since their names are then unknown.
    """
    engines = list(_engines(composition.config))
    problems: list[Finding] = []
    for id_, value in walk(composition.config):
        for name, user in _used_metrics(composition.config, value, id_):
            computed = _computed_for(engines, user, used_by=value)
            if computed is not None and name not in computed:
                valid = ", ".join(sorted(computed)) or "none"
                why = f"no metric of this name is computed; there are: {valid}"
                sign = Sign(PROBLEM, "metric", name, why)
                problems.append(sign.at(composition.file_of(user), user))
    return [*problems, *_saved_without_key(composition, engines)]


def followed(config: dict[str, Any], value: Any, id_: str) -> tuple[Any, str]:
    """Follow references; return the value they refer to with its id, None if there is none."""
    for _ in range(20):
        if not (isinstance(value, str) and value.startswith("@")):
            return value, id_
        id_ = value[1:]
        value = Static(config).raw(id_)
        if value == MISSING:
            break
    return None, id_


def _engines(config: dict[str, Any]) -> Iterator[Engine]:
    """Yield the engines of a config."""
    for id_, value in walk(config):
        if not isinstance(value, dict) or "_target_" not in value:
            continue
        for kind, arguments in ARGUMENTS.items():
            if not any(one in value for one in arguments if one != "additional_metrics"):
                continue
            key, more = (_names(config, value.get(a), f"{id_}::{a}") for a in arguments[:2])
            handlers = followed(config, value.get(arguments[2]), f"{id_}::{arguments[2]}")[1]
            names = None if key is None or more is None else key | more
            yield Engine(kind, id_, handlers, key or frozenset(), names)


def _names(config: dict[str, Any], value: Any, id_: str) -> frozenset[str] | None:
    """Return the names of a dictionary of metrics; None when they are not written out."""
    value, _ = followed(config, value, id_) if value is not None else ({}, id_)
    return frozenset(value) if isinstance(value, dict) and "_target_" not in value else None


def _computed_for(engines: list[Engine], id_: str, *, used_by: Any) -> frozenset[str] | None:
    """Return the metrics available to a handler at an id; None when they are unknown."""
    if _short(used_by) == "StageReport":
        available = [engine for engine in engines if engine.kind == "val"]
    else:
        available = _engines_of(engines, id_) or engines
    if not available or any(engine.names is None for engine in available):
        return None
    return frozenset().union(*(engine.names or frozenset() for engine in available))


def _engines_of(engines: list[Engine], id_: str) -> list[Engine]:
    """Return the engines in whose list of handlers an id is."""
    return [e for e in engines if e.handlers and id_.startswith(f"{e.handlers}::")]


def _short(value: Any) -> str:
    """Return the last part of a component's name."""
    target = value.get("_target_") if isinstance(value, dict) else None
    return target.rpartition(".")[2] if isinstance(target, str) else ""


def _used_metrics(config: dict[str, Any], value: Any, id_: str) -> Iterator[tuple[str, str]]:
    """Yield the names of metrics that an item uses, with the id of each use."""
    if isinstance(value, str) and value.startswith("$"):
        yield from ((name, id_) for name in _in_expression(value))
    if not isinstance(value, dict):
        return
    short = _short(value)
    used: dict[str, Any] = {"key_metric_name": value.get("key_metric_name")}
    if short == "StageReport":
        used |= {name: value.get(name) for name in ("metrics", "drawn")}
    elif short == "MetricsSaver":
        used |= {name: value.get(name) for name in ("metrics", "metric_details")}
    elif "trainable" in value or "::stages::" in id_:
        used["metric"] = value.get("metric")
    for argument, names in used.items():
        names, user = followed(config, names, f"{id_}::{argument}")
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str) and name[:1] not in "*@$":
                yield name, user


@lru_cache(maxsize=1024)
def _in_expression(text: str) -> tuple[str, ...]:
    """List the names in ``...metrics['name']`` and ``stopping_fn_from_metric('name')``."""
    try:
        tree = ast.parse(plain_code(text)[0])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    names: list[str] = []
    for node in ast.walk(tree):
        name: ast.expr | None = None
        if isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "metrics":
            name = node.slice
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in STOPPING:
            name = node.args[0] if node.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            names.append(name.value)
    return tuple(names)


def _saved_without_key(composition: Composition, engines: list[Engine]) -> Iterator[Finding]:
    """Yield savers of the best model whose engine has no key metric."""
    for id_, value in walk(composition.config):
        if _short(value) != "CheckpointSaver" or value.get("save_key_metric") is not True:
            continue
        saved = _engines_of(engines, id_)
        keyless = any(e.names is not None and not e.key for e in saved)
        if keyless and not value.get("key_metric_name"):
            why = f"{saved[0].id_} has no key metric"
            sign = Sign(PROBLEM, "metric", "save_key_metric", why)
            yield sign.at(composition.file_of(id_), id_)
