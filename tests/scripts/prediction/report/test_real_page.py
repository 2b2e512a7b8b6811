"""What readers outlined in a real scan, measured and shown."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.page import write_report
from scripts.prediction.result import Prediction
from scripts.transforms.lung_field import lung_field
from scripts.volumes.geometry import affine_of
from scripts.volumes.readers import read_image
from tests.scripts.prediction.shapes import nodule

UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.170706757615202213033480003264"


@pytest.fixture(scope="module")
def outlined(real_data):
    """LIDC-IDRI-0003 with what at least two of four readers outlined."""
    luna = real_data / "luna16"
    image = read_image(luna / "subset0" / f"{UID}.mhd")
    votes = read_image(luna / "reference_masks" / f"{UID}_nodule_votes.nii.gz")
    hu = sitk.GetArrayFromImage(image).astype(np.int16)
    mask, count = ndimage.label(sitk.GetArrayFromImage(votes) >= 2, np.ones((3, 3, 3)))
    lungs = lung_field(hu, image.GetSpacing())
    segments = tuple(nodule(number) for number in range(1, count + 1))
    return Prediction(hu, mask.astype(np.uint8), affine_of(image), segments, "real", lungs)


@pytest.mark.real
def test_real_nodules_then_near_the_official_list_and_in_a_page_of_bounded_size(
    outlined, real_data, tmp_path
):
    statistics = measure(outlined)
    with (real_data / "luna16" / "annotations.csv").open() as file:
        official = [row for row in csv.DictReader(file) if row["seriesuid"] == UID]
    assert len(official) == len(statistics["lesions"]) == 3
    for row in official:
        centre = np.array([float(row[f"coord{axis}"]) for axis in "XYZ"])
        far = [np.linalg.norm(n["centre_lps_mm"] - centre) for n in statistics["lesions"]]
        one = statistics["lesions"][int(np.argmin(far))]
        diameter = float(row["diameter_mm"])  # the readers' mean, ours is of their union
        assert min(far) < 3
        assert diameter - 1 < one["longest_axial_diameter_mm"] < 1.6 * diameter
        assert one["lung_side"] == ("left" if centre[0] > 0 else "right")
    write_report(outlined, statistics, tmp_path / "report.html")
    assert 4e6 < (tmp_path / "report.html").stat().st_size < 15e6
