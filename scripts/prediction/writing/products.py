"""The products of a prediction by name: mask, DICOM objects, lists, picture, page."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.datasets.candidates import FILE as CANDIDATES
from scripts.datasets.candidates import write_candidates
from scripts.prediction.result import Prediction
from scripts.storage.files import atomic_path
from scripts.volumes.formats.nifti import nifti_of

if TYPE_CHECKING:
    from scripts.prediction.dicom.content import DicomContent


@dataclass(frozen=True)
class Product:
    """One product of a prediction.

    Attributes:
        files: names in the study's folder.
        write: "module:function", imported when it is used.
        needs_dicom: whether it is a DICOM object: it can only be made of DICOM sources, and the
            function takes their content.
        needs_lesions: whether it can only be made of bundles that number lesions.
        needs_statistics: whether the function takes the measured statistics.
    """

    files: tuple[str, ...]
    write: str
    needs_dicom: bool = False
    needs_lesions: bool = False
    needs_statistics: bool = False

    def writer(self) -> Callable[..., None]:
        """Import the function that writes it."""
        module, _, name = self.write.partition(":")
        writer: Callable[..., None] = getattr(importlib.import_module(module), name)
        return writer


PRODUCTS = {
    "mask": Product(("mask.nii.gz",), "scripts.prediction.writing.products:write_mask"),
    "seg": Product(
        ("segmentation.dcm",),
        "scripts.prediction.dicom.segmentation_object:write_segmentation",
        needs_dicom=True,
    ),
    "rtstruct": Product(
        ("rtstruct.dcm",),
        "scripts.prediction.dicom.structure_set:write_structure_set",
        needs_dicom=True,
    ),
    "sr": Product(
        ("sr.dcm",), "scripts.prediction.dicom.measurement_report:write_report", needs_dicom=True
    ),
    "statistics": Product(
        ("statistics.json", "statistics.csv"),
        "scripts.prediction.measures.statistics:write_statistics",
        needs_statistics=True,
    ),
    "candidates": Product(
        (CANDIDATES,),
        "scripts.prediction.writing.products:write_candidate_list",
        needs_lesions=True,
    ),
    "overview": Product(("overview.png",), "scripts.prediction.report.overview:write_overview"),
    "report": Product(
        ("report.html",), "scripts.prediction.report.page:write_report", needs_statistics=True
    ),
}
USUAL = tuple(name for name in PRODUCTS if name not in ("rtstruct", "sr"))
DICOM = tuple(name for name, product in PRODUCTS.items() if product.needs_dicom)


def write_mask(prediction: Prediction, path: Path) -> None:
    """Write the mask as NIfTI in the source's index order, without patient data."""
    with atomic_path(path) as file:
        nifti_of(prediction.mask, prediction.affine).to_filename(file)


def write_candidate_list(prediction: Prediction, path: Path) -> None:
    """Write the candidates of a study in the format of LUNA16's submission."""
    write_candidates(path, prediction.candidates)


def write_product(
    name: str,
    prediction: Prediction,
    folder: Path,
    statistics: dict[str, Any] | None,
    content: DicomContent | None = None,
) -> list[str]:
    """Write one product into a folder; return the files' names.

    Args:
        name: of :data:`PRODUCTS`.
        prediction: the segmented CT.
        folder: of the study.
        statistics: of :func:`scripts.prediction.measures.statistics.measure`; None if the product
            does not need them.
        content: of the DICOM objects; None if the product is not one of them.

    Raises:
        ValueError: when the product cannot be made of this prediction.
    """
    product = PRODUCTS[name]
    target = folder / product.files[0]
    if name == "statistics":
        product.writer()(statistics, folder)
    elif product.needs_dicom:
        product.writer()(content, target)
    elif product.needs_statistics:
        product.writer()(prediction, statistics, target)
    else:
        product.writer()(prediction, target)
    return list(product.files)
