"""The numbers of an evaluation of nodules, written for every case and as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance
from scripts.evaluation.collection import Case, SeriesCollection
from scripts.evaluation.nodules import MARGIN_MM
from scripts.evaluation.report import EvaluationReport
from scripts.evaluation.series import Series
from scripts.evaluation.summary import counts, definitions, headline, summarise, table
from scripts.evaluation.tables import (
    NODULE_COLUMNS,
    SLICE_COLUMNS,
    VOLUME_COLUMNS,
    SeriesResult,
    evaluate_series,
    nodule_rows,
    number_patients,
    slice_rows,
    volume_row,
)
from scripts.storage.files import write_csv, write_json


class CaseReport(EvaluationReport):
    """Ignite handler that evaluates per nodule, slice, volume and pooled, and writes the result.

    Collects ``pred`` and ``instances`` of every case (see
    :class:`~scripts.evaluation.collection.SeriesCollection`), puts slices together into series, and
    at the end writes ``per_nodule.csv``, ``per_slice.csv``, ``per_volume.csv`` and
    ``summary.json`` into ``output_dir``, each whole or not at all. The headline figures go to
    ``engine.state.metrics``. Series are named by UID, patients by a number that means nothing.

    Args:
        cases: the list that the evaluated data set was made of, see
            :func:`scripts.datasets.datalist.load_datalist`.
        output_dir: where to write.
        datalist: the file ``cases`` came from; its label kind, split and hash go to the summary.
        section: the part of it: training, validation or test; volumes/test for whole volumes.
        margin_mm: how far a nodule's neighbourhood reaches, see :mod:`scripts.evaluation.nodules`.
        seed: of the bootstrap.

    Raises:
        ValueError: for cases that lack what is needed, a negative margin, an unknown section.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        output_dir: str | Path,
        *,
        datalist: str | Path | None = None,
        section: str = "test",
        margin_mm: float = MARGIN_MM,
        seed: int = 0,
    ) -> None:
        if margin_mm < 0:
            raise ValueError(f"margin_mm: must be at least 0, got {margin_mm}")
        super().__init__(SeriesCollection(cases), output_dir, datalist=datalist, section=section)
        self.margin_mm = margin_mm
        self.seed = seed

    def report(self, series: Iterable[Series], *, write: bool) -> tuple[dict[str, float], str]:
        """Evaluate every nodule, slice and volume."""
        results = [evaluate_series(one, margin_mm=self.margin_mm) for one in series]
        figures = summarise(results, seed=self.seed)
        if write:
            self._write(results, figures)
        return headline(figures), table(figures)

    def _write(self, results: Sequence[SeriesResult], figures: dict[str, Any]) -> None:
        """Write the three tables and the summary."""
        number = number_patients(results)
        pairs = [(result, number[result.patient]) for result in results]
        nodules = [row for pair in pairs for row in nodule_rows(*pair)]
        slices = [row for pair in pairs for row in slice_rows(*pair)]
        volumes = [volume_row(*pair) for pair in pairs]
        write_csv(self.output_dir / "per_nodule.csv", nodules, columns=NODULE_COLUMNS)
        write_csv(self.output_dir / "per_slice.csv", slices, columns=SLICE_COLUMNS)
        write_csv(self.output_dir / "per_volume.csv", volumes, columns=VOLUME_COLUMNS)
        summary = {
            "figures": figures,
            "counts": {**counts(results), "cases_expected": len(self.collection.cases)},
            "definitions": definitions(self.margin_mm),
            "settings": {"margin_mm": self.margin_mm, "bootstrap_seed": self.seed},
            "data": self.describe_data(),
            "provenance": provenance(),
        }
        write_json(self.output_dir / "summary.json", summary)
