"""What the values of a series are, by its headers."""

import re

import pytest

from scripts.volumes.dicom.quantity import notes_on
from scripts.volumes.dicom.series_volume import read_series
from tests.scripts.volumes.dicom.test_series_volume import slice_dataset, write


def series(folder, *every, **changes):
    """A series of slices with changed elements; ``every`` has those of each slice."""
    each = every or ({},) * 5
    return write(folder, [slice_dataset(k, **changes, **own) for k, own in enumerate(each)])


@pytest.mark.parametrize("kind", ["MGML", "Z_EFF", "ED"])
def test_series_of_another_quantity_then_refused_by_its_name(tmp_path, kind):
    names = {"MGML": "mg/ml", "Z_EFF": "atomic number", "ED": "electron density"}
    with pytest.raises(
        ValueError, match=rf"must be HU, by its RescaleType they are .*{names[kind]}"
    ):
        read_series(series(tmp_path / "ct", RescaleType=kind))


@pytest.mark.parametrize("kind", ["HU", "US", "", None])
def test_series_in_hu_or_unspecified_then_read_without_a_note(tmp_path, kind):
    found = read_series(series(tmp_path / "ct", RescaleType=kind))
    assert notes_on(found.slices) == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]},
            r"\(MIP\) .* projections of slabs",
        ),
        ({"LossyImageCompression": "01"}, "compressed with loss"),
        ({"RescaleType": "HU_MOD"}, "modified HU"),
    ],
    ids=["projection", "lossy", "modified"],
)
def test_series_that_is_unusual_then_reported(tmp_path, changes, told):
    (note,) = notes_on(read_series(series(tmp_path / "ct", **changes)).slices)
    assert re.search(told, note)


def test_series_whose_factors_differ_then_reported(tmp_path):
    each = [{"RescaleSlope": slope} for slope in (1, 2, 1, 0.5, 1)]
    (note,) = notes_on(read_series(series(tmp_path / "ct", *each)).slices)
    assert note == "RescaleSlope differs between slices; each is converted by its own"
