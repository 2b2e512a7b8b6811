"""What every report on an evaluation shares: collecting cases, and where the numbers come from."""

from __future__ import annotations

import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from scripts.bundle.record import sha256_of
from scripts.datasets.shares import SECTIONS
from scripts.evaluation.collection import SeriesCollection
from scripts.evaluation.series import Series

logger = logging.getLogger(__name__)

# what the data list says about its making that a reader of the numbers must know
DATA_FACTS = (
    *("label", "min_readers", "tumour", "split", "slices", "every", "neighbours", "empty_share"),
)


class EvaluationReport(ABC):
    """Ignite handler that collects every case of an evaluation and reports when it ends.

    Args:
        collection: what is collected.
        output_dir: where to write.
        datalist: the file the cases came from; how it was made, and its hash, go to the summary.
        section: the part of it: training, validation or test; volumes/test for whole volumes.

    Raises:
        ValueError: for an unknown section.
    """

    def __init__(
        self,
        collection: SeriesCollection,
        output_dir: str | Path,
        *,
        datalist: str | Path | None = None,
        section: str = "test",
    ) -> None:
        if section.removeprefix("volumes/") not in SECTIONS:
            raise ValueError(f"section: must be {', '.join(SECTIONS)}, got {section!r}")
        self.collection = collection
        self.output_dir = Path(output_dir)
        self.datalist = None if datalist is None else Path(datalist)
        self.section = section

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
        metrics, shown = self.report(self.collection.series(), write=idist.get_rank() == 0)
        engine.state.metrics.update(metrics)
        if idist.get_rank() == 0:
            logger.info("%s\nwritten to %s", shown, self.output_dir)
        self.collection.clear()

    @abstractmethod
    def report(self, series: Iterable[Series], *, write: bool) -> tuple[dict[str, float], str]:
        """Evaluate the series and, where asked, write the files.

        Returns:
            Headline figures for the engine's metrics, and a table of them for the terminal.
        """

    def describe_data(self) -> dict[str, Any]:
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
