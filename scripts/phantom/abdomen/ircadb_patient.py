"""One synthetic patient of 3D-IRCADb-01: images, outlines under varying names, and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.abdomen.abdomen import paint_abdomen
from scripts.phantom.abdomen.canvas import BITS
from scripts.phantom.abdomen.lesions import Lesion, draw_lesions
from scripts.phantom.abdomen.patient import draw_patient, draw_protocol, liver_heights
from scripts.phantom.dicom_images import SliceGeometry, slice_files, zip_bytes
from scripts.phantom.scanner import Protocol, scan
from scripts.phantom.solids import Grid
from scripts.storage.files import write_bytes, write_text

VERSION = 1  # of the drawings: increased when the same seed gives other images
PATIENT_STREAM, SCAN_STREAM, LESION_STREAM = 10, 11, 12
Masks = dict[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Options:
    """The options that the images of a cohort depend on."""

    seed: int
    size: int
    slices: int | None
    version: int = VERSION
    kind: str = "ircadb"


@dataclass(frozen=True)
class Variant:
    """Irregularities of patients in the real data set.

    Args:
        phase: phase of the contrast medium.
        tumours, cysts: their numbers.
        tumour_name: folder of each tumour, with ``{}`` for its number; without ``{}``, one folder
            for all.
        cyst_name: folder of the cysts.
        kidneys: ``sides`` (two folders), ``one`` (one folder for both), ``none`` (not outlined).
        descending: whether image_0 is the highest slice.
        packing: ``zips``, ``nested`` (these inside a zip of the patient) or ``folders``.
        intercept: RescaleIntercept of the CT.
        extras: (folder, structure) of further outlined structures.
    """

    phase: str
    tumours: int
    tumour_name: str
    kidneys: str
    cysts: int = 0
    cyst_name: str = "livercyst"
    descending: bool = False
    packing: str = "zips"
    intercept: int = 0
    extras: tuple[tuple[str, str], ...] = ()


VEINS = (("portalvein", "portal_vein"), ("venoussystem", "vein"), ("artery", "artery"))
VARIANTS = (
    Variant("portal", 2, "livertumor{}", "sides", cysts=1, extras=(*VEINS, ("spleen", "spleen"))),
    Variant("arterial", 3, "livertumors", "one", descending=True, extras=VEINS),
    Variant(
        "portal", 2, "livertumor{:02}", "none",
        extras=(*VEINS, ("gallbladder", "gallbladder")),
    ),
    Variant("late", 0, "", "sides", packing="nested", extras=(("spleen", "spleen"),)),
    Variant(
        "native", 1, "livertumor", "one", packing="folders", intercept=-1024,
        extras=(("leftlung", "left_lung"), ("rightlung", "right_lung"), ("stomach", "stomach")),
    ),
    Variant(
        "portal", 2, "livertumor{:02}", "sides", cysts=2, cyst_name="liverkyst",
        extras=(*VEINS, ("spleen", "spleen")),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class PatientRecord:
    """The record of one patient.

    Args:
        number: N of ``3Dircadb1.N``.
        phase, kidneys, packing, descending, tumours: as in :class:`Variant`.
        slices: number of slices.
        spacing_mm: voxel size (x, y, z).
        structures: folder -> number of voxels of its mask.
        unlabelled: structure in the image without a folder -> number of voxels.
        files: all files, relative to the cohort's folder.
    """

    number: int
    phase: str
    kidneys: str
    packing: str
    descending: bool
    tumours: int
    slices: int
    spacing_mm: tuple[float, float, float]
    structures: dict[str, int]
    unlabelled: dict[str, int]
    files: tuple[str, ...]

    @property
    def patient_id(self) -> str:
        """The folder's name."""
        return f"3Dircadb1.{self.number}"

    def millilitres(self, structure: str) -> float:
        """Volume of a structure's mask."""
        return self.structures[structure] * float(np.prod(self.spacing_mm)) / 1000

    def describe(self) -> str:
        """Return one line for the screen."""
        return (
            f"{self.patient_id}: {self.slices} slices, {self.phase} phase, {self.tumours} tumours, "
            f"liver {self.millilitres('liver'):.0f} mL"
        )


def make_patient(task: tuple[Path, Options, int]) -> PatientRecord:
    """Write one patient's files, or read its record if all of them exist.

    Args:
        task: the cohort's folder, its options and the patient's index from 0.
    """
    folder, options, index = task
    path = folder / "records" / f"3Dircadb1.{index + 1}.json"
    if path.is_file():
        record = read_record(path)
        if all((folder / name).is_file() for name in record.files):
            return record
    variant = VARIANTS[index % len(VARIANTS)]
    image, masks, unlabelled, geometry = draw_images(options, index, variant)
    name = f"3Dircadb1.{index + 1}"
    patient = f"PHANTOM-{options.seed}-{index + 1}"
    images = dicom_images(image, masks, patient, geometry, variant.intercept)
    files = pack(images, name, variant.packing)
    write_files(folder, files)
    record = PatientRecord(
        number=index + 1,
        phase=variant.phase,
        kidneys=variant.kidneys,
        packing=variant.packing,
        descending=variant.descending,
        tumours=variant.tumours,
        slices=len(image),
        spacing_mm=geometry.spacing_mm,
        structures={structure: int(mask.sum()) for structure, mask in masks.items()},
        unlabelled={structure: int(mask.sum()) for structure, mask in unlabelled.items()},
        files=tuple(files),
    )
    write_text(path, json.dumps(asdict(record), indent=1) + "\n")
    return record


def read_record(path: Path) -> PatientRecord:
    """Read the record of an existing patient."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["spacing_mm"], content["files"] = tuple(content["spacing_mm"]), tuple(content["files"])
    return PatientRecord(**content)


def draw_images(
    options: Options, index: int, variant: Variant
) -> tuple[NDArray[np.int16], Masks, Masks, SliceGeometry]:
    """Draw a patient: CT (Z, Y, X) in HU, outlined and unlabelled structures, geometry."""
    patient = draw_patient(
        np.random.default_rng((options.seed, index, PATIENT_STREAM)), variant.phase
    )
    own = np.random.default_rng((options.seed, index, SCAN_STREAM))
    protocol = draw_protocol(patient, own, slices=options.slices)
    grid = protocol.grid(options.size)
    lesions = draw_lesions(
        patient.organs,
        patient.torso,
        np.random.default_rng((options.seed, index, LESION_STREAM)),
        counts=(variant.tumours, variant.cysts),
        heights_mm=liver_heights(grid),
    )
    clean, labels, numbers = paint_abdomen(patient, grid, lesions)
    image = scan(clean, grid, protocol, own)
    masks, unlabelled = outline(labels, numbers, lesions, variant)
    return image, masks, unlabelled, slice_geometry(protocol, grid, variant.descending)


def slice_geometry(protocol: Protocol, grid: Grid, descending: bool) -> SliceGeometry:
    """Return the position of the slices in the world (LPS mm)."""
    corner = np.array([grid.x[0], grid.y[0], grid.z[0]], dtype=float)
    x, y, z = np.round(corner + protocol.origin_mm, 3).tolist()
    pixel = round(grid.spacing_mm[0], 6)
    return SliceGeometry((x, y, z), (pixel, pixel, protocol.spacing_z_mm), descending)


def outline(
    labels: NDArray[np.uint16],
    numbers: NDArray[np.uint8],
    lesions: tuple[Lesion, ...],
    variant: Variant,
) -> tuple[Masks, Masks]:
    """Return masks (Z, Y, X) by the names of this patient's folders, and those without folder."""

    def of(*names: str) -> NDArray[np.bool_]:
        bits = sum(BITS[name] for name in names)
        return np.asarray((labels & np.uint16(bits)) != 0)

    masks = {"bone": of("bone"), "liver": of("liver"), "skin": of("skin")}
    sides = {"leftkidney": of("left_kidney"), "rightkidney": of("right_kidney")}
    unlabelled = sides if variant.kidneys == "none" else {}
    if variant.kidneys == "one":
        masks["kidneys"] = sides["leftkidney"] | sides["rightkidney"]
    elif variant.kidneys == "sides":
        masks |= sides
    for number, lesion in enumerate(lesions, start=1):
        name = variant.tumour_name if lesion.is_tumour else variant.cyst_name
        name = name.format(number)
        masks[name] = masks.get(name, False) | (numbers == number)
    middle = labels.shape[2] // 2
    lungs = of("lungs")
    halves: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "right_lung": lambda: lungs & (np.arange(labels.shape[2]) < middle),
        "left_lung": lambda: lungs & (np.arange(labels.shape[2]) >= middle),
    }
    for folder, structure in variant.extras:
        masks[folder] = halves[structure]() if structure in halves else of(structure)
    return masks, unlabelled


def dicom_images(
    image: NDArray[np.int16], masks: Masks, patient: str, geometry: SliceGeometry, intercept: int
) -> dict[str, dict[str, bytes]]:
    """Return the files of PATIENT_DICOM and MASKS_DICOM by name; masks as ``structure/image_K``."""
    outlined = {
        f"{structure}/{name}": content
        for structure, mask in masks.items()
        for name, content in slice_files(
            mask.astype(np.uint8) * np.uint8(255), patient, structure, geometry
        )
    }
    ct = dict(slice_files(image, patient, "ct", geometry, intercept=intercept))
    return {"PATIENT_DICOM": ct, "MASKS_DICOM": outlined}


def pack(images: dict[str, dict[str, bytes]], name: str, packing: str) -> dict[str, bytes]:
    """Return the files of a patient by their path in the cohort's folder.

    As folders, PATIENT_DICOM contains a second PATIENT_DICOM, as unpacking programs make it.

    Args:
        images: files of PATIENT_DICOM and of MASKS_DICOM.
        name: name of the patient.
        packing: see :class:`Variant`.
    """
    if packing == "folders":
        doubled = {"PATIENT_DICOM": "PATIENT_DICOM/PATIENT_DICOM", "MASKS_DICOM": "MASKS_DICOM"}
        return {
            f"{name}/{doubled[folder]}/{file}": content
            for folder, files in images.items()
            for file, content in files.items()
        }
    zips = {
        f"{name}/{folder}.zip": zip_bytes({f"{folder}/{file}": c for file, c in files.items()})
        for folder, files in images.items()
    }
    return {f"{name}.zip": zip_bytes(zips, compressed=False)} if packing == "nested" else zips


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write zips atomically and single images directly; the patient's record is written later."""
    for name, content in files.items():
        path = folder / name
        if path.suffix == ".zip":
            write_bytes(path, content)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
