import json

import nibabel
import numpy as np
import pytest

from scripts.prediction.measures.statistics import measure
from scripts.prediction.writing.products import PRODUCTS, USUAL, write_mask, write_product
from scripts.volumes.readers import read_image
from tests.scripts.prediction.shapes import ORDERS, chest


@pytest.mark.parametrize("name", PRODUCTS)
def test_writer_of_every_product_then_importable(name):
    assert callable(PRODUCTS[name].writer())


@pytest.mark.parametrize("name", ["mask", "statistics", "candidates", "overview", "report"])
def test_product_then_exactly_its_files_are_written(name, tmp_path):
    prediction = chest()
    names = write_product(name, prediction, tmp_path, measure(prediction))
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert names == list(PRODUCTS[name].files)


def test_usual_products_then_all_but_structure_set_and_report():
    assert set(PRODUCTS) - set(USUAL) == {"rtstruct", "sr"}


@pytest.mark.parametrize("order", ORDERS[::9], ids=str)
def test_mask_then_the_same_voxels_in_the_sources_own_geometry(order, tmp_path):
    prediction = chest(order=order)
    write_mask(prediction, tmp_path / "mask.nii.gz")
    header = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(header.dataobj).T, prediction.mask)
    read = read_image(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(read.GetSpacing(), prediction.spacing_mm, rtol=1e-6)
    np.testing.assert_allclose(read.GetOrigin(), prediction.affine[:3, 3], atol=1e-3)


def test_statistics_then_those_given_not_measured_again(tmp_path):
    prediction = chest()
    statistics = measure(prediction)
    statistics["study"] = "another"
    write_product("statistics", prediction, tmp_path, statistics)
    assert json.loads((tmp_path / "statistics.json").read_text())["study"] == "another"
