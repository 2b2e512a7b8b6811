"""The numbers of an evaluation of several classes, for every series and class and as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance
from scripts.evaluation.class_results import (
    CLASS_COLUMNS,
    VOLUME_COLUMNS,
    SeriesClasses,
    class_rows,
    confusion_rows,
    evaluate_classes,
    known_of,
    pooled_matrix,
    volume_row,
)
from scripts.evaluation.class_summary import DEFINITIONS, counts, headline, summarise, table
from scripts.evaluation.collection import Case, SeriesCollection
from scripts.evaluation.report import EvaluationReport
from scripts.evaluation.series import Series
from scripts.evaluation.tables import number_patients
from scripts.storage.files import write_csv, write_json


class ClassReport(EvaluationReport):
    """Ignite handler that evaluates every class per volume and pooled, and writes the result.

    Collects ``pred`` and the annotation, both class values, of every case, puts slices together
    into series, and at the end writes ``per_class.csv``, ``per_volume.csv``, ``confusion.csv`` and
    ``summary.json`` into ``output_dir``, each whole or not at all. The figures go to
    ``engine.state.metrics``. Where a class is unknown its row says so and has no figures. Series go
    by the name that the data gave them, patients by a number that means nothing.

    Args:
        cases: the list that the evaluated data set was made of, each with ``class_known``.
        output_dir: where to write.
        class_names: of all classes, background first.
        annotation: key of the annotated class values in the samples.
        datalist: the file ``cases`` came from; its split and hash go to the summary.
        section: the part of it: training, validation or test; volumes/test for whole volumes.
        seed: of the bootstrap.

    Raises:
        ValueError: for cases that lack what is needed, or an unknown section.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        output_dir: str | Path,
        *,
        class_names: Sequence[str],
        annotation: str = "annotation",
        datalist: str | Path | None = None,
        section: str = "test",
        seed: int = 0,
    ) -> None:
        collection = SeriesCollection(cases, annotation=annotation, classes=len(class_names))
        super().__init__(collection, output_dir, datalist=datalist, section=section)
        self.known = [known_of(case, len(class_names)) for case in cases]
        self.class_names = list(class_names)
        self.seed = seed

    def report(self, series: Iterable[Series], *, write: bool) -> tuple[dict[str, float], str]:
        """Evaluate every class of every series."""
        results = [evaluate_classes(one, self.known[one.cases[0]]) for one in series]
        figures = summarise(results, self.class_names, seed=self.seed)
        if write:
            self._write(results, figures)
        return headline(figures), table(figures, self.class_names)

    def _write(self, results: Sequence[SeriesClasses], figures: dict[str, Any]) -> None:
        """Write the three tables and the summary."""
        names, number = self.class_names, number_patients(results)
        pairs = [(result, number[result.patient]) for result in results]
        classes = [row for pair in pairs for row in class_rows(*pair, names)]
        volumes = [volume_row(*pair, names) for pair in pairs]
        write_csv(self.output_dir / "per_class.csv", classes, columns=CLASS_COLUMNS)
        write_csv(self.output_dir / "per_volume.csv", volumes, columns=VOLUME_COLUMNS)
        write_csv(self.output_dir / "confusion.csv", confusion_rows(results, names))
        summary = {
            "figures": figures,
            "confusion": {
                "classes": names,
                "voxels": pooled_matrix(results, len(names)),
            },
            "counts": {
                **counts(results, names),
                "cases_expected": len(self.collection.cases),
            },
            "definitions": DEFINITIONS,
            "settings": {"bootstrap_seed": self.seed},
            "data": self.describe_data(),
            "provenance": provenance(),
        }
        write_json(self.output_dir / "summary.json", summary)
