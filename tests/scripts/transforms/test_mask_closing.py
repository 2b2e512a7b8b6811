import numpy as np
import pytest
from scipy import ndimage

from scripts.transforms.mask_closing import (
    CLOSING_MM,
    IN_SLICE,
    close,
    expand,
    fill,
    pool,
    rounded,
    steps_for,
    widen,
)


@pytest.mark.parametrize(
    ("spacing_xyz", "steps"),
    [((0.8, 0.8, 2.5), [1, 4, 4]), ((3.0, 5.0, 0.5), [6, 1, 1])],
    ids=["thick slices", "coarse pixels"],
)
def test_steps_then_voxels_along_z_y_x_for_the_grid(spacing_xyz, steps):
    assert steps_for(np.zeros((2, 2, 2)), spacing_xyz, 3.2).tolist() == steps


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((4, 4), (1, 1, 1), "volume: must be"),
        ((0, 4, 4), (1, 1, 1), "not empty"),
        ((4, 4, 4), (1, 1), "spacing_mm: must be three numbers above 0"),
        ((4, 4, 4), (1, 1, float("nan")), "spacing_mm"),
    ],
    ids=["two axes", "empty", "two spacings", "no number"],
)
def test_steps_of_what_is_no_volume_then_refused(shape, spacing, message):
    with pytest.raises(ValueError, match=message):
        steps_for(np.zeros(shape), spacing, 3.2)


def test_pool_then_means_of_blocks_with_hu_clipped():
    volume = np.zeros((1, 2, 4), np.int16)
    volume[0, :, :2], volume[0, 0, 2:] = [[-3000, -1024], [-1024, -1024]], 3000
    assert pool(volume, np.array([1, 2, 2])).tolist() == [[[-1024.0, 200.0]]]


def test_pool_when_blocks_do_not_fit_then_the_edge_goes_on():
    volume = np.arange(3.0)[None, None]
    assert pool(volume, np.array([1, 1, 2])).tolist() == [[[0.5, 2.0]]]


def test_expand_then_undoes_pool_on_the_full_grid():
    mask = np.array([[[True, False]]])
    full = expand(mask, np.array([2, 1, 3]), (2, 1, 5))
    assert full.tolist() == [[[True, True, True, False, False]]] * 2


def test_fill_then_holes_up_to_a_size_and_never_what_is_open():
    mask = np.zeros((2, 12, 12), bool)
    mask[0, 1:6, 1:6] = mask[1, 1:11, 1:11] = True
    mask[0, 3, 3] = mask[1, 3:8, 3:8] = False
    mask[1, 9, 9:] = False  # a notch, open to the outside
    small = fill(mask, largest=4)
    assert small[0, 3, 3]
    assert not small[1, 5, 5]
    every = fill(mask)
    assert every[1, 5, 5]
    assert not every[1, 9, 10]


def test_close_then_bridges_gaps_narrower_than_twice_the_radius():
    def bridged(gap_mm):
        mask = np.zeros((1, 1, 120), bool)
        mask[0, 0, 10:30] = mask[0, 0, 30 + gap_mm : 110] = True
        return close(mask, np.ones(3))[0, 0, 30 + gap_mm // 2]

    assert bridged(int(2 * CLOSING_MM) - 2)
    assert not bridged(int(2 * CLOSING_MM) + 4)


def test_close_of_an_empty_or_a_full_mask_then_as_it_was():
    for value in (False, True):
        mask = np.full((2, 3, 4), value)
        assert np.array_equal(close(mask, np.ones(3)), mask)


def test_rounded_then_keeps_the_mask_and_takes_the_notch_of_a_nodule_on_the_pleura():
    y, x = np.mgrid[:128, :128] - 64
    disc, notch = y**2 + x**2 < 36**2, y**2 + (x - 36) ** 2 < 8**2
    lungs = np.repeat((disc & ~notch)[None], 6, axis=0)
    closed = rounded(lungs, np.array([2.0, 1.0, 1.0]))
    assert not np.any(lungs & ~closed)
    assert closed[3, 64, 64 + 30]
    # a block of the coarse grid and the voxel for the pleura at most
    assert not closed[3][y**2 + x**2 > 42**2].any()


@pytest.mark.parametrize("shape", [(3, 9, 8), (2, 1, 6), (1, 5, 1)])
def test_widen_then_as_a_dilation_within_the_slices(shape):
    mask = np.random.default_rng(1).random(shape) > 0.8
    assert np.array_equal(widen(mask), ndimage.binary_dilation(mask, structure=IN_SLICE))
