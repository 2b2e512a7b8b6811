import numpy as np

from scripts.volumes.axis_order import reverse_axes


def test_reversed_then_transposed_contiguous_and_a_copy():
    volume = np.random.default_rng(0).normal(size=(3, 4, 5))
    result = reverse_axes(volume)
    np.testing.assert_array_equal(result, volume.transpose(2, 1, 0))
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, volume)


def test_reversed_as_another_type_then_converted():
    result = reverse_axes(np.array([[[-1000.0, 3.0]]]), np.int16)
    assert result.dtype == np.int16
    assert result.ravel().tolist() == [-1000, 3]
