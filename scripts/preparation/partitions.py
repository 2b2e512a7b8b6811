"""From the records of prepared scans to the lists of samples and volumes, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from scripts.datasets.luna16.scans import Scan
from scripts.datasets.shares import SECTIONS
from scripts.preparation.options import SliceOptions, SplitOptions
from scripts.preparation.slices import empty_count, nodule_slices
from scripts.preparation.splits import (
    assign_nodules,
    assign_patients,
    assign_slices,
    assign_subsets,
    hold_back_ends,
)
from scripts.storage.output_folder import portable_path
from scripts.transforms.neighbours import rows_of

Sample = dict[str, Any]
Lists = dict[str, list[Sample]]


@dataclass(frozen=True)
class PreparedScan:
    """A scan, its patient and the record that preparation left of it."""

    scan: Scan
    patient_id: str
    record: Mapping[str, Any]
    empty_wanted: int


def samples_of(prepared: PreparedScan, options: SliceOptions) -> list[Sample]:
    """List the samples of one scan: slices with nodules, then those without, in drawn order."""
    record = prepared.record
    uid = prepared.scan.uid
    common = {key: f"scans/{uid}/{key}.npy" for key in ("image", "label", "lung")}
    empty = record["empty_slices"][: prepared.empty_wanted]
    samples = []
    for number in [*nodule_slices(record["nodules"], options.which), *empty]:
        rows = rows_of(number, record["stored_slices"], options.neighbours, record["size"][2])
        shown = [nodule for nodule in record["nodules"] if number in nodule["slices"]]
        keys = ("id", "diameter_mm", "centre_lps_mm")
        samples.append(
            {
                **common,
                "rows": rows,
                "slice": number,
                "series_uid": uid,
                "patient_id": prepared.patient_id,
                "spacing_mm": record["spacing_mm"],
                "affine_lps": record["affine_lps"],
                "label_kind": record["label_kind"],
                "nodules": [{key: nodule[key] for key in keys} for nodule in shown],
            }
        )
    return samples


def choose_samples(
    scans: Sequence[PreparedScan], options: SliceOptions
) -> tuple[list[Sample], int]:
    """Choose every slice with a nodule, and as many without, evenly over the scans, as asked for.

    Returns:
        The samples by series and slice; and how many slices without nodule were asked for, which
        is more than there are when the lungs leave no room.
    """
    having: list[Sample] = []
    lacking: list[tuple[int, float, Sample]] = []
    random = Random(f"empty:{options.seed}")
    for prepared in sorted(scans, key=lambda prepared: prepared.scan.uid):
        every = samples_of(prepared, options)
        having += [sample for sample in every if sample["nodules"]]
        empty = [sample for sample in every if not sample["nodules"]]
        lacking += [(rank, random.random(), sample) for rank, sample in enumerate(empty)]
    wanted = empty_count(len(having), options.empty_share)
    lacking.sort(key=lambda drawn: drawn[:2])  # one of each scan before a second of any
    chosen = [*having, *(sample for _, _, sample in lacking[:wanted])]
    return sorted(chosen, key=lambda sample: (sample["series_uid"], sample["slice"])), wanted


def divide(
    samples: Sequence[Sample],
    scans: Sequence[PreparedScan],
    *,
    split: SplitOptions,
    slices: SliceOptions,
) -> Lists:
    """Put every sample into its section; see :mod:`scripts.preparation.splits`.

    Raises:
        ValueError: when a section would be empty.
    """
    if split.kind == "nodule":
        return _by_nodule(samples, scans, split, slices)
    if split.kind == "slice_block":
        return _by_slice_block(samples, split, max(1, slices.neighbours))
    sections = series_sections(scans, split)
    return _gather((sections[sample["series_uid"]], sample) for sample in samples)


def _gather(pairs: Iterable[tuple[str, Sample]]) -> Lists:
    lists: Lists = {section: [] for section in SECTIONS}
    for section, sample in pairs:
        lists[section].append(sample)
    return lists


def series_sections(scans: Sequence[PreparedScan], split: SplitOptions) -> dict[str, str]:
    """Section of every series in a split that keeps series whole.

    Raises:
        ValueError: when there are too few patients or subsets.
    """
    if split.kind == "subset":
        subsets = {prepared.scan.uid: prepared.scan.subset for prepared in scans}
        return assign_subsets(subsets, test_fold=split.test_fold)
    nodules: dict[str, int] = {}
    for prepared in scans:
        patient = prepared.patient_id
        nodules[patient] = nodules.get(patient, 0) + len(prepared.record["nodules"])
    sections = assign_patients(nodules, seed=split.seed, shares=split.shares)
    return {prepared.scan.uid: sections[prepared.patient_id] for prepared in scans}


def _by_nodule(
    samples: Sequence[Sample],
    scans: Sequence[PreparedScan],
    split: SplitOptions,
    slices: SliceOptions,
) -> Lists:
    """Place a slice in the section of every nodule that it was taken for, listing only those."""
    owners: dict[tuple[str, int], set[int]] = {}
    for prepared in scans:
        for nodule in prepared.record["nodules"]:
            for number in nodule_slices([nodule], slices.which):
                owners.setdefault((prepared.scan.uid, number), set()).add(nodule["id"])
    names = [(uid, number) for (uid, _), numbers in owners.items() for number in numbers]
    sections = assign_nodules(names, seed=split.seed)
    pairs: list[tuple[str, Sample]] = []
    for sample in samples:
        uid = sample["series_uid"]
        owning = {sections[uid, k] for k in owners.get((uid, sample["slice"]), ())}
        for section in sorted(owning):
            shown = [n for n in sample["nodules"] if sections[uid, n["id"]] == section]
            pairs.append((section, {**sample, "nodules": shown}))
    lacking = {(s["series_uid"], s["slice"]): s for s in samples if not s["nodules"]}
    if len(lacking) < len(SECTIONS):
        return _gather([*pairs, *(("training", sample) for sample in lacking.values())])
    drawn = assign_nodules(lacking, seed=split.seed)
    return _gather([*pairs, *((drawn[place], lacking[place]) for place in lacking)])


def _by_slice_block(samples: Sequence[Sample], split: SplitOptions, gap: int) -> Lists:
    """Place slices with a nodule by blocks; of a scan's others, ends are held back, a gap kept."""
    nodules: dict[tuple[str, int], list[int]] = {}
    without: dict[str, list[int]] = {}
    for sample in samples:
        for nodule in sample["nodules"]:
            nodules.setdefault((sample["series_uid"], nodule["id"]), []).append(sample["slice"])
        if not sample["nodules"]:
            without.setdefault(sample["series_uid"], []).append(sample["slice"])
    placed = assign_slices(nodules, seed=split.seed, gap=gap)
    for uid, numbers in without.items():
        for number, section in hold_back_ends(numbers).items():
            beside = range(number - gap, number + gap + 1)
            if all(placed.get((uid, k), section) == section for k in beside):
                placed[uid, number] = section
    named = ((placed.get((s["series_uid"], s["slice"])), s) for s in samples)
    return _gather((section, sample) for section, sample in named if section)


def volume_lists(
    lists: Lists, scans: Sequence[PreparedScan], split: SplitOptions, output: Path
) -> Lists:
    """Whole volumes of every section.

    Where the split keeps series whole, each stands once. Otherwise (``nodule``, ``slice_block``)
    it stands in every section that has a sample of it.
    """
    if split.kind in ("patient", "subset"):
        whole = series_sections(scans, split)
        sections = {uid: {section} for uid, section in whole.items()}
    else:
        sections = {prepared.scan.uid: set() for prepared in scans}
        for section, samples in lists.items():
            for sample in samples:
                sections[sample["series_uid"]].add(section)
    pairs = [
        (section, _volume(prepared, output))
        for prepared in scans
        for section in SECTIONS
        if section in sections[prepared.scan.uid]
    ]
    return _gather(pairs)


def _volume(prepared: PreparedScan, output: Path) -> Sample:
    keys = ("id", "diameter_mm", "centre_lps_mm")
    uid = prepared.scan.uid
    return {
        "image": portable_path(prepared.scan.image, output),
        "label": f"volumes/{uid}.nii.gz",
        "series_uid": uid,
        "patient_id": prepared.patient_id,
        "spacing_mm": prepared.record["spacing_mm"],
        "label_kind": prepared.record["label_kind"],
        "nodules": [{k: nodule[k] for k in keys} for nodule in prepared.record["nodules"]],
    }
