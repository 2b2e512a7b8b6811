"""Options of a prediction, checked before anything is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.prediction.dicom.segmentation_form import AUTO, FORMS
from scripts.prediction.writing.limits import MOST_LESIONS, USUAL_LESIONS
from scripts.prediction.writing.products import PRODUCTS, USUAL
from scripts.running.options import check_choice, check_whole, read_words

GEOMETRIES = ("refuse", "resample")
NODULE = "nodule"  # the kind of segment whose suspicion is asked for


@dataclass(frozen=True)
class Options:
    """The options of a prediction; see :func:`scripts.prediction.predict_command.predict`.

    Attributes:
        bundle: the bundle's folder.
        config_files: overlays of its configs/inference.json; later ones take precedence.
        checkpoints: files of trained weights; empty for those of the bundle.
        unchecked_model: accept weights without a record of how they were trained.
        check_hu: refuse a CT whose values cannot be HU.
        threshold: least probability of a segmented voxel; None for that of the training.
        candidate_threshold: least probability of a voxel of a candidate; None for the default.
        reduce: file of a second stage that removes false candidates; empty for that of the config.
        agreement: limit of the members' agreement, an agreement.json; None to flag nothing.
        flips: world axes along which the CT is flipped for further passes.
        device: a torch device; empty for that of the config.
        engine: one of :data:`scripts.prediction.network.engines.ENGINES`.
        products: names of :data:`scripts.prediction.writing.products.PRODUCTS`, in their order.
        seg: form of the SEG, of :data:`scripts.prediction.dicom.segmentation_form.FORMS`.
        dicom_lesions: most lesions in SEG, RTSTRUCT and SR.
        geometry: what becomes of series that form no regular grid, one of :data:`GEOMETRIES`.
        progress: show progress within a CT.
        suspicion: classifier of nodules, a suspicion.json; None for no suspicion.
    """

    bundle: Path
    config_files: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    unchecked_model: bool = False
    check_hu: bool = True
    threshold: float | None = None
    candidate_threshold: float | None = None
    reduce: str = ""
    flips: tuple[str, ...] = ()
    device: str = ""
    engine: str = "auto"
    products: tuple[str, ...] = USUAL
    seg: str = AUTO
    dicom_lesions: int = USUAL_LESIONS
    geometry: str = "refuse"
    progress: bool = False
    suspicion: Path | None = None
    agreement: Path | None = None

    def record(self) -> dict[str, Any]:
        """Return the options for the manifest, without folder names."""
        names: dict[str, Any] = {
            "bundle": self.bundle.resolve().name,
            "config_files": [Path(name).name for name in self.config_files],
            "checkpoints": [Path(name).name for name in self.checkpoints],
            "reduce": Path(self.reduce).name if self.reduce else "",
        }
        others = {
            key: value
            for key, value in asdict(self).items()
            if key not in ("progress", "suspicion", "agreement")
        }
        if self.agreement is not None:
            names["agreement"] = self.agreement.name
        if self.suspicion is not None:
            names["suspicion"] = self.suspicion.name
        return {**others, **names}


def check_flips(value: object) -> tuple[str, ...]:
    """Read the axes to flip.

    Raises:
        ValueError: for anything but x and y; z cannot be flipped, as the network has the slices
            above and below as channels.
    """
    flips = read_words("flips", value)
    if len(set(flips)) < len(flips) or not set(flips) <= {"x", "y"}:
        raise ValueError(f"flips: must be x, y or x,y, got {','.join(flips)!r}")
    return tuple(sorted(flips))


def check_threshold(value: object, name: str = "threshold") -> float | None:
    """Read the least probability of a voxel, of the mask or of a candidate.

    Raises:
        ValueError: for anything but a number between 0 and 1.
    """
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < 1:  # type: ignore[operator]
        raise ValueError(f"{name}: must be a probability between 0 and 1, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def check_geometry(value: object) -> str:
    """Read what becomes of series that form no regular grid.

    Raises:
        ValueError: for anything but a word of :data:`GEOMETRIES`.
    """
    check_choice("geometry", value, GEOMETRIES)
    return str(value)


def check_products(value: object, *, rtstruct: bool = False) -> tuple[str, ...]:
    """Read the names of products; return them in the order of :data:`PRODUCTS`.

    With ``sr`` comes ``seg``, as the report refers to its segments.

    Raises:
        ValueError: for an unknown name.
    """
    asked = read_words("products", value) or USUAL
    unknown = [name for name in asked if name not in PRODUCTS]
    if unknown:
        raise ValueError(f"products: must be of {', '.join(PRODUCTS)}, got {', '.join(unknown)}")
    wanted = {*asked, *(["rtstruct"] if rtstruct else []), *(["seg"] if "sr" in asked else [])}
    return tuple(name for name in PRODUCTS if name in wanted)


def check_seg(value: object) -> str:
    """Read the form of the SEG.

    Raises:
        ValueError: for anything but labelmap, binary and auto.
    """
    check_choice("seg", value, FORMS)
    return str(value)


def check_dicom_lesions(value: object) -> int:
    """Read how many lesions the DICOM objects hold at most; None for the usual number.

    Raises:
        ValueError: for anything but a whole number from 1 to :data:`MOST_LESIONS`.
    """
    if value is None:
        return USUAL_LESIONS
    check_whole("dicom_lesions", value, 1, MOST_LESIONS)
    return int(str(value))


def check_files(name: str, value: object) -> tuple[str, ...]:
    """Read a list of files that must exist.

    Raises:
        FileNotFoundError: naming the first that does not.
    """
    files = read_words(name, value)
    for file in files:
        if not os.path.isfile(file):
            from scripts.bundle.config_files import advice_on_absent

            raise FileNotFoundError(f"{name}: no such file: {file}; {advice_on_absent(Path(file))}")
    return files


def check_file(name: str, value: object) -> str:
    """Read the name of one file that must exist; empty for none.

    Raises:
        FileNotFoundError: when it does not exist.
        ValueError: for several files.
    """
    files = check_files(name, value)
    if len(files) > 1:
        raise ValueError(f"{name}: must be one file, got {', '.join(files)}")
    return files[0] if files else ""


def check_suspicion(value: object, products: Sequence[str]) -> Path | None:
    """Read the file of a classifier of nodules, and check that its result is written.

    Raises:
        FileNotFoundError: when it does not exist.
        ValueError: for a file of another kind, or products that do not contain the result.
    """
    if value is None or value == "":
        return None
    from scripts.suspicion.classifier_file import read_classifier

    path = Path(str(value))
    read_classifier(path)
    if not {"statistics", "report", "sr"} & set(products):
        raise ValueError("suspicion: is written with statistics, report, sr; add one to products")
    return path
