"""The numbers of an evaluation, written for every case and as a whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from scripts.files import write_csv, write_json
from scripts.metrics.collection import Case, SeriesCollection
from scripts.metrics.nodules import MARGIN_MM
from scripts.metrics.summary import counts, definitions, headline, summarise, table
from scripts.metrics.tables import (
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
from scripts.provenance import provenance, sha256_of
from scripts.splits import SECTIONS

logger = logging.getLogger(__name__)

# what the data list says about its making that a reader of the numbers must know
DATA_FACTS = ("label", "min_readers", "split", "slices", "neighbours", "empty_share")


class CaseReport:
    """Ignite handler that evaluates per nodule, slice, volume and pooled, and writes the result.

    Collects ``pred`` and ``instances`` of every case (see
    :class:`~scripts.metrics.collection.SeriesCollection`), puts slices together into series, and
    at the end writes ``per_nodule.csv``, ``per_slice.csv``, ``per_volume.csv`` and
    ``summary.json`` into ``output_dir``, each whole or not at all. The headline figures go to
    ``engine.state.metrics``. Series are named by UID, patients by a number that means nothing.

    Args:
        cases: the list that the evaluated data set was made of, see
            :func:`scripts.samples.load_datalist`.
        output_dir: where to write.
        datalist: the file ``cases`` came from; its label kind, split and hash go to the summary.
        section: the part of it: training, validation or test; volumes/test for whole volumes.
        margin_mm: how far a nodule's neighbourhood reaches, see :mod:`scripts.metrics.nodules`.
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
        if section.removeprefix("volumes/") not in SECTIONS:
            raise ValueError(f"section: must be {', '.join(SECTIONS)}, got {section!r}")
        self.collection = SeriesCollection(cases)
        self.output_dir = Path(output_dir)
        self.datalist = None if datalist is None else Path(datalist)
        self.section = section
        self.margin_mm = margin_mm
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Collect every iteration of ``engine`` and report at its end."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self)

    def _start(self, engine: Engine) -> None:
        """Forget an earlier run, and find out now whether the results can be written."""
        self.collection.clear()
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if not os.access(self.output_dir, os.W_OK):
            raise PermissionError(f"output_dir: no permission to write in {self.output_dir}")

    def _collect(self, engine: Engine) -> None:
        """Take one iteration's cases."""
        self.collection.add(engine.state.output, engine.state.batch)

    def __call__(self, engine: Engine) -> None:
        """Evaluate what was collected, write it and log the headline figures."""
        results = [
            evaluate_series(series, margin_mm=self.margin_mm) for series in self.collection.series()
        ]
        figures = summarise(results, seed=self.seed)
        engine.state.metrics.update(headline(figures))
        if idist.get_rank() == 0:
            self._write(results, figures)
            logger.info("%s\nwritten to %s", table(figures), self.output_dir)
        self.collection.clear()

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
            "data": self._describe_data(),
            "provenance": provenance(),
        }
        write_json(self.output_dir / "summary.json", summary)

    def _describe_data(self) -> dict[str, Any]:
        """Say which data these are, and how they were labelled and split."""
        kinds = {str(case["label_kind"]) for case in self.collection.cases if "label_kind" in case}
        described = {"section": self.section, "label_kinds": sorted(kinds), "datalist": None}
        if self.datalist is None:
            return described
        made = json.loads(self.datalist.read_text(encoding="utf-8")).get("provenance", {})
        facts = {name: made[name] for name in DATA_FACTS if name in made}
        return {
            **described,
            "datalist": str(self.datalist),
            "datalist_sha256": sha256_of(self.datalist),
            **facts,
        }
