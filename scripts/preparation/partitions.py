"""Assignment of the samples and volumes of a cohort to training, validation and test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from scripts.datasets.contract import DataSet, Scan
from scripts.datasets.shares import PARTITIONS
from scripts.preparation.prepare_options import SliceOptions, SplitOptions
from scripts.preparation.samples import PreparedScan, Sample, listed, shared_entries
from scripts.preparation.slice_splits import (
    assign_object_blocks,
    assign_random_slices,
    assign_slice_blocks,
    hold_back_ends,
)
from scripts.preparation.slices import object_slices
from scripts.preparation.splits import (
    ONE_PARTITION,
    WHOLE_SPLITS,
    assign_folds,
    assign_nodules,
    assign_patients,
)
from scripts.storage.output_folder import portable_path

Lists = dict[str, list[Sample]]
ScanItem = tuple[str, int]  # scan id, and number of a slice or object


def check_split_early(scans: Sequence[Scan], data_set: DataSet, split: SplitOptions) -> None:
    """Refuse a split that is impossible with these scans, before any of them is read.

    Raises:
        ValueError: see :mod:`scripts.preparation.splits` and :meth:`DataSet.divide`.
    """
    _scan_partitions(scans, {scan.patient_id: True for scan in scans}, data_set, split)


def _scan_partitions(
    scans: Iterable[Scan], complete: Mapping[str, bool], data_set: DataSet, split: SplitOptions
) -> Mapping[str, str] | None:
    """Return scan id -> partition for splits that keep scans whole; None for other splits."""
    listed = list(scans)
    if split.kind in data_set.splits:
        random = Random(f"{split.kind}:{split.seed}")
        return data_set.divide(listed, split.kind, test_fold=split.test_fold, random=random)
    if split.kind == "patient":
        needed = "with nodules" if data_set.kind == "instances" else ""
        seed, shares = split.seed, split.shares
        patients = assign_patients(complete, seed=seed, shares=shares, needed=needed)
    elif split.kind == "fold":
        patients = assign_folds(
            complete, folds=split.folds, test_fold=split.test_fold, seed=split.seed
        )
    elif split.kind in ONE_PARTITION:
        patients = dict.fromkeys(complete, ONE_PARTITION[split.kind])
    else:
        return None
    return {scan.id: patients[scan.patient_id] for scan in listed}


def scan_partitions(
    scans: Sequence[PreparedScan], data_set: DataSet, split: SplitOptions
) -> Mapping[str, str] | None:
    """Return scan id -> partition for splits that keep scans whole; None for other splits.

    Raises:
        ValueError: for too few patients or folds.
    """
    complete: dict[str, bool] = {}
    for prepared in scans:
        patient, record = prepared.scan.patient_id, prepared.record
        if data_set.kind == "instances":
            complete[patient] = complete.get(patient, False) or bool(record["nodules"])
        else:
            known = len(record["known_classes"]) == len(data_set.classes())
            complete[patient] = complete.get(patient, True) and known
    return _scan_partitions([prepared.scan for prepared in scans], complete, data_set, split)


def keeps_scans_whole(data_set: DataSet, split: SplitOptions) -> bool:
    """Return whether a split puts each scan into one partition, so that volumes can be listed."""
    return split.kind in (*WHOLE_SPLITS, *data_set.splits)


def divide(
    samples: Sequence[Sample],
    scans: Sequence[PreparedScan],
    data_set: DataSet,
    split: SplitOptions,
    slices: SliceOptions,
) -> Lists:
    """Assign every sample to its partition; see :mod:`scripts.preparation.splits`.

    Raises:
        ValueError: when a partition would be empty.
    """
    whole = scan_partitions(scans, data_set, split)
    if whole is not None:
        return _gather((whole[sample["series_uid"]], sample) for sample in samples)
    if split.kind in ("nodule", "nodule_fold"):
        return _by_nodule(samples, scans, split, slices)
    if split.kind == "slice_random":
        partitions = assign_random_slices(_numbers(samples), seed=split.seed)
    elif data_set.kind == "instances":
        partitions = _object_blocks(samples, split, max(1, slices.neighbours))
    else:
        gap = max(1, 2 * slices.neighbours)
        numbers = _numbers(samples)
        partitions = assign_slice_blocks(numbers, block=split.block, gap=gap, seed=split.seed)
    pairs = ((partitions.get((s["series_uid"], s["slice"])), s) for s in samples)
    return _gather((partition, sample) for partition, sample in pairs if partition)


def _gather(pairs: Iterable[tuple[str, Sample]]) -> Lists:
    lists: Lists = {partition: [] for partition in PARTITIONS}
    for partition, sample in pairs:
        lists[partition].append(sample)
    return lists


def _numbers(samples: Iterable[Sample]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for sample in samples:
        numbers.setdefault(sample["series_uid"], []).append(sample["slice"])
    return numbers


def _by_nodule(
    samples: Sequence[Sample],
    scans: Sequence[PreparedScan],
    split: SplitOptions,
    slices: SliceOptions,
) -> Lists:
    """Assign a slice to the partition of each nodule that it was chosen for, listing only these."""
    owners: dict[ScanItem, set[int]] = {}
    for prepared in scans:
        for nodule in prepared.record["nodules"]:
            for number in object_slices([nodule], slices.which):
                owners.setdefault((prepared.scan.id, number), set()).add(nodule["id"])
    names = [(uid, number) for (uid, _), numbers in owners.items() for number in numbers]
    partitions = _nodule_partitions(names, split)
    pairs: list[tuple[str, Sample]] = []
    for sample in samples:
        uid = sample["series_uid"]
        owning = {partitions[uid, k] for k in owners.get((uid, sample["slice"]), ())}
        for partition in sorted(owning):
            shown = [n for n in sample["nodules"] if partitions[uid, n["id"]] == partition]
            pairs.append((partition, {**sample, "nodules": shown}))
    lacking = {(s["series_uid"], s["slice"]): s for s in samples if not s["nodules"]}
    if len(lacking) < (split.folds if split.kind == "nodule_fold" else len(PARTITIONS)):
        return _gather([*pairs, *(("training", sample) for sample in lacking.values())])
    drawn = _nodule_partitions(lacking, split)
    return _gather([*pairs, *((drawn[item], sample) for item, sample in lacking.items())])


def _nodule_partitions(names: Iterable[ScanItem], split: SplitOptions) -> dict[ScanItem, str]:
    if split.kind == "nodule":
        return assign_nodules(names, seed=split.seed)
    folds, test_fold = split.folds, split.test_fold
    return assign_folds({*names}, folds=folds, test_fold=test_fold, seed=split.seed)


def _object_blocks(samples: Sequence[Sample], split: SplitOptions, gap: int) -> dict[ScanItem, str]:
    """Assign slices with an object by blocks, and both ends of the others to held-out partitions.

    Slices without an object keep a gap to slices of another partition.
    """
    objects: dict[ScanItem, list[int]] = {}
    for sample in samples:
        for item in sample["nodules"]:
            objects.setdefault((sample["series_uid"], item["id"]), []).append(sample["slice"])
    partitions = assign_object_blocks(objects, seed=split.seed, gap=gap)
    without = _numbers(sample for sample in samples if not sample["nodules"])
    for uid, numbers in without.items():
        for number, partition in hold_back_ends(numbers).items():
            around = range(number - gap, number + gap + 1)
            if all(partitions.get((uid, k), partition) == partition for k in around):
                partitions[uid, number] = partition
    return partitions


def volume_lists(
    lists: Lists,
    scans: Sequence[PreparedScan],
    data_set: DataSet,
    split: SplitOptions,
    output: Path,
) -> Lists:
    """Return the whole volumes of each partition, for splits that keep scans whole.

    Of instances, all scans are listed, with or without objects; of classes, those with samples.
    """
    partitions = {
        sample["series_uid"]: partition
        for partition, samples in lists.items()
        for sample in samples
    }
    if data_set.kind == "instances":
        partitions |= scan_partitions(scans, data_set, split) or {}
    return _gather(
        (partitions[prepared.scan.id], _volume(prepared, data_set, output))
        for prepared in scans
        if prepared.scan.id in partitions
    )


def _volume(prepared: PreparedScan, data_set: DataSet, output: Path) -> Sample:
    scan, own = prepared.scan, f"volumes/{prepared.scan.id}"
    files = {"image": f"{own}_image.nii.gz", "label": f"{own}_label.nii.gz"}
    if scan.image_file is not None:
        files = {"image": portable_path(scan.image_file, output), "label": f"{own}.nii.gz"}
    entry = {**files, **shared_entries(prepared, data_set)}
    if data_set.kind == "instances":
        entry["nodules"] = listed(prepared.record["nodules"])
    return entry
