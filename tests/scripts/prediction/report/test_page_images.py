import base64
import io

import numpy as np
from PIL import Image

from scripts.prediction.report import page_images
from scripts.prediction.report.page_images import CURVE, encode_masks, encode_slices, leb128


def decoded(runs, shape):
    """The mask that a slice's runs stand for, decoded another way than it was encoded."""
    numbers, value, shift = [], 0, 0
    for byte in base64.b64decode(runs):
        value, shift = value | (byte & 127) << shift, shift + 7
        if byte < 128:
            numbers.append(value)
            value, shift = 0, 0
    flat, at = np.zeros(shape[0] * shape[1], int), 0
    for skipped, length, number in np.reshape(numbers, (-1, 3)):
        flat[at + skipped : at + skipped + length] = number
        at += skipped + length
    return flat.reshape(shape)


def test_numbers_past_a_byte_then_kept():
    mask = (
        np.random.default_rng(0).choice([0, 1, 127, 128, 300, 65535], (3, 5, 7)).astype(np.uint16)
    )
    mask[1] = 0
    runs = encode_masks(mask)
    assert runs[1] == ""
    for k in (0, 2):
        np.testing.assert_array_equal(decoded(runs[k], (5, 7)), mask[k])
    assert leb128(np.array([0, 127, 128, 2**28 - 1])).hex() == "007f8001ffffff7f"


def level_of(hu):
    return np.interp(hu, *zip(*CURVE, strict=True))


def test_slices_then_the_curves_grey_levels_within_the_compressions_error():
    y, x = np.mgrid[:64, :80]
    hu = (np.stack([10 * x - 900, 4 * y - 150, 30 * x]) + 0).astype(np.int16)
    pictures, size = encode_slices(hu)
    assert size == (64, 80)
    for picture, values in zip(pictures, hu, strict=True):
        levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))), float)
        assert np.abs(levels - level_of(values)).max() <= 4


def test_large_slices_then_reduced_by_means_and_long_series_further(monkeypatch):
    hu = np.zeros((3, 600, 1200), np.int16)
    hu[:, ::2] = 100
    pictures, size = encode_slices(hu)
    assert size == (256, 512)
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0]))), float)
    assert abs(levels.mean() - level_of(50)) < 2
    monkeypatch.setattr(page_images, "LARGEST_PIXELS", 3 * 100**2)
    assert encode_slices(hu)[1] == (50, 100)
