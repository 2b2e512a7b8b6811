"""``python -m scripts adapt evaluate``: what one hand-drawn slice is worth on annotated volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.datasets.datalist import class_names_of, load_datalist, read_datalist
from scripts.evaluation.kinds import Classes, Instances
from scripts.evaluation.report import EvaluationReport
from scripts.packaging.new_bundle import SHIPPED
from scripts.prediction.annotated_volume import add_volume, annotation_of, classes_in_lps
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import Options, check_files
from scripts.retraining.adapt.adapted_model import ARMS, AdaptedModel
from scripts.retraining.adapt.drawn_slice import Drawing
from scripts.retraining.adapt.start import is_package, opened_start
from scripts.retraining.adapt.tuning_steps import Tuning, tuning_step
from scripts.running.options import (
    check_choice,
    check_device,
    check_whole,
    read_truth,
    read_words,
)
from scripts.running.progress import Progress
from scripts.storage.locks import claimed


def evaluate_adaptation(
    datalist: str,
    output: str,
    *,
    model: str,
    section: str = "test",
    bundle: str | None = None,
    config_file: str | None = None,
    tunings: str = "none,deep,both",
    only_sampled_slices: bool = False,
    deep_iterations: int = 50,
    deep_rate: float = 3e-5,
    shallow_iterations: int = 5,
    shallow_rate: float = 1e-6,
    images: int = 1,
    device: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Adapt a network to each volume of a section by one annotated slice, and evaluate the others.

    The slice with the largest annotated area stands for the hand-drawn one; of organs, that of the
    first class that is annotated. It is in no figure, also not of those without tuning. Volumes
    without annotation are named and left out. Writes the usual report of the last tuning into
    OUTPUT, of the others into OUTPUT/<tuning>.

    Args:
        datalist: ``datalist.json`` with volumes, as ``prepare --volumes true`` writes it.
        output: folder to write into.
        model: file of trained weights, of a 2D network; or a package, a zip or unpacked.
        section: training, validation or test.
        bundle: of a file of weights, the bundle's folder, or a zip of one; by default that for
            nodules, or that for organs.
        config_file: overlays of its inference.json, separated by commas.
        tunings: what is compared, of none, deep (on the drawn slice) and both (also along the
            others), separated by commas; the last one is the result.
        only_sampled_slices: evaluate only the slices that the datalist lists as samples, as for
            networks that are evaluated on slices.
        deep_iterations: of the tuning on the drawn slice.
        deep_rate: learning rate of it.
        shallow_iterations: on each following slice.
        shallow_rate: learning rate of them.
        images: augmented copies of the drawn slice in each iteration.
        device: cpu, cuda:0 ...; by default that of the config.
        seed: of the augmentation, and of the bootstrap for the intervals.
        overwrite: replace other evaluations in the output.

    Raises:
        ValueError: for an invalid option, another evaluation in the output, or a bundle that cannot
            be adapted.
        FileNotFoundError: when a file does not exist.
    """
    arms = check_tunings(tunings)
    check_whole("images", images, 1)
    section = section.removeprefix("volumes/")
    cases = with_annotation(load_datalist(datalist, f"volumes/{section}"))
    content = read_datalist(Path(datalist))
    shipped = _shipped_bundle(content, datalist)
    deep = tuning_step("deep", ("all",), deep_iterations, deep_rate)
    shallow = tuning_step("shallow", ("decoder",), shallow_iterations, shallow_rate)
    tuning = Tuning(deep, shallow, images=images, seed=seed)
    drawn = [largest_slice(case) for case in cases]
    sampled = load_datalist(datalist, section) if only_sampled_slices else None
    others = other_slices(cases, drawn, sampled)
    beside = None if is_package(model) else shipped
    with opened_start(model, bundle or beside) as (folder, weights), claimed(Path(output)):
        options = Options(
            bundle=folder,
            config_files=check_files("config_file", config_file),
            checkpoints=(str(weights),),
            device=check_device(device),
        )
        adapted = AdaptedModel(options, tuning)
        adapted.check_parts()
        check_classes(adapted.class_names, content, datalist, lesions=adapted.lesions)
        fixed = {"config_files": options.config_files, "only_sampled_slices": only_sampled_slices}
        reports = {
            arm: EvaluationReport(
                cases,
                Path(output) if arm == arms[-1] else Path(output, arm),
                kind=Instances() if adapted.lesions else Classes(class_names_of(content)),
                datalist=datalist,
                section=f"volumes/{section}",
                slices=others,
                seed=seed,
                model=weights,
                method={**settings_of(arm, tuning), **fixed},
                overwrite=read_truth("overwrite", overwrite),
            )
            for arm in arms
        }
        _evaluate(adapted, cases, drawn, reports)
    print(f"written to {output}")


def _shipped_bundle(content: Mapping[str, Any], datalist: str) -> str:
    """Return the bundle of this repository for the kind of labels of a datalist."""
    kind = str(content.get("kind"))
    check_choice(f"{datalist}: kind", kind, SHIPPED)
    return SHIPPED[kind]


def _evaluate(
    adapted: AdaptedModel,
    cases: Sequence[Mapping[str, Any]],
    drawn: Sequence[int],
    reports: Mapping[str, EvaluationReport],
) -> None:
    """Predict every volume with every tuning, and write their reports."""
    for report in reports.values():
        report.check_output()
    pairs = list(zip(cases, drawn, strict=True))
    for case, row in Progress(pairs, desc="adapt", unit="volume"):
        add_case(adapted, case, row, reports)
    for arm, report in reports.items():
        _write(arm, report)


def _write(arm: str, report: EvaluationReport) -> None:
    """Write the report of one tuning and print its headline."""
    evaluation = report.evaluate(report.collection.series())
    report.output_dir.mkdir(parents=True, exist_ok=True)
    report.write(evaluation)
    print(f"tuning {arm}, without the drawn slices:\n{evaluation.shown}")


def settings_of(arm: str, tuning: Tuning) -> dict[str, Any]:
    """Return what the result of a tuning depends on, by the names of the options.

    Example:
        >>> deep, shallow = (tuning_step(name, ("all",), 5, 0.1) for name in ("deep", "shallow"))
        >>> settings_of("none", Tuning(deep, shallow))
        {'tuning': 'none'}
    """
    stages = {"none": (), "deep": (tuning.deep,), "both": (tuning.deep, tuning.shallow)}[arm]
    settings: dict[str, Any] = {"tuning": arm}
    for stage in stages:
        settings |= {
            f"{stage.name}_iterations": stage.epochs,
            f"{stage.name}_rate": stage.learning_rate,
        }
    return {**settings, "images": tuning.images, "seed": tuning.seed} if stages else settings


def check_tunings(value: object) -> tuple[str, ...]:
    """Read what is compared.

    Raises:
        ValueError: for an unknown word, one twice, or none.
    """
    arms = read_words("tunings", value)
    if not arms or len(set(arms)) < len(arms) or not set(arms) <= set(ARMS):
        raise ValueError(f"tunings: must be of {', '.join(ARMS)}, each once, got {value!r}")
    return arms


def check_classes(
    names: Sequence[str], content: Mapping[str, Any], datalist: str, *, lesions: bool
) -> None:
    """Refuse a datalist whose values stand for other classes than the bundle's.

    Args:
        names: of the bundle's classes, background first.
        content: of the datalist.
        datalist: its path, for the message.
        lesions: whether the bundle finds lesions, whatever their name.

    Raises:
        ValueError: for other classes, or another order: an organ would be tuned as another one.
    """
    prepared = class_names_of(content)
    if not lesions and prepared and prepared != list(names):
        raise ValueError(
            f"model: its classes are {', '.join(names)}, those of {datalist} are "
            f"{', '.join(prepared)}; give a model of the same classes in the same order, or "
            "prepare the scans with the classes of the model"
        )


def with_annotation(cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the volumes in which something is annotated, numbered anew; print the others.

    Raises:
        ValueError: for a volume without annotation when there is no other.
    """
    annotated = [case for case in cases if annotation_of(case)[0].any()]
    if not annotated and cases:
        largest_slice(cases[0])
    if without := [str(case.get("series_uid")) for case in cases if case not in annotated]:
        print(
            f"left out, as nothing is annotated that could be drawn: {len(without)} of "
            f"{len(cases)} volumes ({', '.join(without)}); false positives there are not counted"
        )
    return [{**case, "case": number} for number, case in enumerate(annotated)]


def largest_slice(case: Mapping[str, Any]) -> int:
    """Return the slice, in LPS order, with the largest annotated area of the first class.

    Raises:
        ValueError: for a volume in which nothing is annotated.
    """
    labels, _ = annotation_of(case)
    if not labels.any():
        raise ValueError(
            f"{case.get('series_uid', case['label'])}: nothing is annotated, so that there is no "
            "slice to adapt to; leave the scan out, or prepare again with scans that have labels"
        )
    first = labels == labels[labels > 0].min() if "class_known" in case else labels > 0
    return int(first.sum(axis=(1, 2)).argmax())


def other_slices(
    cases: Sequence[Mapping[str, Any]],
    drawn: Sequence[int],
    sampled: Sequence[Mapping[str, Any]] | None,
) -> list[dict[str, Any]]:
    """List the slices that are evaluated: all but the drawn ones, or the sampled ones of them.

    Args:
        cases: the volumes.
        drawn: the drawn slice of each, in LPS order.
        sampled: samples with ``series_uid`` and ``slice``; None for every slice.
    """
    left_out = {str(case["series_uid"]): row for case, row in zip(cases, drawn, strict=True)}
    if sampled is None:
        sampled = [
            {"series_uid": case["series_uid"], "slice": k}
            for case in cases
            for k in range(len(annotation_of(case)[0]))
        ]
    return [
        dict(one)
        for one in sampled
        if left_out.get(str(one["series_uid"]), one["slice"]) != one["slice"]
    ]


def add_case(
    model: AdaptedModel,
    case: Mapping[str, Any],
    row: int,
    reports: Mapping[str, EvaluationReport],
) -> None:
    """Predict a volume with every tuning, and add the results to the reports."""
    labels, affine = annotation_of(case)
    drawing = np.zeros_like(labels)
    drawing[row] = np.minimum(labels[row], 1) if model.lesions else labels[row]
    model.begin(Drawing(drawing, affine, None, model.class_names, model.lesions))
    for arm, report in reports.items():
        model.arm = arm
        prediction = predict_volume(model, Path(case["image"]), study="adapted")
        classes = classes_in_lps(prediction, model.class_names)
        add_volume(report.collection, case, classes, labels, affine)
