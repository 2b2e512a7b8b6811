"""The analytic chest as a DICOM series, its nodule as SEG, RTSTRUCT or 3D Slicer's file.

SEG is written by highdicom, RTSTRUCT by pydicom with contours of the ellipsoid itself, .seg.nrrd by
hand: none by this project's writers.
"""

from __future__ import annotations

import functools
import warnings

import highdicom
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from scripts.datasets.segments.segment_file import CtGrid
from scripts.volumes.dicom.series_volume import read_series
from tests.analytic.dicom_files import write_series
from tests.analytic.phantom import NODULE, from_nodule, grid_of

GRID = grid_of(spacing=(4.1, 4.3, 4.7))


@functools.cache
def nodule():
    """bool (slices, rows, columns) on GRID."""
    return GRID.nodule()


def box():
    """A structure apart from the nodule, near the corner of GRID; no turn leaves it as it is."""
    mask = np.zeros(GRID.shape, bool)
    mask[2:5, 2:4, 1:6] = True
    mask[2, 5, 1] = True
    return mask


def headers(folder):
    """The slices of a series in ascending order along their normal, without pixels."""
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    normal = np.cross(*np.array(found[0].ImageOrientationPatient, float).reshape(2, 3))
    return sorted(found, key=lambda one: np.array(one.ImagePositionPatient, float) @ normal)


def grid_in(folder):
    """The CT in a folder as a file of segments needs it."""
    return CtGrid.of_series(read_series(folder))


def mask_of(drawn, number, ct):
    """bool (K, J, I) of one segment."""
    mask = np.zeros(ct.shape, bool)
    mask.ravel()[drawn.voxels[number]] = True
    return mask


def described(number, label, type_=codes.SCT.Nodule, **more):
    return highdicom.seg.SegmentDescription(
        number, label, codes.SCT.AnatomicalStructure, type_,
        highdicom.seg.SegmentAlgorithmTypeValues.MANUAL, **more,
    )  # fmt: skip


def write_seg(path, images, masks, *, kind="BINARY", labels=("nodule", "box"), change=None, **more):
    """Write masks (slices, rows, columns) by name; the frames in reverse order of the slices."""
    stacked = np.stack(masks, axis=-1)
    pixels = stacked if kind != "LABELMAP" else (stacked * np.arange(1, len(masks) + 1)).sum(-1)
    if kind == "FRACTIONAL":
        pixels = pixels.astype(np.float32)
    elif kind == "BINARY":
        pixels = pixels.astype(np.uint8)
    descriptions = [described(n, label) for n, label in enumerate(labels[: len(masks)], start=1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        segmentation = highdicom.seg.Segmentation(
            images, pixels.astype(np.uint8) if kind == "LABELMAP" else pixels, kind,
            more.pop("descriptions", descriptions),
            generate_uid(), 7, generate_uid(), 1, "maker", "model", "1", "device", **more,
        )  # fmt: skip
        if change:
            change(segmentation)
        segmentation.save_as(path)
    return path


def outline(grid, k, points=240):
    """(n, 3): the nodule's outline on slice k in LPS mm; None if its middle is not on the slice."""
    axes = grid.affine[:3, :3] / grid.spacing
    on_plane = grid.affine[:3, 3] + k * grid.affine[:3, 2]
    middle = NODULE + axes[:, 2] * ((on_plane - NODULE) @ axes[:, 2])
    if from_nodule(middle) >= 1:
        return None
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)[:, None]
    rays = np.cos(angle) * axes[:, 0] + np.sin(angle) * axes[:, 1]
    low, high = np.zeros(points), np.full(points, 60.0)
    for _ in range(50):
        half = (low + high) / 2
        outside = from_nodule(middle + rays * half[:, None]) > 1
        low, high = np.where(outside, low, half), np.where(outside, half, high)
    return middle + rays * low[:, None]


def write_rtstruct(path, images, rois, *, kind="CLOSED_PLANAR", change=None):
    """Write contours by ROI name: a list of (points in mm, index of the image or None)."""
    first = images[0]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality, data.StructureSetLabel, data.PatientID = "RTSTRUCT", "PLAN", first.PatientID
    data.StudyInstanceUID, data.SeriesInstanceUID = first.StudyInstanceUID, generate_uid()
    series = of(SeriesInstanceUID=first.SeriesInstanceUID)
    series.ContourImageSequence = [of(ReferencedSOPInstanceUID=i.SOPInstanceUID) for i in images]
    study = of(RTReferencedSeriesSequence=[series])
    frame = of(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), start=4):
        roi = of(ROINumber=number, ROIName=name)
        roi.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        data.StructureSetROISequence.append(roi)
        own = of(ReferencedROINumber=number)
        if contours:
            own.ContourSequence = [_contour(*one, images, kind) for one in contours]
        data.ROIContourSequence.append(own)
    if change:
        change(data)
    data.save_as(path, enforce_file_format=True)
    return path


def of(**elements):
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def _contour(points, k, images, kind):
    contour = of(ContourGeometricType=kind, NumberOfContourPoints=len(points))
    contour.ContourData = [f"{value:.5f}" for value in np.asarray(points).ravel().tolist()]
    if k is not None:
        uid = images[k].SOPInstanceUID
        contour.ContourImageSequence = [of(ReferencedSOPInstanceUID=uid)]
    return contour


def nodule_contours(grid):
    """The nodule's outlines on all slices of a grid, each with its slice."""
    drawn = [(outline(grid, k), k) for k in range(grid.shape[0])]
    return [(points, k) for points, k in drawn if points is not None]


def write_slicer(path, array, affine, keys, *, layered=False):
    """Write a .seg.nrrd in RAS: array (Z, Y, X), or (Z, Y, X, layers)."""
    flip = np.diag([-1.0, -1, 1]) @ affine[:3]
    directions = " ".join(f"({','.join(map(str, flip[:, axis]))})" for axis in range(3))
    sizes = " ".join(map(str, array.shape[::-1]))
    lines = [
        "NRRD0004", "type: unsigned char", f"dimension: {array.ndim}",
        "space: right-anterior-superior", f"sizes: {sizes}",
        f"space directions: {'none ' if layered else ''}{directions}",
        f"kinds: {'list ' if layered else ''}domain domain domain", "encoding: raw",
        f"space origin: ({','.join(map(str, flip[:, 3]))})",
        *(f"{key}:={value}" for key, value in keys.items()),
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join([*lines, "", ""]).encode() + array.astype(np.uint8).tobytes())
    return path


def ct(folder, grid=GRID, **changes):
    """Write the series; return its headers in ascending order along the normal."""
    write_series(folder, grid, **changes)
    return headers(folder)
