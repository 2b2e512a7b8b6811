"""Report of an evaluation: CSV tables, ``summary.json`` and a page of both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
from ignite.engine import Engine

from scripts.bundle.model_file import read_model
from scripts.bundle.record import provenance, sha256_of
from scripts.bundle.training_scans import TrainingScans
from scripts.datasets.datalist import check_labels, read_datalist
from scripts.datasets.missing_data import MissingData
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.training_data import PREPARED_WITH
from scripts.evaluation.collection import Annotated, Case, CollectingHandler
from scripts.evaluation.earlier_result import SUMMARY, refuse_another
from scripts.evaluation.evaluation_page import write_evaluation_page
from scripts.evaluation.figures.summary import Entry
from scripts.evaluation.series import Series, limited
from scripts.evaluation.tables import Tables
from scripts.evaluation.training_overlap import TrainingOverlap, differences_from_training
from scripts.storage.files import plain, write_csv, write_json

logger = logging.getLogger(__name__)

# entries of the datalist's provenance that are needed to interpret the figures
DATA_FACTS = (*PREPARED_WITH, "split")


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Args:
        figures: see :mod:`scripts.evaluation.figures.summary`.
        counts: numbers of patients, series, slices ...
        definitions: definitions of the figures, as text.
        settings: settings that the figures depend on.
        tables: see :mod:`scripts.evaluation.tables`.
        metrics: figures for an engine's metrics.
        shown: table of figures for the terminal.
        more: further entries of the summary.
        drawings: file name -> function that draws it to a path.
    """

    figures: dict[str, Entry]
    counts: dict[str, Any]
    definitions: dict[str, str]
    settings: dict[str, Any]
    tables: Tables
    metrics: dict[str, float]
    shown: str
    more: dict[str, Any] = field(default_factory=dict)
    drawings: dict[str, Callable[[Path], None]] = field(default_factory=dict)


class Measured(Annotated, Protocol):
    """A kind of annotation whose predictions can be evaluated.

    Attributes:
        label_kind: kind of labels in the datalist: ``instances`` or ``classes``.
        class_names: names of the classes, background first; None where the figures name none.
    """

    label_kind: str

    @property
    def class_names(self) -> Sequence[str] | None:
        """Names of the classes."""

    def evaluate(self, series: Iterable[Series], cases: Sequence[Case], *, seed: int) -> Evaluation:
        """Evaluate series of cases; ``seed`` is for the bootstrap."""


class EvaluationReport(CollectingHandler):
    """Ignite handler that evaluates predictions and writes tables and ``summary.json``.

    Collects the prediction and the annotation of every case (see
    :class:`~scripts.evaluation.collection.SeriesCollection`), assembles slices into series, and at
    the end writes ``summary.json``, the tables of the kind of annotation, for example
    ``per_nodule.csv`` or ``per_class.csv``, and ``report.html`` with all of them to ``output_dir``,
    each atomically. The headline
    figures are added to ``engine.state.metrics``. Series are identified by UID or by their name in
    the data set, patients by an arbitrary number.

    Args:
        cases: the list that the evaluated data set was created from, see
            :func:`scripts.datasets.datalist.load_datalist`.
        output_dir: folder to write to.
        kind: kind of annotation, see :mod:`scripts.evaluation.kinds`.
        datalist: file of ``cases``; its preparation and its hash are recorded in the summary.
        section: partition of the datalist: training, validation or test; volumes/test for whole
            volumes.
        slices: samples to whose slices the evaluation of whole volumes is limited, so that networks
            on volumes are compared with networks on slices; None for all slices.
        seed: seed of the bootstrap.
        model: file of the trained network, or of several whose probabilities are averaged. What
            makes the figures doubtful is logged, and listed in the summary's ``warnings``: cases
            that a network was trained on or selected by, spacing or labels that differ from its
            training's. ``remarks`` say how the cases differ from the test set that was set aside at
            training, ``cases`` has the numbers.
        method: how the cases were segmented, if a model and its bundle do not say it: name ->
            setting, which tell this evaluation from others and are recorded in the summary.
        overwrite: replace the evaluation of another model or method, or of other data, in
            ``output_dir``.

    Raises:
        ValueError: for cases without the required entries, an unknown section, or a datalist
            with labels of another kind or other classes.
    """

    with_candidates = True

    def __init__(
        self,
        cases: Sequence[Case],
        output_dir: str | Path,
        *,
        kind: Measured,
        datalist: str | Path | None = None,
        section: str = "test",
        slices: Sequence[Case] | None = None,
        seed: int = 0,
        model: str | Path | Sequence[Path] | None = None,
        method: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        if section.removeprefix("volumes/") not in PARTITIONS:
            raise ValueError(f"section: must be {', '.join(PARTITIONS)}, got {section!r}")
        super().__init__(cases, output_dir, kind)
        self.kind = kind
        self.datalist = None if datalist is None else Path(datalist)
        self._prepared: dict[str, Any] = {}
        if self.datalist is not None and not isinstance(cases, MissingData):
            self._prepared = read_datalist(self.datalist)
            check_labels(
                self.datalist,
                self._prepared,
                kind=kind.label_kind,
                class_names=kind.class_names,
                learnt=True,
            )
        self.section = section
        self.slices = slices
        self.seed = seed
        self.model = model
        self.method = None if method is None else plain(method)
        self.overwrite = overwrite

    def _start(self, engine: Engine) -> None:
        """Refuse to replace an evaluation of something else, besides the checks of every start.

        Raises:
            ValueError: naming what differs.
        """
        super()._start(engine)
        self.check_output()

    def check_output(self) -> None:
        """Refuse to replace an evaluation of something else, unless that is asked for.

        To be called before anything is computed; at the start of an engine it is.

        Raises:
            ValueError: naming what differs.
        """
        if not self.overwrite:
            refuse_another(self.output_dir, self.described)

    def finish(self, engine: Engine, series: Iterable[Series]) -> None:
        """Evaluate the series, write the report and log the headline figures."""
        evaluation = self.evaluate(series)
        engine.state.metrics.update(evaluation.metrics)
        if idist.get_rank() == 0:
            self.write(evaluation)
            logger.info("%s\nwritten to %s", evaluation.shown, self.output_dir)

    def evaluate(self, series: Iterable[Series]) -> Evaluation:
        """Compute the figures of series."""
        if self.slices is not None:
            series = limited(series, self.slices)
        return self.kind.evaluate(series, self.collection.cases, seed=self.seed)

    def write(self, evaluation: Evaluation) -> None:
        """Write the tables and the summary."""
        for name, (columns, rows) in evaluation.tables.items():
            write_csv(self.output_dir / f"{name}.csv", rows, columns=columns)
        for name, draw in evaluation.drawings.items():
            draw(self.output_dir / name)
        overlap, warnings = self._compare()
        remarks = [] if overlap is None else overlap.remarks(self.section)
        for warning in warnings:
            logger.warning("%s: %s", self.section, warning)
        for remark in remarks:
            logger.info("%s: %s", self.section, remark)
        summary = {
            "warnings": warnings,
            "remarks": remarks,
            **evaluation.more,
            "figures": evaluation.figures,
            "counts": {**evaluation.counts, "cases_expected": len(self.collection.cases)},
            "definitions": evaluation.definitions,
            "settings": {**evaluation.settings, "bootstrap_seed": self.seed},
            "data": self.described,
            "cases": None if overlap is None else asdict(overlap),
            "provenance": provenance(),
        }
        write_json(self.output_dir / SUMMARY, summary)
        write_evaluation_page(self.output_dir)

    @property
    def models(self) -> list[Path]:
        """The files of trained networks that exist."""
        given = [self.model] if isinstance(self.model, (str, Path)) else self.model or ()
        return [path for path in map(Path, given) if path.is_file()]

    def _compare(self) -> tuple[TrainingOverlap | None, list[str]]:
        """Compare the cases with those of the network's training; list what is doubtful."""
        if not self.models:
            return None, []
        known, cases = (
            [TrainingScans.of(read_model(one)) for one in self.models],
            self.collection.cases,
        )
        if self.datalist is not None:
            known = [scans.completed(self._prepared) for scans in known]
        overlap = TrainingOverlap.of_all(known, cases, self._prepared)
        differing = dict.fromkeys(
            text for scans in known for text in differences_from_training(scans, cases)
        )
        return overlap, [*overlap.warnings(self.section), *differing]

    @property
    def described(self) -> dict[str, Any]:
        """Describe the evaluated data, and how they were labelled and split."""
        kinds = {str(case["label_kind"]) for case in self.collection.cases if "label_kind" in case}
        described: dict[str, Any] = {
            "section": self.section,
            "only_sampled_slices": self.slices is not None,
            "label_kinds": sorted(kinds),
            "datalist": None,
            **({} if self.method is None else {"method": self.method}),
        }
        if hashes := [sha256_of(path) for path in self.models]:
            described["model_sha256"] = hashes[0] if len(hashes) == 1 else hashes
        if self.datalist is None:
            return described
        content = self._prepared
        preparation = content.get("provenance", {})
        facts = {name: preparation[name] for name in DATA_FACTS if name in preparation}
        return {
            **described,
            "datalist": str(self.datalist),
            "datalist_sha256": sha256_of(self.datalist),
            **({"data_set": content["name"]} if "name" in content else {}),
            "scans_left_out": len(preparation.get("scans_left_out", ())),
            **facts,
        }
