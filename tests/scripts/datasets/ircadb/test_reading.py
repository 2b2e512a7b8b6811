import numpy as np
import pytest

from scripts.datasets.ircadb.patients import find_patients
from scripts.datasets.ircadb.reading import read_labelled
from tests.scripts.datasets.ircadb.dicom_images import hu_volume, masks, patient_files
from tests.scripts.datasets.ircadb.zips import write_files


def read(folder, *, tumour=False, **changes):
    (patient,) = find_patients(write_files(folder, patient_files(1, **changes))).patients
    return read_labelled(patient, tumour=tumour)


def test_patient_then_hu_classes_and_all_known(tmp_path):
    labelled = read(tmp_path, tumour=True)
    np.testing.assert_array_equal(labelled.volume.hu, hu_volume(1))
    np.testing.assert_array_equal(labelled.label == 4, masks()["livertumor01"] > 0)
    assert labelled.known == (0, 1, 2, 3, 4)
    assert (labelled.lung, list(labelled.notes), list(labelled.warnings)) == (None, [], [])


def test_one_kidney_and_a_strange_name_then_noted(tmp_path):
    drawn = masks()
    drawn["thing"] = drawn.pop("leftkidney")
    labelled = read(tmp_path, structures=drawn)
    assert labelled.known == (0, 1, 2)
    assert labelled.notes == [
        "outlined, but its class is incomplete and therefore unknown: right_Kidney",
        "not recognised, belongs to no class: thing",
    ]
    assert labelled.facts["structures_not_recognised"] == ("thing",)


def test_no_structure_of_a_class_then_refused_by_what_there_is(tmp_path):
    with pytest.raises(ValueError, match="no class is known from the structures skin"):
        read(tmp_path, structures={"skin": masks()["liver"]})
