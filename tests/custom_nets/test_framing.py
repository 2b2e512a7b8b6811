import pytest
import torch
import torch.nn.functional as F

from custom_nets.framing import STRIDE, missing_rows, pad_to_stride


@pytest.mark.parametrize(("size", "missing"), [(1, 31), (31, 1), (32, 0), (33, 31), (512, 0)])
def test_missing_rows_then_lead_to_the_next_multiple(size, missing):
    assert missing_rows(size) == missing
    assert missing_rows(size, stride=1) == 0


def test_missing_rows_when_another_stride_is_asked_then_to_its_multiple():
    assert [missing_rows(size, 16) for size in (15, 16, 17)] == [1, 0, 15]


def test_image_then_lengthened_below_and_right_by_its_last_row_and_column():
    image = torch.rand(2, 3, 30, 33)
    padded, back = pad_to_stride(image, 3)
    assert padded.shape == (2, 3, 32, 64)
    assert torch.equal(padded[:, :, :30, :33], image)
    assert torch.equal(padded[:, :, 30:, :33], image[:, :, -1:].expand(-1, -1, 2, -1))
    assert torch.equal(padded[:, :, :30, 33:], image[..., -1:].expand(-1, -1, -1, 31))
    assert (padded[:, :, 30:, 33:] == image[:, :, -1:, -1:]).all()
    assert back == [0, -31, 0, -2]


def test_padding_back_then_the_image_itself():
    image = torch.rand(1, 1, 45, 70)
    padded, back = pad_to_stride(image, 1)
    assert torch.equal(torch.nn.functional.pad(padded, back), image)


def test_image_of_whole_multiples_then_unchanged():
    image = torch.rand(1, 1, STRIDE, 3 * STRIDE)
    padded, back = pad_to_stride(image, 1)
    assert torch.equal(padded, image)
    assert back == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 4, 32, 32), (3, 32, 32), (1, 3, 8, 8, 8)])
def test_other_shapes_then_refused_with_the_shape_given(shape):
    with pytest.raises(ValueError, match=r"must be \(B, 3, H, W\); got \[" + f"{shape[0]}, "):
        pad_to_stride(torch.zeros(shape), 3)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_then_pads_other_sizes_alike():
    scripted = torch.jit.script(pad_to_stride)
    for size in [(33, 64), (7, 5)]:
        image = torch.rand(1, 2, *size)
        padded, back = scripted(image, 2)
        expected, expected_back = pad_to_stride(image, 2)
        assert torch.equal(padded, expected)
        assert back == expected_back


def test_image_of_other_channels_then_refused_with_its_shape():
    says = r"input must be \(B, 3, H, W\); got \[1, 1, 4, 4\]; change the input, or in_channels"
    with pytest.raises(ValueError, match=says):
        pad_to_stride(torch.rand(1, 1, 4, 4), 3)


def test_volume_then_padded_along_three_axes_and_refused_by_their_names():
    volume = torch.rand(2, 1, 7, 8, 9)
    padded, back = pad_to_stride(volume, 1, stride=4, axes=3)
    assert tuple(padded.shape) == (2, 1, 8, 8, 12)
    assert torch.equal(padded[:, :, 7, :, 9], volume[:, :, 6, :, 8])  # the last row and column
    assert torch.equal(F.pad(padded, back), volume)
    with pytest.raises(ValueError, match=r"input must be \(B, 1, H, W, D\); got \[1, 1, 4, 4\]"):
        pad_to_stride(torch.rand(1, 1, 4, 4), 1, axes=3)
