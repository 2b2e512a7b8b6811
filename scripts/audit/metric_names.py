"""Metrics that a config asks for and nothing computes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scripts.audit.expressions import plain_code
from scripts.audit.findings import PROBLEM, Finding, Sign
from scripts.bundle.compose import Composition
from scripts.bundle.config_files import MissingError, find, walk
from scripts.training.stage_report import METRICS

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
        place: its id.
        handlers: id of its list of handlers, "" where that is not known.
        key: names of its key metric.
        names: names of all its metrics; None where the config does not show them.
    """

    kind: str
    place: str
    handlers: str
    key: frozenset[str]
    names: frozenset[str] | None


def audit_metrics(made: Composition) -> list[Finding]:
    """Check that every metric which is asked for by name is computed.

    Returns:
        Problems; none where an expression makes the metrics, since their names are not written.
    """
    engines = list(_engines(made.config))
    found: list[Finding] = []
    for place, value in walk(made.config):
        for wanted, where in _asked(made.config, value, place):
            computed = _computed_for(engines, where, wanted_by=value)
            if computed is not None and wanted not in computed:
                gives = ", ".join(sorted(computed)) or "none"
                why = f"no metric of this name is computed; there are: {gives}"
                found.append(Sign(PROBLEM, "metric", wanted, why).at(made.file_of(where), where))
    return [*found, *_saved_without_key(made, engines)]


def followed(config: dict[str, Any], value: Any, place: str) -> tuple[Any, str]:
    """Follow whole references to what they name."""
    for _ in range(20):
        if not (isinstance(value, str) and value.startswith("@")):
            return value, place
        place = value[1:]
        try:
            value = find(config, place)
        except MissingError:
            return None, place
    return None, place


def _engines(config: dict[str, Any]) -> Iterator[Engine]:
    """Yield the engines of a config."""
    for place, value in walk(config):
        if not isinstance(value, dict) or "_target_" not in value:
            continue
        for kind, arguments in ARGUMENTS.items():
            if not any(one in value for one in arguments if one != "additional_metrics"):
                continue
            key, more = (_names(config, value.get(a), f"{place}::{a}") for a in arguments[:2])
            handlers = followed(config, value.get(arguments[2]), f"{place}::{arguments[2]}")[1]
            names = None if key is None or more is None else key | more
            yield Engine(kind, place, handlers, key or frozenset(), names)


def _names(config: dict[str, Any], value: Any, place: str) -> frozenset[str] | None:
    """Return the names of a dictionary of metrics; None where they are not written out."""
    value, _ = followed(config, value, place) if value is not None else ({}, place)
    return frozenset(value) if isinstance(value, dict) and "_target_" not in value else None


def _computed_for(engines: list[Engine], place: str, *, wanted_by: Any) -> frozenset[str] | None:
    """Return the metrics that a handler at an id sees; None where they are not known."""
    short = _short(wanted_by)
    mine = [e for e in engines if e.handlers and place.startswith(f"{e.handlers}::")]
    if short == "StageReport" or not mine:
        mine = [e for e in engines if e.kind == "val"] if short == "StageReport" else engines
    if not mine or any(engine.names is None for engine in mine):
        return None
    return frozenset().union(*(engine.names or frozenset() for engine in mine))


def _short(value: Any) -> str:
    """Return the last part of a component's name."""
    target = value.get("_target_") if isinstance(value, dict) else None
    return target.rpartition(".")[2] if isinstance(target, str) else ""


def _asked(config: dict[str, Any], value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the metrics that an item asks for by name, and where."""
    if isinstance(value, str) and value.startswith("$"):
        yield from ((name, place) for name in _in_expression(value))
    if not isinstance(value, dict):
        return
    short = _short(value)
    asked: dict[str, Any] = {"key_metric_name": value.get("key_metric_name")}
    if short == "StageReport":
        metrics, _ = followed(config, value.get("metrics", METRICS), place)
        asked["metrics"] = list(metrics.values()) if isinstance(metrics, dict) else None
        asked["drawn"] = value.get("drawn")
    elif short == "MetricsSaver":
        asked |= {name: value.get(name) for name in ("metrics", "metric_details")}
    elif "trainable" in value or "::stages::" in place:
        asked["metric"] = value.get("metric")
    for argument, names in asked.items():
        names, where = followed(config, names, f"{place}::{argument}")
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str) and name[:1] not in "*@$":
                yield name, where


def _in_expression(text: str) -> Iterator[str]:
    """Yield names in ``...metrics['name']`` and ``stopping_fn_from_metric('name')``."""
    try:
        tree = ast.parse(plain_code(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        name: ast.expr | None = None
        if isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "metrics":
            name = node.slice
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in STOPPING:
            name = node.args[0] if node.args else None
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _saved_without_key(made: Composition, engines: list[Engine]) -> Iterator[Finding]:
    """Yield savers of the best model where nothing says what is best."""
    for place, value in walk(made.config):
        if _short(value) != "CheckpointSaver" or value.get("save_key_metric") is not True:
            continue
        mine = [e for e in engines if e.handlers and place.startswith(f"{e.handlers}::")]
        if any(e.names is not None and not e.key for e in mine) and not value.get(
            "key_metric_name"
        ):
            why = f"{mine[0].place} has no key metric"
            sign = Sign(PROBLEM, "metric", "save_key_metric", why)
            yield sign.at(made.file_of(place), place)
