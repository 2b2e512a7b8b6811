"""Small DICOM series, predictions on them, and the validator that DICOM people use."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from scripts.prediction.dicom.content import dicom_content
from scripts.prediction.measures.statistics import measure
from scripts.prediction.result import Prediction, Segment
from scripts.volumes.dicom.pixels import read_volume_of
from scripts.volumes.dicom.series_volume import read_series

SHAPE = (6, 17, 23)  # 391 pixels: no multiple of 8, so that frames do not end on bytes
COS, SIN = float(np.cos(0.14)), float(np.sin(0.14))  # 8 degrees
ORIENTATIONS = {
    "supine": [1, 0, 0, 0, 1, 0],
    "turned over": [-1, 0, 0, 0, -1, 0],
    "mirrored order": [1, 0, 0, 0, -1, 0],  # the normal points to the feet
    "oblique": [COS, SIN, 0, -SIN, COS, 0],
    "leaning": [1, 0, 0, 0, COS, SIN],  # positions lean with it: no tilted gantry
}
SEGMENTS = (Segment(1, "liver", "liver"), Segment(2, "bone", "bone"))
FACTS = {"bundle": "liver_ct_segmentation", "version": "0.2.0", "weights_sha256": "0af1" * 16}


def write_series(folder, *, orientation="supine", slices=SHAPE[0], **changes):
    """Write CT slices whose names run against their positions; None removes an entry."""
    folder.mkdir(parents=True, exist_ok=True)
    cosines = np.array(ORIENTATIONS[orientation])
    normal = np.cross(cosines[:3], cosines[3:])
    shared = {
        "SOPClassUID": CTImageStorage, "Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY"],
        "PatientName": "Known^Somebody", "PatientID": "77", "PatientBirthDate": "19500102",
        "PatientSex": "F", "PatientAge": "070Y", "StudyInstanceUID": "1.2.3.1",
        "SeriesInstanceUID": "1.2.3.1.2", "FrameOfReferenceUID": "1.2.3.1.3",
        "StudyDate": "20200304", "StudyTime": "101112", "StudyID": "5", "SeriesNumber": 4,
        "AccessionNumber": "A9", "ReferringPhysicianName": "House^Gregory",
        "StudyDescription": "Abdomen", "Manufacturer": "Maker", "PositionReferenceIndicator": "",
        "ImageOrientationPatient": cosines.tolist(), "PixelSpacing": [0.75, 0.5],
        "SliceThickness": 2.5, "Rows": SHAPE[1], "Columns": SHAPE[2], "BitsAllocated": 16,
        "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "RescaleSlope": 1, "RescaleIntercept": 0,
        "PixelData": bytes(2 * SHAPE[1] * SHAPE[2]),
    }  # fmt: skip
    for k in range(slices):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.3.1.4.{k + 1}"
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        place = np.array([-90.0, 40, -300]) + 2.5 * k * normal
        own = {
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "InstanceNumber": 100 - k,
            "ImagePositionPatient": [round(float(v), 5) for v in place],
        }  # fmt: skip
        for keyword, value in {**shared, **own, **changes}.items():
            if value is not None:
                setattr(data, keyword, value)
        data.save_as(folder / f"file{90 - k}", enforce_file_format=True)
    return folder


def predicted(folder, mask, segments=SEGMENTS, *, descending=False, facts=FACTS, lungs=None):
    """Make a prediction on a series as the command does; descending: from the last slice."""
    series = read_series(folder)
    volume = read_volume_of(series)
    hu, affine, slices = volume.hu, volume.affine_lps, series.slices
    if descending:
        hu, mask, slices = hu[::-1], mask[::-1], slices[::-1]
        affine = affine @ np.array(
            [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, len(slices) - 1], [0, 0, 0, 1.0]]
        )
    return Prediction(
        hu, mask, affine, tuple(segments), "study", lungs, dicom_slices=slices, facts=facts
    )


def content_of(prediction, **options):
    """What the DICOM objects hold, with the measurements as the command makes them."""
    return dicom_content(prediction, measure(prediction), **options)


def two_organs():
    """A mask with empty slices, asymmetric along every axis."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:4, 2:9, 3:15] = 1
    mask[2, 4:6, 5:8] = 0
    mask[3:5, 10:16, 1:20] = 2
    return mask


def errors_of(path):
    """What dciodvfy finds wrong; the test is skipped where it is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    said = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return [line for line in (said.stdout + said.stderr).splitlines() if "Error" in line]
