import numpy as np
import pytest

from scripts.evaluation.packed_slices import PackedArray, PackedConfidence, highest_of_components


def test_confidence_then_fainter_voxels_and_the_highest_of_each_component():
    mask = np.zeros((6, 8), bool)
    mask[1, 1:3] = mask[4, 6] = True
    probability = np.zeros((6, 8), np.float32)
    probability[1, 1:4] = 0.6, 0.875, 0.25  # a rim, and a fainter component
    probability[4, 6], probability[5, 0], probability[3, 3] = 0.75, 0.125, 0.0625
    packed = PackedConfidence.pack(mask, probability, 0.125)
    assert np.argwhere(packed.fainter.unpack()).tolist() == [[1, 1], [1, 2], [1, 3], [4, 6], [5, 0]]
    assert packed.of_mask.tolist() == [0.875, 0.75]
    assert packed.of_fainter.tolist() == [0.875, 0.75, 0.125]


def test_mask_below_the_candidates_threshold_then_still_a_candidate():
    mask = np.eye(2, dtype=bool)
    packed = PackedConfidence.pack(mask, np.full((2, 2), 0.01, np.float32), 0.5)
    assert packed.of_fainter.tolist() == pytest.approx([0.01])


def test_empty_slice_then_no_component():
    empty = np.zeros((3, 3), bool)
    assert highest_of_components(empty, empty.astype(np.float32)).shape == (0,)


def test_noise_then_far_smaller_than_its_probabilities():
    probability = np.random.default_rng(0).random((128, 128)).astype(np.float32)
    packed = PackedConfidence.pack(probability > 0.9, probability, 0.5)
    size = len(packed.fainter.data) + packed.of_mask.nbytes + packed.of_fainter.nbytes
    assert size < probability.nbytes / 4


def test_array_of_other_numbers_then_refused():
    with pytest.raises(ValueError, match="whole numbers 0..255, got 0.5"):
        PackedArray.pack(np.array([0.5]))
