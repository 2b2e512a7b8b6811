"""The CTs of one patient, segmented one after the other by a network that is adapted to them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance
from scripts.prediction.batch import SUMMARY
from scripts.prediction.network.segments import check_codes
from scripts.prediction.one_series import compute
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import check_file
from scripts.prediction.result import Prediction
from scripts.prediction.sources.inventory import Source
from scripts.prediction.sources.source_access import SourceAccess, digest_of, open_source
from scripts.prediction.sources.study_reading import read_opened
from scripts.prediction.study_task import Task
from scripts.prediction.writing.products import DICOM
from scripts.prediction.writing.study_writing import write_folder
from scripts.retraining.adapt.adapted_model import ARMS, BOTH, AdaptedModel
from scripts.retraining.adapt.drawn_slice import Drawing
from scripts.retraining.adapt.reference_figures import Figures, Reference, shown_table, table_rows
from scripts.running.options import check_whole
from scripts.running.reasons import first_cause
from scripts.storage.files import write_csv, write_json
from scripts.storage.output_folder import writing_into

MADE_BY = "python -m scripts adapt"
STEPS, FIGURES = "adaptation.csv", "figures.csv"
STEP_COLUMNS = ("slice", "step", "area", "sure", "first_loss", "last_loss", "reason")


@dataclass
class PatientJob:
    """The CTs of one patient, the model and the results.

    Args:
        model: adapted to the first of them.
        sources: the CT with the drawing, then its follow-ups.
        output: folder of the results.
    """

    model: AdaptedModel
    sources: tuple[Source, ...]
    output: Path
    reference: Reference | None = None

    def prepare(self, annotated: str, number: int | None, reference: str | None) -> None:
        """Read drawing and reference, and check the model, before a CT is read.

        Raises:
            FileNotFoundError, ValueError: see :meth:`Drawing.read` and
                :meth:`AdaptedModel.check_parts`.
        """
        model = self.model
        if number is not None:
            check_whole("slice", number, 0)
        mask = Path(check_file("annotated", annotated))
        names, lesions = model.class_names, model.lesions
        model.begin(Drawing.read(mask, number, class_names=names, lesions=lesions))
        if reference is not None:
            full = Path(check_file("reference", reference))
            self.reference = Reference.read(full, class_names=names, lesions=lesions)
        model.check_parts()
        if set(DICOM) & set(model.options.products):
            check_codes(model.segments)

    def run(self) -> int:
        """Segment every CT and write the summary; return the number of those that failed.

        Raises:
            ValueError: when the CT with the drawing cannot be segmented.
            OSError: when the output cannot be written.
        """
        records, figures = [], {}
        for number, source in enumerate(self.sources):
            with open_source(source) as ready:
                try:
                    prediction = self._write(source, ready)
                    if not number and self.reference is not None:
                        figures = self._compare(source, ready, prediction)
                    records.append({"study": source.name, **self.model.record()})
                except (ValueError, OSError) as error:
                    text = ready.for_screen(ready.for_record(str(first_cause(error))))
                    if not number:
                        raise type(error)(text) from error
                    print(f"failed: {source.location}: {text}", flush=True)
            self.model.go_on()
        with writing_into(self.output):
            self._write_summary(records, figures)
        return len(self.sources) - len(records)

    def _write(self, source: Source, ready: SourceAccess) -> Prediction:
        """Segment one CT, write its folder, and print what was done."""
        options = self.model.options
        made: dict[str, Any] = {"made_by": MADE_BY, "fingerprint": ""}
        made["provenance"] = provenance(command=command_of(self.model))
        study = read_opened(ready, digest_of(source), resample=options.geometry == "resample")
        computed = compute(Task(source, self.output, options), self.model, study, made)
        write_folder(computed, self._further)
        record = self.model.record()
        stops = "; ".join(f"slice {number}: {why}" for number, why in record["stopped"].items())
        print(
            f"{source.name}: {self.model.notes[-1]}; then tuned on {record['tuned_slices']} more "
            f"slices{f', stopped at {stops}' if stops else ''}",
            flush=True,
        )
        if note := computed.prediction.dicom_note:
            print(f"{source.name}: {note}", flush=True)
        return computed.prediction

    def _further(self, prediction: Prediction, folder: Path) -> dict[str, Any]:
        write_csv(folder / STEPS, self.model.rows(), columns=STEP_COLUMNS)
        return {"adaptation": self.model.record()}

    def _compare(
        self, source: Source, ready: SourceAccess, prediction: Prediction
    ) -> dict[str, Figures]:
        """Compare the result, and those of less tuning, with the reference; print a table."""
        model, reference = self.model, self.reference
        if reference is None or model.drawn is None:
            return {}
        number, figures = model.drawn.number, {}
        steps = model.steps
        for arm in ARMS:
            one = prediction
            if arm != BOTH:
                model.arm = arm
                content = ready.read(resample=model.options.geometry == "resample")
                one = predict_volume(model, content, study=source.name)
            figures[arm] = reference.figures(one, number)
        model.arm, model.steps = BOTH, steps
        print(shown_table(figures), flush=True)
        return figures

    def _write_summary(
        self, records: Sequence[dict[str, Any]], figures: dict[str, Figures]
    ) -> None:
        rows = table_rows(figures)
        if rows:
            write_csv(self.output / FIGURES, rows)
        else:
            (self.output / FIGURES).unlink(missing_ok=True)
        content = {
            "made_by": MADE_BY,
            "weights": [vars(checkpoint) for checkpoint in self.model.checkpoints],
            "studies": records,
            "figures": rows,
            "provenance": provenance(command=command_of(self.model)),
        }
        write_json(self.output / SUMMARY, content)


def command_of(model: AdaptedModel) -> str:
    """Return the command without the user's paths, which may hold a patient's name."""
    words = [*MADE_BY.split(), "--model", "MODEL", "--bundle", model.options.bundle.resolve().name]
    words += ["--image", "IMAGE", "--annotated", "ANNOTATED", "--output", "OUTPUT"]
    for name, step in (("deep", model.tuning.deep), ("shallow", model.tuning.shallow)):
        words += [f"--{name}_iterations", str(step.epochs), f"--{name}_rate"]
        words.append(f"{step.learning_rate:g}")
    words += ["--shallow_parts", ",".join(model.tuning.shallow.trainable)]
    return shlex.join(
        [*words, "--images", str(model.tuning.images), "--seed", str(model.tuning.seed)]
    )
