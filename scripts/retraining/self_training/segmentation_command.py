"""``python -m scripts self_train segmentation``: pseudo-labels for unlabelled patients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from scripts.bundle.overlays import check_files
from scripts.bundle.recipe import Recipe
from scripts.bundle.record import provenance
from scripts.datasets.datalist import read_datalist
from scripts.packaging.new_bundle import SHIPPED
from scripts.retraining.self_training.division import Division, divide
from scripts.retraining.self_training.network_maps import NetworkMaps
from scripts.retraining.self_training.pseudo_labels import PseudoLabels
from scripts.retraining.self_training.rounds import MODEL, SelfTraining, best_of
from scripts.retraining.self_training.segmentation_report import ALL, FEW, SELF, TEST, Report
from scripts.retraining.self_training.training_steps import TrainingSteps, files_of
from scripts.running.options import check_whole, read_words
from scripts.storage.files import write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import writing_into
from scripts.study.workshop import TaskError, Workshop


def self_train_segmentation(
    datalist: str,
    output: str,
    *,
    bundle: str | None = None,
    config_file: str | None = None,
    labelled_patients: str | None = None,
    rounds: int = 5,
    sure: float = 0.9,
    compare: bool = False,
    seed: int = 0,
) -> None:
    """Self-training of a segmentation network from few labelled patients.

    Trains on the labelled patients, labels the other training patients by what the network is sure
    of, trains again on both, and repeats that until the validation falls. A network of slices gives
    labels to slices, one of volumes (configs/data/..._volume...) to volumes. Writes datalist.json,
    a prepared data set with the labels of the best round, on which any network of the kind can be
    trained (--dataset_dir OUTPUT), and summary.json, rounds.csv and given_labels.csv. The same
    command resumes an interrupted run.

    Labels of unlabelled patients are read for the report only, where they exist; those of the test
    partition with --compare only.

    Args:
        datalist: datalist.json of `prepare`, split by patient. With --slices central the slices of
            unlabelled patients are chosen by their annotation; use --slices all to avoid that.
        output: folder to write into.
        bundle: folder of the bundle; by default that for the labels of the datalist: nodules or
            organs.
        config_file: config files laid over its train.json, separated by commas.
        labelled_patients: number of training patients whose labels are used, or a share of them
            such as 25%, drawn at random; or their names, separated by commas (of one that is a
            number, with a comma behind it); by default all that have a label in the datalist.
        rounds: largest number of rounds in which labels are given; 0 writes the data set of the
            labelled patients alone.
        sure: probability from which a voxel gets a label; others are left out of the loss.
        compare: also train on all labels, and test few labels, self-training and all labels on the
            test partition.
        seed: of the draw of patients and of the trainings.

    Raises:
        ValueError: for an invalid option, or a datalist without patients to label.
        OSError: when a file does not exist, or the output cannot be written.
        SystemExit: 1 when a training fails.
    """
    check_whole("rounds", rounds, 0)
    check_whole("seed", seed, 0)
    path, folder = Path(str(datalist)), Path(str(output)).resolve()
    kind = str(read_datalist(path).get("kind", "instances"))
    recipe = Recipe(str(bundle or SHIPPED[kind]), read_words("config_file", config_file))
    check_files(files_of(recipe))
    maps = NetworkMaps(files_of(recipe))
    division = divide(path, _patients(labelled_patients), seed=seed, prefix=maps.prefix)
    how = PseudoLabels.of(division, sure)
    if compare:
        check_compared(division)
    with claimed(folder), writing_into(folder):
        steps = TrainingSteps(recipe, Workshop(folder / "steps"), seed, maps.key_metric)
        training = SelfTraining(division, steps, maps, how, folder / "rounds")
        try:
            done = training.run(rounds)
            whole = _train_all(division, steps, folder / "all") if compare else None
        except TaskError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        best = best_of(done)
        training.write(best, folder)
        report = Report(division, done, best, seed)
        if whole is not None:
            models = {FEW: done[0].model, SELF: best.model, ALL: whole}
            report.test(models, maps, how)
        summary = {**report.summary(maps.key_metric), "provenance": provenance(seed=seed)}
        write_json(folder / "summary.json", summary)
        report.write_tables(folder)
    print("\n".join([*report.lines(), f"written: {folder}"]))


def check_compared(division: Division) -> None:
    """Check, before anything is trained, that there is what --compare trains and tests on.

    Raises:
        ValueError: for a label that is missing, or an empty test partition.
    """
    test = division.everyone(TEST)
    if not test:
        raise ValueError(f"compare: {division.path} has no test {division.unit}s to compare on")
    entries = [*division.all_labelled(), *test]
    without = [one for one in entries if not Path(str(one.get("label", ""))).is_file()]
    if without:
        names = sorted({str(one["patient_id"]) for one in without})
        raise ValueError(
            "compare: needs the labels of all patients, also of the unlabelled ones and of the "
            f"test; {len(names)} patients have none, the first: {names[0]}; leave --compare out"
        )


def _patients(value: Any) -> int | float | tuple[str, ...] | None:
    """Read the labelled patients: a number, a share, names, or None.

    Several names that are numbers come from the command line as numbers.

    Raises:
        ValueError: for a share that is not above 0 % and below 100 %.

    Example:
        >>> _patients(3), _patients("25%"), _patients("P1,P2"), _patients((1, 2))
        (3, 0.25, ('P1', 'P2'), ('1', '2'))
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and value.strip().endswith("%"):
        digits = value.strip().removesuffix("%").strip()
        if not digits.isdecimal() or not 0 < int(digits) < 100:
            raise ValueError(f"labelled_patients: must be 1% to 99%, got {value!r}")
        return int(digits) / 100
    if isinstance(value, (bool, float)):
        raise ValueError(
            "labelled_patients: must be a number of patients, a share such as 25%, or names "
            f"separated by commas, got {value!r}"
        )
    if isinstance(value, (list, tuple)):
        value = [str(name) if type(name) is int else name for name in value]
    return read_words("labelled_patients", value)


def _train_all(division: Division, steps: TrainingSteps, folder: Path) -> Path:
    """Train on all labels; return the model."""
    everyone = division.all_labelled()
    record = {"labelled_patients": [*division.labelled, *division.unlabelled]}
    return steps.train("all labels", division.write(folder, everyone, record)) / MODEL
