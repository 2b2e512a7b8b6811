"""``python -m scripts adapt``: a network adapted to one patient by one hand-drawn slice."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance
from scripts.prediction.batch import SUMMARY, clear_unfinished, refuse_foreign
from scripts.prediction.network.segments import check_codes
from scripts.prediction.one_series import compute
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import (
    Options,
    check_file,
    check_files,
    check_geometry,
    check_products,
    check_threshold,
)
from scripts.prediction.result import Prediction
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.inventory import Source
from scripts.prediction.sources.source_access import SourceAccess, digest_of, open_source
from scripts.prediction.sources.study_reading import read_opened
from scripts.prediction.study_task import Task
from scripts.prediction.writing.products import DICOM
from scripts.prediction.writing.study_writing import write_folder
from scripts.retraining.adapt.adapted_model import ARMS, BOTH, AdaptedModel
from scripts.retraining.adapt.drawn_slice import Drawing
from scripts.retraining.adapt.reference_figures import Figures, Reference, shown_table, table_rows
from scripts.retraining.adapt.sequence_tuning import Tuning
from scripts.retraining.adapt.start import opened_start
from scripts.running.options import check_device, check_whole, read_words
from scripts.running.reasons import first_cause
from scripts.storage.files import write_csv, write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import writing_into
from scripts.training.fine_tuning.stage_options import Stage

MADE_BY = "python -m scripts adapt"
STEPS, FIGURES = "adaptation.csv", "figures.csv"
STEP_COLUMNS = ("slice", "step", "area", "sure", "first_loss", "last_loss", "reason")


def adapt(
    model: str,
    image: str,
    annotated: str,
    output: str,
    *,
    slice: int | None = None,
    bundle: str | None = None,
    reference: str | None = None,
    follow_ups: str | None = None,
    config_file: str | None = None,
    unchecked_model: bool = False,
    check_hu: bool = True,
    threshold: float | None = None,
    deep_iterations: int = 50,
    deep_rate: float = 3e-5,
    shallow_iterations: int = 5,
    shallow_rate: float = 1e-6,
    shallow_parts: str = "decoder",
    images: int = 1,
    seed: int = 0,
    geometry: str = "refuse",
    products: str | None = None,
    device: str | None = None,
) -> None:
    """Adapt a trained network to one patient by one hand-drawn slice, and segment the CT.

    The whole network is tuned on the drawn slice; then it follows the slices in both directions,
    and its last layers are tuned a little on each result (Yu et al., IEEE TBME 64(8), 2017). The
    file of the weights is not changed. Writes OUTPUT/<study>/ as predict does, with adaptation.csv
    (what was done at each slice), and OUTPUT/summary.json. Research only.

    Args:
        model: file of trained weights, of a 2D network; or a package, a zip or unpacked.
        image: one CT: a folder of DICOM files, a zip of one, a .mhd, .mha, .nrrd, .nii or .nii.gz
            file.
        annotated: mask file with the drawn slice: of the whole CT or of this slice only, with the
            values of the bundle's classes; of a lesion, any value above 0. In background, a class
            that was not drawn counts as unknown.
        output: folder to write: new, empty, or of an earlier run.
        slice: number of the drawn slice in the image, from 0; may be left out if the mask is drawn
            on one slice only.
        bundle: the bundle's folder, or a zip of one, with configs/inference.json; by default the
            folder in whose models folder the file lies, or the package.
        reference: mask of all slices: prints how far each step helps, on the other slices.
        follow_ups: further CTs of the patient in order, separated by commas: each begins with the
            network tuned on the drawn slice.
        config_file: overlays of inference.json, separated by commas.
        unchecked_model: accept weights without a record of how they were trained, at your own risk.
        check_hu: refuse a CT whose values cannot be HU.
        threshold: least probability of a segmented voxel; by default the one of the training.
        deep_iterations: of the tuning on the drawn slice.
        deep_rate: learning rate of it.
        shallow_iterations: on each following slice.
        shallow_rate: learning rate of them.
        shallow_parts: parts of the network that are tuned on following slices, separated by commas.
        images: augmented copies of the drawn slice in each iteration.
        seed: of the augmentation.
        geometry: what becomes of a DICOM series without a regular grid: refuse, or resample.
        products: files to write, see predict.
        device: cpu, cuda:0 ...; by default that of the config.

    Raises:
        ValueError: for an invalid option, a mask that does not fit, or a bundle that cannot be
            adapted.
        OSError: when a file does not exist, or the output cannot be written.
        SystemExit: 1 when a follow-up scan could not be segmented.
    """
    check_whole("images", images, 1)
    check_whole("seed", seed, 0)
    deep = stage("deep", ("all",), deep_iterations, deep_rate)
    parts = read_words("shallow_parts", shallow_parts)
    shallow = stage("shallow", parts, shallow_iterations, shallow_rate)
    with opened_start(model, bundle) as (folder, weights):
        options = Options(
            bundle=folder,
            config_files=check_files("config_file", config_file),
            checkpoints=(str(weights),),
            unchecked_model=unchecked_model,
            check_hu=check_hu,
            threshold=check_threshold(threshold),
            device=check_device(device),
            geometry=check_geometry(geometry),
            products=check_products(products),
        )
        adapted = AdaptedModel(options, Tuning(deep, shallow, images=images, seed=seed))
        paths = [Path(str(image)), *map(Path, read_words("follow_ups", follow_ups))]
        sources = tuple(_distinct([_only_source(path) for path in paths]))
        job = Job(adapted, sources, Path(str(output)))
        job.prepare(annotated, slice, reference)
        with claimed(job.output):
            refuse_foreign(job.output, MADE_BY, (SUMMARY, FIGURES))
            clear_unfinished(job.output)
            failures = job.run()
    if failures:
        raise SystemExit(1)


@dataclass
class Job:
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


def stage(name: str, parts: tuple[str, ...], iterations: object, rate: object) -> Stage:
    """Check a step of the tuning.

    Raises:
        ValueError: for no parts, no iteration, or a rate that is not above 0.
    """
    check_whole(f"{name}_iterations", iterations, 1)
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not number or not 0 < rate < float("inf"):  # type: ignore[operator]
        raise ValueError(f"{name}_rate: must be a number above 0, got {rate!r}")
    if not parts:
        raise ValueError(f"{name}_parts: must name at least one part, such as decoder, got none")
    return Stage(name, parts, int(iterations), None, float(rate))  # type: ignore[call-overload, arg-type]


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


def _only_source(path: Path) -> Source:
    """Return the only CT at a path.

    Raises:
        FileNotFoundError: when the path does not exist.
        ValueError: for no CT, or several.
    """
    inventory = find_sources(path)
    if len(inventory.sources) != 1:
        remarks = [str(remark) for remark in inventory.refused[:1]]
        found = ", ".join(source.name for source in inventory.sources) or "; ".join(remarks)
        raise ValueError(
            f"image: must be one CT, {path} holds {len(inventory.sources)}: {found or 'nothing'}"
        )
    return inventory.sources[0]


def _distinct(sources: Sequence[Source]) -> list[Source]:
    """Number the CTs whose names coincide, in their order.

    Follow-up scans often are files of one name in a folder for each date.
    """
    names = [source.name for source in sources]
    return [
        replace(source, name=f"{source.name}-{position + 1}")
        if names.count(source.name) > 1
        else source
        for position, source in enumerate(sources)
    ]
