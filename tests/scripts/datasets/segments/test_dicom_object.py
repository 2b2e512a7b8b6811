"""Which DICOM objects are labels, and of which CT."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, RTStructureSetStorage, SegmentationStorage

from scripts.datasets.segments.dicom_object import (
    LABEL_MAP_STORAGE,
    check_reference,
    kind_of,
    read_object,
    title_of,
)
from scripts.datasets.segments.segment_file import CtGrid
from tests.scripts.datasets.segments.written import of

CT = CtGrid("ct", (2, 2, 2), np.eye(4), "1.1", "1.9", {"1.1.1": 0, "1.1.2": 1})
OWN, NONE = frozenset({"1.1"}), frozenset()


@pytest.mark.parametrize(
    ("uid", "kind"),
    [
        (SegmentationStorage, "DICOM SEG"),
        (LABEL_MAP_STORAGE, "DICOM SEG"),
        (RTStructureSetStorage, "RTSTRUCT"),
        (CTImageStorage, ""),
    ],
)
def test_kind_then_by_the_class_of_the_object(uid, kind):
    assert kind_of(of(SOPClassUID=uid)) == kind
    assert kind_of(Dataset()) == ""


def test_title_then_the_first_that_it_has_and_no_person():
    assert title_of(of(ContentCreatorName="A^B", ContentLabel="READER1")) == "READER1"
    assert title_of(of(SeriesDescription=" Liver ", ContentLabel="X")) == "Liver"
    assert title_of(Dataset()) == ""


@pytest.mark.parametrize(
    ("series", "instances"), [(OWN, NONE), (NONE, {"1.1.2"}), ({"1.1", "2"}, {"1.1.1", "2.1"})]
)
def test_reference_to_the_ct_then_accepted(series, instances):
    check_reference("a", CT, frozenset(series), frozenset(instances), {"1.9"})
    check_reference("a", CT, frozenset(series), frozenset(instances), set())


def test_reference_when_the_image_is_no_dicom_then_refused():
    with pytest.raises(ValueError, match=r"the image ct\.nii is none"):
        check_reference("a", CtGrid("ct.nii", (2, 2, 2), np.eye(4)), OWN, NONE, set())


def test_file_that_is_no_dicom_then_refused_by_name(tmp_path):
    (tmp_path / "a.dcm").write_text("no DICOM at all, but a text")
    with pytest.raises(ValueError, match=r"a\.dcm: not a DICOM file"):
        read_object(tmp_path / "a.dcm")
