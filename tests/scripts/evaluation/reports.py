"""Reports of evaluated phantoms, and their files read back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from scripts.evaluation.kinds import Instances
from scripts.evaluation.report import EvaluationReport


def run(report: EvaluationReport, *batches: list[Any]) -> dict[str, float]:
    """Evaluate batches of outputs with a real engine."""
    engine = Engine(lambda _, batch: batch)
    report.attach(engine)
    engine.run(list(batches))
    metrics: dict[str, float] = engine.state.metrics
    return metrics


def report_of(
    cases: list[Any], folder: Path, *, margin_mm: float = 5.0, **options: Any
) -> EvaluationReport:
    return EvaluationReport(cases, folder, kind=Instances(margin_mm), **options)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())
