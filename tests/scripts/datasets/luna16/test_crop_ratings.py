import numpy as np
import pytest

from scripts.datasets.luna16.crop_ratings import ratings_of_crop
from scripts.datasets.luna16.outlines import Outlines
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.datasets.luna16.test_lidc_database import GIVEN, outlined
from tests.scripts.datasets.luna16.test_outlines import UID

AFFINE = np.diag([0.7, 0.7, 1.0, 1.0])  # slices at z = 0, 1 and 2 mm
CORNER = (12, 13)


@pytest.fixture
def database(tmp_path):
    """Two readers at (20, 20, 1), one of them also beside it; one of another slice."""
    first = [outlined("Nodule 001", texture=1)]
    second = [outlined("8", x=21, texture=2), outlined("9", x=40), outlined("10", z=5.0)]
    return write_database(tmp_path / "a.sqlite", {UID: Outlines(UID, [first, second])})


def votes():
    """The voxels of the first reader, 9 x 9 around (20, 20), in a crop that begins at CORNER."""
    crop = np.zeros((3, 20, 20), np.uint8)
    crop[1, 16 - 13 : 25 - 13, 16 - 12 : 25 - 12] = 1
    return crop


def test_ratings_then_of_the_readers_who_outlined_this_nodule(database):
    ratings = ratings_of_crop(database, UID, votes(), AFFINE, CORNER)
    assert ratings["texture"] == [1, 2]
    assert ratings["margin"] == [GIVEN["margin"]] * 2


def test_crop_from_another_place_then_refused(database):
    with pytest.raises(ValueError, match="a.sqlite has no nodule of series 1.2.3 at this place"):
        ratings_of_crop(database, UID, votes(), AFFINE, (CORNER[0] + 8, CORNER[1]))
    with pytest.raises(ValueError, match="none of its 1 series is 9.9"):
        ratings_of_crop(database, "9.9", votes(), AFFINE, CORNER)
