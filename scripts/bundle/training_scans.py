"""The scans that a network was trained, selected and tested on: spacing and hashed ids.

The ids are salted hashes of the series UIDs, or of the names that the data set gives its cases, and
of the voxels, by which a scan is known under another name.
Patients are not hashed: their ids are short enough to be found by trying all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk

from scripts.bundle.model_file import ModelFile
from scripts.bundle.model_summary import CASES

PIXEL_FACTOR = 1.5
"""A network sees a lesion of 10 mm in the size of one of 15 mm; training varies sizes by 15 to 20 %
(``scaling`` of train.json), and clinical pixels lie between 0.5 and 1 mm."""
TRAINING, VALIDATION, TEST = CASES.values()
SLICE_FACTOR = 2.5
"""For networks that see neighbouring slices: from 1 or 2 mm to 5 mm, the neighbours are others."""

Spacing = tuple[float, float]
"""Distance of the pixels and of the slices in mm."""

SHUFFLED = "shuffled"
"""Kind of labels of a control: training images have the labels of other patients."""

CONTROL = (
    "the network is a control: it was trained on the labels of other patients, and its results say "
    "what position alone gives"
)


@dataclass(frozen=True)
class TrainingScans:
    """What a model file says about the scans of its training.

    Attributes:
        pixel_mm: smallest and largest distance of pixels; None if unknown.
        slice_mm: smallest and largest distance of slices; None if unknown, or of no effect on the
            network.
        cases: hashes of the ids of the training cases, see :func:`hashed_ids`.
        validation: those of the cases by which the best weights were chosen; None if unknown.
        test: those of the cases that were set aside for the test; None if unknown.
        test_cases: number of these cases, of which some have two ids.
        salt: of these hashes.
        labels: kinds of label.
    """

    pixel_mm: tuple[float, ...] | None = None
    slice_mm: tuple[float, ...] | None = None
    cases: frozenset[str] = frozenset()
    validation: frozenset[str] | None = None
    test: frozenset[str] | None = None
    test_cases: int | None = None
    salt: str = ""
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: ModelFile) -> TrainingScans:
        """Read the entries of a model file; those of an older or foreign file are unknown."""
        data = model.record.get("data")
        data = data if isinstance(data, Mapping) else {}
        settings = model.settings or {}
        sees_neighbours = settings.get("in_channels") == 3 or any(
            word in str(settings.get("input_kind")) for word in ("volume", "planes")
        )
        pixel, slices = data.get("pixel_mm"), data.get("slice_mm")
        held_out = {
            field: frozenset(data[name])
            for field, name in (("validation", VALIDATION), ("test", TEST))
            if name in data
        }
        return cls(
            pixel_mm=tuple(pixel) if pixel else None,
            slice_mm=tuple(slices) if slices and sees_neighbours else None,
            cases=frozenset(data.get(TRAINING, ())),
            **held_out,
            test_cases=data.get("partitions", {}).get("test", {}).get("cases"),
            salt=str(data.get("salt", "")),
            labels=tuple(data.get("labels", ())),
        )

    @property
    def is_control(self) -> bool:
        """Whether the network was trained on labels of other patients, and must fail."""
        return SHUFFLED in self.labels

    def completed(self, datalist: Mapping[str, Any]) -> TrainingScans:
        """Fill in validation and test of a file that lacks them, from the datalist of its training.

        Args:
            datalist: partition -> samples. Nothing is filled in from another one than that of the
                training: its training cases must be exactly those of the file.
        """
        training = datalist.get("training", ())
        own = {hashed_case(case_id(sample), self.salt) for sample in training}
        every = hashed_ids(training, self.salt)  # a file of an earlier version has fewer of a case
        if self.validation is not None or not own or not own <= self.cases <= set(every):
            return self
        validation, test = (
            frozenset(hashed_ids(datalist[name], self.salt)) for name in ("validation", "test")
        )
        count = len({case_id(sample) for sample in datalist["test"]})
        return replace(self, validation=validation, test=test, test_cases=count)

    def with_patients(self, datalist: Mapping[str, Any]) -> TrainingScans:
        """Count every scan of a patient as one that the file names another scan of.

        The file has no patients, so that they are those of a datalist: a patient of whom it lists
        no scan that the file names stays unknown.

        Args:
            datalist: partition -> samples or scans with ``patient_id``.
        """
        scans: dict[str, set[str]] = {}
        for sample in _entries_of(datalist):
            if "patient_id" in sample:
                scans.setdefault(str(sample["patient_id"]), set()).update(ids_of(sample))
        hashed = [{hashed_case(each, self.salt) for each in ids} for ids in scans.values()]
        validation, test = self.validation, self.test
        return replace(
            self,
            cases=_of_whole_patients(self.cases, hashed),
            validation=None if validation is None else _of_whole_patients(validation, hashed),
            test=None if test is None else _of_whole_patients(test, hashed),
        )

    def includes(self, ids: Iterable[str]) -> bool:
        """Whether one of a scan's ids or names is that of a training case."""
        return self._holds(self.cases, ids)

    def was_selected_by(self, ids: Iterable[str]) -> bool:
        """Whether one of a scan's ids or names is that of a validation case."""
        return self._holds(self.validation or (), ids)

    def set_aside(self, ids: Iterable[str]) -> bool:
        """Whether one of a scan's ids or names is that of a test case."""
        return self._holds(self.test or (), ids)

    def _holds(self, hashes: Collection[str], ids: Iterable[str]) -> bool:
        return any(hashed_case(each, self.salt) in hashes for each in ids)

    def spacing_warnings(self, spacings: Sequence[Spacing]) -> list[str]:
        """Return a warning for each spacing, of pixels and slices, far outside the training's.

        >>> TrainingScans(pixel_mm=(0.6, 0.8)).spacing_warnings([(0.7, 5.0), (2.1, 1.0)])
        ['pixels of 2.1 mm: the network was trained on 0.6 to 0.8 mm, sizes look different to it']
        """
        rows = (
            ("pixels", 0, self.pixel_mm, PIXEL_FACTOR, "sizes look different to it"),
            ("slices every", 1, self.slice_mm, SLICE_FACTOR, "their neighbours look different"),
        )
        warnings = []
        for name, index, known, factor, effect in rows:
            if known is None:
                continue
            low, high = min(known), max(known)
            far = [s[index] for s in spacings if not low / factor <= s[index] <= high * factor]
            if far:
                shown = _range(min(far), max(far))
                of = f"{name} of" if index == 0 else name
                warnings.append(
                    f"{of} {shown} mm: the network was trained on {_range(low, high)} mm, {effect}"
                )
        return warnings


def _entries_of(datalist: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the samples and the whole scans of all partitions of a datalist."""
    for lists in (datalist, datalist.get("volumes", {})):
        for partition in ("training", "validation", "test"):
            yield from lists.get(partition, ())


def _of_whole_patients(hashes: frozenset[str], patients: Iterable[set[str]]) -> frozenset[str]:
    """Add all scans of the patients of whom the hashes hold one."""
    return hashes.union(*(ids for ids in patients if ids & hashes))


def _range(low: float, high: float) -> str:
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"


def hashed_case(case: str, salt: str) -> str:
    """Return the salted hash of a case's id: SHA-256, 16 hex digits."""
    return hashlib.sha256(f"{salt}{case}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def spacings_of(samples: Iterable[Mapping[str, Any]]) -> list[Spacing]:
    """Return the spacing of each scan in a list of samples, once per scan.

    Args:
        samples: with ``spacing_mm`` (x, y, z) or ``affine_lps``, or with the path of an ``image``
            whose header has it; others are left out.
    """
    found: dict[str, Spacing] = {}
    for sample in samples:
        case = case_id(sample)
        if case in found:
            continue
        if "spacing_mm" in sample:
            *pixel, distance = sample["spacing_mm"]
            found[case] = (max(pixel), distance)
        elif "affine_lps" in sample:
            found[case] = spacing_of_affine(sample["affine_lps"])
        elif isinstance(sample.get("image"), str):
            reader = sitk.ImageFileReader()
            reader.SetFileName(sample["image"])
            try:
                reader.ReadImageInformation()
            except RuntimeError:  # a file that loading will refuse, or another tool's
                continue
            spacing = reader.GetSpacing()
            found[case] = (max(spacing[:2]), spacing[2] if len(spacing) > 2 else 0.0)
    return list(found.values())


def spacing_of_affine(affine: Any) -> Spacing:
    """Return the spacing of an affine (4, 4) whose third axis runs across the slices."""
    edges = np.linalg.norm(np.asarray(affine, np.float64)[:3, :3], axis=0)
    return float(max(edges[:2])), float(edges[2])


def case_id(sample: Mapping[str, Any]) -> str:
    """Return the id of a sample's scan."""
    return str(sample.get("series_uid") or sample.get("image"))


def ids_of(sample: Mapping[str, Any]) -> list[str]:
    """Return all ids of a sample's scan, :func:`case_id` first.

    The others are, for a part of a scan, the UID of the whole series, and the id of the voxels.

    >>> ids_of({"series_uid": "LIDC-IDRI-0003_R_2", "scan_uid": "1.3.6.1", "image_hash": "5f3a"})
    ['LIDC-IDRI-0003_R_2', '1.3.6.1', 'voxels 5f3a']
    """
    whole, image = sample.get("scan_uid"), sample.get("image_hash")
    return [
        case_id(sample),
        *([str(whole)] if whole else []),
        *([voxel_id(image)] if image else []),
    ]


def voxel_id(image_hash: str) -> str:
    """Return the id of a scan by its voxels, see :func:`scripts.volumes.volume.hash_of_voxels`."""
    return f"voxels {image_hash}"


def hashed_ids(samples: Iterable[Mapping[str, Any]], salt: str) -> list[str]:
    """Return the sorted, salted hashes of all ids of samples, see :func:`ids_of`."""
    ids = {each for sample in samples for each in ids_of(sample)}
    return sorted(hashed_case(each, salt) for each in ids)


def extent(values: Iterable[float]) -> list[float] | None:
    """Return the smallest and the largest of some lengths in mm, rounded; None without any."""
    listed = sorted(round(value, 4) for value in values)
    return [listed[0], listed[-1]] if listed else None
