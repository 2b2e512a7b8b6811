import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.datalist import load_datalist
from scripts.unsupervised.ct_stacks import as_output, read_label, read_lung, read_stack
from tests.scripts.datasets.prepared import write_prepared
from tests.scripts.unsupervised.patch_cohort import AFFINE, SLICE, write_cohort


@pytest.fixture
def case(tmp_path):
    return load_datalist(write_cohort(tmp_path), "training")[0]


def test_slice_then_its_rows_and_the_place_of_a_point_in_them(case):
    stack = read_stack(case, 3)
    assert stack.hu.shape == (3, 40, 44)
    assert (stack.rows, stack.first) == (range(1, 2), SLICE - 1)
    assert stack.spacing_mm.tolist() == [2.0, 1.5, 1.0]
    point = AFFINE @ [7.25, 5.5, SLICE + 1, 1]
    assert stack.index_of(point[:3]).tolist() == pytest.approx([2, 5.5, 7.25])


def test_patches_of_one_slice_then_neighbours_left_out(case):
    stack = read_stack(case, 1)
    assert np.array_equal(stack.hu, read_stack(case, 3).hu[1:2])
    assert stack.rows == range(1)


def test_patches_of_more_slices_than_prepared_then_refused_with_what_to_do(case):
    with pytest.raises(ValueError, match="patch_slices: 5 slices need .*--neighbours 2"):
        read_stack(case, 5)


def test_label_then_not_opened_by_reading_the_image(case):
    stack = read_stack({k: v for k, v in case.items() if k != "label"}, 3)
    label = read_label(case)
    assert label.shape == (1, 40, 44)
    assert set(np.unique(label)) == {0, 3}
    assert stack.hu[1:2][label == 3].mean() == pytest.approx(20, abs=10)


def test_lung_then_of_the_middle_slice_or_none(case, tmp_path):
    assert read_lung(case) is None
    own = load_datalist(write_prepared(tmp_path / "own"), "training")[0]
    assert read_lung(own).shape == (1, 6, 8)


def test_volume_then_all_rows_and_the_outputs_affine(tmp_path):
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.5, 0.7, 2.0))
    image.SetOrigin((1.0, 2.0, 3.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    case = {"image": tmp_path / "a.nii.gz", "label": tmp_path / "a.nii.gz"}
    stack = read_stack(case, 3)
    assert np.array_equal(stack.hu, values)
    assert (stack.rows, stack.depth) == (range(4), 4)
    assert stack.index_of([1.5, 3.4, 7.0]).tolist() == pytest.approx([2, 2, 1])
    predicted = np.zeros(values.shape, np.uint8)
    first, second = as_output(predicted, read_label(case), stack)
    assert first.shape == (1, 4, 5, 6)
    assert second.affine[:3, 3].tolist() == [-1, -2, 3]  # RAS
    assert second.affine[2, 0] == 2


@pytest.mark.parametrize("slices", [1, 3], ids=["without neighbours", "with neighbours"])
def test_slice_then_output_as_it_is(case, slices):
    label = read_label(case)
    first, second = as_output(np.zeros_like(label), label, read_stack(case, slices))
    assert first.shape == second.shape == (1, 40, 44)
