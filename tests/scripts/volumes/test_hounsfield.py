import numpy as np
import pytest

from scripts.volumes.hounsfield import why_not_hounsfield

RNG = np.random.default_rng(0)


def chest(shape=(20, 64, 64)):
    """Air with noise, lungs, fat and soft tissue, some bone, as a scanner gives them."""
    _, y, x = np.indices(shape)
    hu = np.full(shape, -1000.0)
    body = ((y - 32) / 24) ** 2 + ((x - 32) / 28) ** 2 < 1
    hu[body] = 40
    hu[body & (((y - 32) / 21) ** 2 + ((x - 32) / 25) ** 2 > 1)] = -100
    lung = ((y - 32) / 14) ** 2 + ((np.abs(x - 32) - 12) / 8) ** 2 < 1
    hu[lung] = -850
    hu[(y - 50) ** 2 + (x - 32) ** 2 < 12] = 900
    return np.rint(hu + RNG.normal(0, 15, shape)).astype(np.int16)


def padded(hu, value):
    _, y, x = np.indices(hu.shape)
    return np.where((y - 32) ** 2 + (x - 32) ** 2 > 31**2, value, hu).astype(np.int16)


def liver(shape=(10, 30, 30)):
    """A crop of contrasted liver with vessels and fat, without air."""
    hu = RNG.normal(110, 20, shape)
    hu[:, :5] = RNG.normal(-90, 15, (shape[0], 5, shape[2]))
    hu[:, 20:24, 10:14] = 220
    return np.rint(hu).astype(np.int16)


def contrast():
    hu = chest()
    hu[:, 28:36, 28:36] = 450
    return hu


def metal():
    hu = chest()
    hu[5, 30:34, 30:34] = 5892
    return hu


VALID = {
    "chest": chest(),
    "contrast": contrast(),
    "padded with -2048": padded(chest(), -2048),
    "padded with -3024": padded(chest(), -3024),
    "capped at 1024": np.clip(chest(), -1024, 1024),
    "capped at -1000": np.clip(chest(), -1000, 400),
    "metal": metal(),
    "float": chest().astype(np.float32) + 0.25,
    "crop without air": liver(),
    "crop in lung": chest()[5:10, 25:40, 15:25],
    "crop with bone": chest()[:, 40:60, 24:40],
    "air alone": np.full((2, 3, 4), -1000, np.int16),
}


@pytest.mark.parametrize("hu", VALID.values(), ids=VALID.keys())
def test_values_when_hu_then_pass(hu):
    assert why_not_hounsfield(hu) == ""


def windowed(hu, low, high, top):
    return (np.clip((hu - float(low)) / (high - low), 0, 1) * top).astype(np.float32)


WRONG = {
    "HU + 1024": chest() + 1024,
    "HU + 1000": chest() + 1000,
    "HU + 1024, padded": padded(chest(), -2048) + 1024,
    "HU + 1024, padding kept": padded(chest() + 1024, -2000),
    "HU + 1024, padding like air": padded(chest() + 1024, -1024),
    "HU + 32768 as signed": (chest().astype(int) + 32768).astype(np.int32),
    "picture of 8 bit": np.rint(windowed(chest(), -160, 240, 255)).astype(np.uint8),
    "picture of signed 8 bit": (np.rint(windowed(chest(), -160, 240, 255)) - 128).astype(np.int8),
    "0 to 1": windowed(chest(), -1000, 400, 1),
    "-1 to 1": windowed(chest(), -1000, 400, 2) - 1,
    "mean 0, deviation 1": ((chest() - chest().mean()) / chest().std()).astype(np.float32),
    "after a window": np.clip(chest(), -160, 240),
    "mask": (chest() > 0).astype(np.uint8),
    "mask of 255": (chest() > 0).astype(np.uint8) * 255,
    "HU x 16": chest().astype(np.int32) * 16,
    "crop of liver + 1024": liver() + 1024,
    "crop in lung + 1024": chest()[5:10, 25:40, 15:25] + 1024,
    "one value": np.zeros((3, 4, 5), np.int16),
    "not finite": np.full((2, 3, 4), np.nan, np.float32),
    "infinite": np.where(chest() > 900, np.inf, chest()).astype(np.float32),
    "beyond 16 bits": chest().astype(np.int32) * 40,
}


@pytest.mark.parametrize("values", WRONG.values(), ids=WRONG.keys())
def test_values_when_not_hu_then_refused_with_the_reason(values):
    assert why_not_hounsfield(values).startswith(("but ", "16-bit numbers"))


@pytest.mark.parametrize("part", [10, 5, 3])
@pytest.mark.parametrize("hu", [chest(), padded(chest(), -3024), chest()[5:10, 25:40, 15:25]])
def test_values_when_hu_divided_and_air_is_shown_then_refused(hu, part):
    assert why_not_hounsfield(hu, shows_air=True) == ""
    assert why_not_hounsfield(np.rint(hu / part), shows_air=True).startswith("but ")


def test_values_when_no_air_then_refused_only_where_it_is_shown():
    assert why_not_hounsfield(liver()) == ""
    assert "like lung and air, and most are between" in why_not_hounsfield(liver(), shows_air=True)


@pytest.mark.real
def test_values_when_real_then_pass(real_data):
    from scripts.volumes.readers import read_volume

    luna = sorted((real_data / "luna16" / "subset0").glob("*.mhd"))
    crops = sorted((real_data / "lidc_nodules" / "image").glob("*.nii.gz"))
    assert len(crops) > 700
    for path in (*luna, *crops):
        hu = read_volume(path).hu
        assert why_not_hounsfield(hu, shows_air=True) == "", path
        assert why_not_hounsfield(np.rint(hu / 10), shows_air=True), path
        assert why_not_hounsfield(hu.astype(np.int32) + 1024), path
