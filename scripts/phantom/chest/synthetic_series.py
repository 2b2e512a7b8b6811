"""One synthetic series: anatomy, nodules, simulated scan, and its files."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.chest.chest import ChestPainter, airway_share, lung_labels
from scripts.phantom.chest.nodules import (
    DrawnNodule,
    Nodule,
    Sites,
    draw_nodules,
    paint_nodule,
    place_nodules,
)
from scripts.phantom.chest.suspicion import draw_looks, paired, plan_nodules, readers_xml
from scripts.phantom.files import Geometry, write_image
from scripts.phantom.outlines import Outlines
from scripts.phantom.patient import draw_patient
from scripts.phantom.scanner import Protocol, draw_protocol, scan
from scripts.phantom.solids import Grid
from scripts.storage.files import write_text

VERSION = 1  # of the drawings: increased when the same seed gives other images
NAMESPACE = uuid.UUID("5f0d6f4e-2a77-4c1c-9c0d-0e8d3c1b7a16")
XML_FOLDER = "lidc_xml"
Number = TypeVar("Number", np.int16, np.uint8)
PATIENT_STREAM, NODULE_STREAM, SCAN_STREAM, PLAN_STREAM, READER_STREAM = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Options:
    """The options that the images of a cohort depend on.

    Args:
        suspicion: whether nodules are of two classes, which readers rate.
        matched_sizes: whether both classes have the same diameters.
    """

    seed: int
    size: int
    slices: int | None
    nodule_min_mm: float
    nodule_max_mm: float
    version: int = VERSION
    suspicion: bool = False
    matched_sizes: bool = False

    def record(self) -> dict[str, Any]:
        """Return the options for cohort.json; without the classes if there are none."""
        classes = ("suspicion", "matched_sizes")
        return {k: v for k, v in asdict(self).items() if self.suspicion or k not in classes}


@dataclass(frozen=True)
class NoduleRecord:
    """A nodule of the tables; its centre (x, y, z) in LPS mm is that of the mask's voxels.

    ``suspicious`` is its class, None in a cohort without classes.
    """

    id: int
    kind: str
    diameter_mm: float
    volume_mm3: float
    centre_lps_mm: tuple[float, float, float]
    suspicious: bool | None = None

    def record(self) -> dict[str, Any]:
        """Return the nodule for its series' record."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @property
    def centre_text(self) -> str:
        """The centre as three CSV fields."""
        return ",".join(f"{value:.9g}" for value in self.centre_lps_mm)


@dataclass(frozen=True)
class Record:
    """The entries of the tables for one series."""

    seriesuid: str
    patient_id: str
    nodules: tuple[NoduleRecord, ...]


def series_of(index: int) -> list[tuple[int, int]]:
    """Return the (patient, series) numbers of one patient: 1, 6, 11 ... have two series.

    >>> [len(series_of(index)) for index in range(7)]
    [1, 2, 1, 1, 1, 1, 2]
    """
    return [(index, number) for number in range(2 if index % 5 == 1 else 1)]


def series_uid(seed: int, index: int, number: int) -> str:
    """Return a valid DICOM UID under 2.25, derived from seed, patient and series.

    >>> series_uid(0, 0, 0) == series_uid(0, 0, 0) != series_uid(0, 0, 1)
    True
    """
    return f"2.25.{uuid.uuid5(NAMESPACE, f'{seed}/{index}/{number}').int}"


def make_series(task: tuple[Path, Options, tuple[int, int]]) -> Record:
    """Write one series' image, lung map, masks and readings, or read its record if they exist.

    Args:
        task: the cohort's folder, its options, and the numbers of patient and series.
    """
    folder, options, (index, number) = task
    uid = series_uid(options.seed, index, number)
    path = folder / "records" / f"{uid}.json"
    scan_path = folder / f"subset{index % 10}" / f"{uid}.mhd"
    lung_path = folder / "seg-lungs-LUNA16" / f"{uid}.mhd"
    mask_path = folder / "masks" / f"{uid}.nii.gz"
    xml_path = folder / XML_FOLDER / f"{uid}.xml"
    data = [scan_path.with_suffix(".raw"), lung_path.with_suffix(".raw")]
    data += [xml_path] if options.suspicion else []
    if all(file.is_file() for file in [path, scan_path, lung_path, mask_path, *data]):
        return read_record(path)
    image, lungs, masks, geometry, drawn = draw_series(options, index, number)
    nodules = tuple(
        replace(measure(masks == i, i, one.kind, geometry), suspicious=one.suspicious)
        for i, one in enumerate(drawn, start=1)
    )
    record = Record(uid, f"PHANTOM-{index:04d}", nodules)
    for file, array in ((scan_path, image), (lung_path, lungs), (mask_path, masks)):
        write_image(file, array, geometry)
    if options.suspicion:
        readers = np.random.default_rng((options.seed, index, READER_STREAM, number))
        classes = [bool(one.suspicious) for one in drawn]
        write_text(xml_path, readers_xml(uid, masks, classes, geometry, readers))
    content = {**asdict(record), "nodules": [nodule.record() for nodule in nodules]}
    write_text(path, json.dumps(content, indent=1) + "\n")
    return record


def read_record(path: Path) -> Record:
    """Read the record of an existing series."""
    content = json.loads(path.read_text(encoding="utf-8"))
    nodules = tuple(
        NoduleRecord(**{**nodule, "centre_lps_mm": tuple(nodule["centre_lps_mm"])})
        for nodule in content["nodules"]
    )
    return Record(content["seriesuid"], content["patient_id"], nodules)


def draw_series(
    options: Options, index: int, number: int
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint8], Geometry, list[DrawnNodule]]:
    """Draw one series: image, lung map and instance masks (Z, Y, X) as stored, geometry, nodules.

    A patient's series share chest and nodules; position on the table and noise differ.
    """
    patient = draw_patient(np.random.default_rng((options.seed, index, PATIENT_STREAM)))
    own = np.random.default_rng((options.seed, index, SCAN_STREAM, number))
    flipped = index % 4 == 2 and number == 0
    protocol = draw_protocol(patient, own, slices=options.slices, flipped=flipped)
    grid = protocol.grid(options.size)
    clean, lungs = ChestPainter(patient, grid).paint()
    disease = np.random.default_rng((options.seed, index, NODULE_STREAM))
    sites = Sites(
        patient.outlines,
        patient.vessels,
        diameters_mm=(options.nodule_min_mm, options.nodule_max_mm),
        heights_mm=shown_heights(patient.outlines, grid),
    )
    if options.suspicion:
        classes, nodules = draw_classes(options, index, sites, disease)
    else:
        nodules = draw_nodules(sites, disease)
        classes = [None] * len(nodules)
    painted = [paint_nodule(clean, lungs, grid, nodule, disease) for nodule in nodules]
    drawn = [replace(one, suspicious=c) for one, c in zip(painted, classes, strict=True)]
    labels = lung_labels(lungs, airway_share(patient, grid))
    image = scan(clean, grid, protocol, own)
    geometry = world_geometry(protocol, grid)
    masks = instance_map(drawn, grid)
    if flipped:
        image, labels, masks = run_backwards(image), run_backwards(labels), run_backwards(masks)
    return image, labels, masks, geometry, drawn


def draw_classes(
    options: Options, index: int, sites: Sites, rng: np.random.Generator
) -> tuple[list[bool | None], list[Nodule]]:
    """Draw the nodules of a patient in a cohort of two classes, and the class of each.

    Raises:
        ValueError: when no nodule of the chosen sizes fits into the lungs shown.
    """
    plan = np.random.default_rng((options.seed, index, PLAN_STREAM))
    planned = plan_nodules(plan, sites.diameters_mm, matched_sizes=options.matched_sizes)
    looks = [(one.diameter_mm, draw_looks(rng, suspicious=one.suspicious)) for one in planned]
    placed = place_nodules(sites, rng, looks)
    numbers = list(placed)
    if options.matched_sizes:
        numbers = paired(planned, numbers)
    if not numbers:
        low, high = sites.heights_mm
        raise ValueError(
            f"no nodules of the chosen sizes fit into the {high - low:.0f} mm of lung shown; lower "
            "nodule_max_mm or raise slices"
        )
    return [planned[number].suspicious for number in numbers], [placed[n] for n in numbers]


def shown_heights(outlines: Outlines, grid: Grid) -> tuple[float, float]:
    """Return the range of lung heights in a scan, equal for all scans of the whole chest."""
    low, high = outlines.extent_mm
    return max(low, float(grid.z[0])), min(high, float(grid.z[-1]))


def run_backwards(array: NDArray[Number]) -> NDArray[Number]:
    """Flip an array (Z, Y, X) along x and y."""
    return np.ascontiguousarray(array[:, ::-1, ::-1])


def instance_map(drawn: list[DrawnNodule], grid: Grid) -> NDArray[np.uint8]:
    """Combine the masks of all nodules into one map (Z, Y, X): k for nodule k, from 1."""
    masks = np.zeros(grid.shape, dtype=np.uint8)
    for number, nodule in enumerate(drawn, start=1):
        masks[nodule.window][nodule.mask] = number
    return masks


def world_geometry(protocol: Protocol, grid: Grid) -> Geometry:
    """Return the world position (LPS mm) of the stored array."""
    sign, first = (-1, -1) if protocol.flipped else (1, 0)
    corner = np.array([grid.x[first], grid.y[first], grid.z[0]], dtype=float)
    offset = np.round(corner + protocol.origin_mm, 4)
    spacing = tuple(round(float(step), 9) for step in grid.spacing_mm)
    return Geometry(
        (float(offset[0]), float(offset[1]), float(offset[2])),
        (sign, sign, 1),
        (spacing[0], spacing[1], spacing[2]),
    )


def measure(mask: NDArray[np.bool_], number: int, kind: str, geometry: Geometry) -> NoduleRecord:
    """Measure volume, equivalent diameter and centroid of a nodule's mask (Z, Y, X)."""
    indices = np.argwhere(mask)[:, ::-1]
    volume = len(indices) * float(np.prod(geometry.spacing_mm))
    centre = geometry.world(indices.mean(axis=0))
    return NoduleRecord(
        id=number,
        kind=kind,
        diameter_mm=float(np.cbrt(6.0 * volume / np.pi)),
        volume_mm3=volume,
        centre_lps_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
    )
