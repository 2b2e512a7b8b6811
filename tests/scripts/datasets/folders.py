"""Small CTs with label maps in the layouts that ``prepare folder`` reads, and where they lie."""

import json
import pickle

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from scripts.datasets.folder.dataset import FolderDataSet
from scripts.volumes.geometry import set_affine

SHAPE = (6, 7, 9)  # (Z, Y, X), no two alike: a swapped axis shows
AFFINE = np.array([[0.5, 0, 0, -90], [0, 0.75, 0, 40], [0, 0, 2.5, -300], [0, 0, 0, 1.0]])
HU = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)


def two_lesions():
    """One lesion that no turn or mirror leaves as it is, and one of a voxel; (Z, Y, X), LPS."""
    label = np.zeros(SHAPE, np.uint8)
    label[1, 1:4, 2] = 1
    label[1:3, 1, 2:6] = 1
    label[5, 6, 8] = 1
    return label


def organs():
    label = two_lesions()
    label[3:, 4:, :3] = 2
    return label


def image_of(array, orientation="LPS"):
    """An LPS array as a SimpleITK image stored with other axes."""
    image = set_affine(sitk.GetImageFromArray(array), AFFINE)
    return sitk.DICOMOrient(image, orientation)


def write(path, array, orientation="LPS"):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image_of(array, orientation), str(path))
    return path


def write_dicom(folder):
    """Write HU as a DICOM series; file names run against positions."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid()
    for k, stored in enumerate(HU):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        entries = {
            "SOPClassUID": CTImageStorage, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "Modality": "CT", "SeriesInstanceUID": series, "InstanceNumber": 50 - k,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [0.75, 0.5],
            "ImagePositionPatient": [-90, 40, -300 + 2.5 * k],
            "Rows": SHAPE[1], "Columns": SHAPE[2], "BitsAllocated": 16, "BitsStored": 16,
            "HighBit": 15, "PixelRepresentation": 1, "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "RescaleSlope": 1,
            "RescaleIntercept": -24, "PixelData": (stored + 24).astype(np.int16).tobytes(),
        }  # fmt: skip
        for keyword, value in entries.items():
            setattr(data, keyword, value)
        data.save_as(folder / f"im{30 - k}", enforce_file_format=True)
    return folder


def case_folders(folder, label=None, *, names=("a", "b", "c"), image="image.nii.gz"):
    label = two_lesions() if label is None else label
    for name in names:
        write(folder / name / image, HU)
        write(folder / name / "label.nii.gz", label)
    return folder


def decathlon(folder, label=None, *, names=("liver_0", "liver_1", "liver_2"), **changes):
    label = organs() if label is None else label
    for name in names:
        write(folder / "imagesTr" / f"{name}.nii.gz", HU, "RAS")
        write(folder / "labelsTr" / f"{name}.nii.gz", label, "RAS")
    content = {
        "name": "Liver", "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "spleen"}, **changes,
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def nnunet(folder, label=None, *, names=("abd_000", "abd_001"), ending=".nii.gz", **changes):
    label = organs() if label is None else label
    for name in names:
        write(folder / "imagesTr" / f"{name}_0000{ending}", HU, "LAS")
        write(folder / "labelsTr" / f"{name}{ending}", label, "LAS")
    content = {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "spleen": 2},
        "numTraining": len(names), "file_ending": ending, **changes,
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def csv_cases(folder, rows, header="image,label", name="cases.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder


def read_all(source, **options):
    """The data set of a source without problems, its scans, and each of them read.

    Scans are read as a worker process reads them, by a copy of the data set.
    """
    data_set = FolderDataSet(**options).at(source)
    listing = data_set.find(source)
    assert listing.problems == []
    workers = pickle.loads(pickle.dumps(data_set))
    return data_set, listing.scans, [workers.read(scan) for scan in listing.scans]
