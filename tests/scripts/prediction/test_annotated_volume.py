"""Predictions of annotated volumes reach an evaluation in its order of axes."""

import nibabel
import numpy as np
import pytest

from scripts.evaluation.collection import SeriesCollection
from scripts.prediction.annotated_volume import (
    add_volume,
    annotation_of,
    class_map,
    classes_in_lps,
)
from scripts.volumes.formats.nifti import nifti_of
from tests.scripts.prediction.shapes import ORDERS, abdomen

NAMES = ("background", "liver", "bone", "kidney")


@pytest.mark.parametrize("order", [ORDERS[0], ORDERS[-1]], ids=["first order", "last order"])
def test_result_in_any_order_then_equals_its_annotation_in_the_evaluation(order, tmp_path):
    drawn = abdomen(order=order)
    classes = class_map(drawn, NAMES)
    nibabel.save(nifti_of(classes, drawn.affine), tmp_path / "label.nii.gz")
    case = {
        "case": 0,
        "label": str(tmp_path / "label.nii.gz"),
        "series_uid": "1",
        "patient_id": "P",
    }
    labels, affine = annotation_of(case)
    predicted = classes_in_lps(drawn, NAMES)
    np.testing.assert_array_equal(predicted, labels)
    np.testing.assert_array_equal(labels, class_map(abdomen(), NAMES))
    collection = SeriesCollection([case], annotation="annotation", classes=4)
    add_volume(collection, case, predicted, labels, affine)
    (series,) = collection.series()
    np.testing.assert_array_equal(series.prediction, series.instances)
    np.testing.assert_array_equal(np.unique(series.instances), np.unique(classes))
    assert series.is_whole


def test_class_map_then_by_the_names_of_the_bundle():
    drawn = abdomen()
    np.testing.assert_array_equal(class_map(drawn, NAMES), drawn.mask)
    other = class_map(drawn, ("background", "kidney", "bone", "liver"))
    assert (other[drawn.mask == 1] == 3).all()
