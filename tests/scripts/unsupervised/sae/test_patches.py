import numpy as np
import pytest

from scripts.datasets.datalist import load_datalist
from scripts.unsupervised.ct_stacks import read_stack
from scripts.unsupervised.sae.patches import (
    PatchReader,
    PatchShape,
    chosen_evenly,
    draw_patches,
    field_of,
    in_parts,
    near_border,
)
from tests.scripts.unsupervised.patch_cohort import write_cohort

WINDOW = ((0.0, 100.0),)
NO_VOXELS = np.zeros((0, 3), np.int64)


@pytest.fixture
def cases(tmp_path):
    return load_datalist(write_cohort(tmp_path), "training")


def test_patch_then_the_windowed_values_around_its_voxel():
    hu = np.random.default_rng(0).uniform(-50, 150, (3, 8, 9)).astype(np.float32)
    shape = PatchShape(3, 3, (*WINDOW, (-50.0, 150.0)))
    (patch,) = shape.cut(hu, np.array([[1, 4, 5]]))
    around = hu[0:3, 3:6, 4:7].ravel()
    assert patch[:27] == pytest.approx(np.clip(around / 100, 0, 1), abs=1e-6)
    assert patch[27:] == pytest.approx((around + 50) / 200, abs=1e-6)
    assert shape.values == len(patch) == 54


def test_patch_wider_than_deep_then_each_slice_by_rows():
    hu = np.arange(3 * 8 * 9, dtype=np.float32).reshape(3, 8, 9)
    shape = PatchShape(5, 1, ((0.0, 1000.0),))
    (patch,) = shape.cut(hu, np.array([[1, 4, 5]]))
    assert 1000 * patch == pytest.approx(hu[1, 2:7, 3:8].ravel(), abs=1e-3)


def test_no_voxels_then_no_patches():
    shape = PatchShape(3, 3, WINDOW)
    found = PatchReader(shape, (0.0,), (1.0,)).read(np.zeros((3, 8, 9), np.float32), NO_VOXELS)
    assert found.shape == (0, shape.values)


def test_patch_at_a_corner_then_outermost_voxels_repeated():
    hu = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)
    (patch,) = PatchShape(3, 3, WINDOW).cut(hu, np.array([[0, 0, 0]]))
    rows = [[0, 0, 1], [0, 0, 1], [4, 4, 5]]
    assert (100 * patch).reshape(3, 3, 3)[:2] == pytest.approx(np.array([rows, rows]))
    assert (100 * patch).reshape(3, 3, 3)[2] == pytest.approx(np.array(rows) + 16)


def test_training_patches_then_each_window_has_mean_0_and_deviation_1():
    patches = np.random.default_rng(0).normal(3, 2, (50, 2 * 9)).astype(np.float32)
    patches[:, 9:] *= 10
    reader = PatchReader.fitted(PatchShape(3, 1, (*WINDOW, (0.0, 9.0))), patches)
    for window in np.split(reader.standardise(patches), 2, axis=1):
        assert window.mean() == pytest.approx(0, abs=1e-5)
        assert window.std() == pytest.approx(1, abs=1e-5)
    assert PatchReader.of_settings(reader.settings()) == reader


def test_window_of_one_value_then_shifted_only():
    shape = PatchShape(1, 1, WINDOW)
    reader = PatchReader.fitted(shape, np.full((5, 1), 0.5, np.float32))
    hu = np.full((1, 2, 2), 80, np.float32)
    assert reader.read(hu, np.array([[0, 1, 1]])).tolist() == [[pytest.approx(0.3)]]


def test_settings_without_deviation_then_refused():
    with pytest.raises(ValueError, match="autoencoder: its settings of patches lack 'shape'"):
        PatchReader.of_settings({"mean": [0]})


def test_drawn_patches_then_half_within_5_mm_of_the_border(cases):
    drawn = draw_patches(cases, PatchShape(3, 3, ((-1000.0, 400.0),)), 400, seed=0)
    assert drawn.patches.shape == (400, 27)
    assert drawn.near == 200


def test_drawn_patches_then_around_voxels_of_the_middle_row(cases, tmp_path):
    rows = np.repeat(np.array([-900, 0, 300], np.int16), 40 * 44).reshape(3, 40, 44)
    np.save(tmp_path / "rows.npy", rows)
    case = {**cases[0], "image": tmp_path / "rows.npy"}
    found = draw_patches([case], PatchShape(1, 3, ((-1000.0, 1000.0),)), 20, 0).patches
    assert 2000 * found - 1000 == pytest.approx(np.tile([-900, 0, 300], (20, 1)), abs=1e-2)


def test_same_seed_then_the_same_patches_and_another_seed_others(cases):
    first, again, other = (
        draw_patches(cases, PatchShape(3), 50, seed).patches for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_field_then_lungs_or_body_or_all_of_a_crop(tmp_path):
    (case,) = load_datalist(write_cohort(tmp_path, kind="classes"), "test")
    body = field_of(case, read_stack(case, 3))
    assert body.shape == (1, 40, 44)
    assert body[0, 4:36, 4:40].mean() > 0.8
    assert not body[0, :, 42:].any()
    assert field_of({**case, "crop": True}, read_stack(case, 3)).all()
    np.save(tmp_path / "lung.npy", np.eye(40, 44)[None].repeat(3, 0).astype(np.uint8))
    lung = field_of({**case, "lung": tmp_path / "lung.npy"}, read_stack(case, 3))
    assert np.array_equal(lung[0], np.eye(40, 44) > 0)


def test_border_then_near_it_in_mm_of_either_axis():
    label = np.zeros((1, 30, 30), np.uint8)
    label[0, 10:20, 10:20] = 1
    near = near_border(label, (1.0, 2.5))[0]
    assert np.flatnonzero(near[15]).tolist() == [*range(7, 23)]  # 2 pixels beside the border's two
    assert np.flatnonzero(near[:, 15]).tolist() == [*range(4, 26)]
    assert not near_border(np.zeros((1, 5, 5), np.uint8), (1, 1)).any()


def test_choice_when_borders_are_scarce_then_filled_up_from_the_rest():
    near = [np.arange(20) < 3, np.zeros(20, bool), np.zeros(1, bool)]
    chosen = chosen_evenly(near, 20, seed=0)
    assert [len(index) for index in chosen] == [3 + 8, 8, 1]
    assert sum(int(n[i].sum()) for n, i in zip(near, chosen, strict=True)) == 3
    assert all(len(set(index.tolist())) == len(index) for index in chosen)


def test_more_than_there_are_then_all_of_them():
    assert [len(i) for i in chosen_evenly([np.ones(4, bool), np.zeros(2, bool)], 99, 0)] == [4, 2]


def test_parts_then_all_voxels_in_order():
    voxels = np.arange(30).reshape(10, 3)
    parts = list(in_parts(voxels, most=4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert np.array_equal(np.concatenate(parts), voxels)


def test_slices_without_a_voxel_then_refused(cases, tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((3, 40, 44), np.uint8))
    empty = {**cases[0], "lung": tmp_path / "none.npy", "label": tmp_path / "none.npy"}
    with pytest.raises(ValueError, match="datalist: none of the 1 training slices has a voxel"):
        draw_patches([empty], PatchShape(3), 10, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4,), "patch_size: must be odd"),
        ((3, 0), "patch_slices: must be a whole number"),
        ((3, 3, ()), "windows_hu: must name at least one"),
        ((3, 3, ((5.0, 5.0),)), "window_hu: lower bound"),
    ],
)
def test_shape_out_of_range_then_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PatchShape(*arguments)
