"""A folder of one's own, with other classes than the bundle's, from preparation to DICOM SEG."""

import csv
import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from scripts.prediction.predict_command import predict
from scripts.preparation.prepare_command import command_of
from tests.bundles.bundle_commands import run_here
from tests.bundles.liver.commands import LIVER, SMALL, files_of
from tests.bundles.stored_volumes import write_dicom

pytestmark = pytest.mark.usefixtures("_at_root")
NAMES = ["background", "liver", "spleen"]


def organs(shift):
    """Air, fat, a liver on the patient's right, a brighter spleen on the left; LPS, HU."""
    label = np.zeros((8, 64, 64), np.uint8)
    label[1:7, 12 + shift : 44, 6:30] = 1
    label[2:6, 36:56, 40 : 54 + shift] = 2
    hu = np.choose(label, [-80, 60, 200]).astype(np.int16)
    hu[:, :4] = hu[:, 60:] = -1000
    return hu, label


def stored(array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2.0, 2.0, 4.0))
    image.SetOrigin((-64.0, -64.0, 100.0))
    return image


def decathlon(folder):
    """Four patients as Medical Decathlon has them: NIfTI in RAS index order, labels as floats."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for shift in range(4):
        hu, label = organs(shift)
        for part, array in (("imagesTr", hu), ("labelsTr", label.astype(np.float32))):
            image = sitk.DICOMOrient(stored(array), "RAS")
            sitk.WriteImage(image, str(folder / part / f"abdomen_{shift}.nii.gz"))
    content = {"modality": {"0": "CT"}, "labels": {str(k): name for k, name in enumerate(NAMES)}}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def with_study(file):
    """Add what a SEG must carry on, to one file of a CT series."""
    data = pydicom.dcmread(file)
    data.StudyInstanceUID, data.FrameOfReferenceUID = "1.2.3.5", "1.2.3.6"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "", "1", "", ""
    data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "", "", "", ""
    data.save_as(file)


def test_own_classes_when_prepared_and_trained_then_segmented_under_their_names(
    tmp_path, tiny_encoder
):
    prepared, trained = tmp_path / "prepared", tmp_path / "trained"
    command_of("folder")(str(decathlon(tmp_path / "msd")), str(prepared), jobs=1)
    datalist = json.loads((prepared / "datalist.json").read_text())
    names = list(datalist["classes"].values())
    assert names == NAMES
    asked = {
        **SMALL,
        "class_names": names,
        "dataset_dir": str(prepared),
        "window_hu": datalist["window_hu"],
    }
    asked |= {"encoder": tiny_encoder, "encoder_weights": "none", "decoder_channels": [8] * 5}
    asked |= {"batch_size": 4, "accumulation_steps": 1, "val_interval": 5}
    asked |= {"stage_epochs": 25, "learning_rate": 0.02, "output_dir": str(trained)}
    run_here("training", files_of("train"), asked)

    model = str(trained / "model.pt")  # says what it is: no second list of settings
    evaluated = {"dataset_dir": str(prepared), "output_dir": str(tmp_path / "eval")}
    evaluated |= {"ckpt_path": model, "num_workers": 0}
    run_here("evaluating", files_of("evaluate"), evaluated)
    with (tmp_path / "eval" / "per_class.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"liver", "spleen"}
    assert all(float(row["dice"]) > 0.8 for row in rows.values())

    for file in write_dicom(stored(organs(0)[0]), tmp_path / "ct").iterdir():
        with_study(file)
    predict(
        str(LIVER.parent),
        str(tmp_path / "ct"),
        str(tmp_path / "predicted"),
        ckpt_path=model,
        device="cpu",
    )
    (seg_file,) = (tmp_path / "predicted").glob("*/segmentation.dcm")
    assert (seg_file.parent / "report.html").is_file()
    segments = pydicom.dcmread(seg_file).SegmentSequence
    coded = {s.TrackingID: s.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for s in segments}
    assert coded == {"liver": "Liver", "spleen": "Spleen"}
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(seg_file.parent / "mask.nii.gz")))
    for value in (1, 2):
        assert np.mean(mask[organs(0)[1] == value] == value) > 0.8
