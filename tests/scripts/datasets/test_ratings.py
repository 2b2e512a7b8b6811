import pytest

from scripts.datasets.ratings import RATINGS, check_rating, read_ratings, texture_group


@pytest.mark.parametrize("name", RATINGS)
def test_rating_off_its_scale_then_refused_by_name(name):
    highest = RATINGS[name]
    assert [check_rating(name, value) for value in range(1, highest + 1)]
    for value in (0, highest + 1, 2.0, "3", None):
        with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 to {highest}"):
            check_rating(name, value)


@pytest.mark.parametrize(
    ("ratings", "group"),
    [
        ([5], "solid"),
        ([5, 5, 5, 1], "solid"),
        ([5, 5, 4, 4], "part_solid"),  # median 4.5
        ([4, 4, 4], "part_solid"),
        ([2, 1, 2], "part_solid"),
        ([1, 1, 2, 2], "part_solid"),
        ([1, 1, 1, 5], "ground_glass"),
    ],
)
def test_texture_then_by_the_median_of_the_readers(ratings, group):
    assert texture_group(ratings) == group


@pytest.mark.parametrize("cell", ["", "5|", "5|x", "5;4", "4.5"])
def test_ratings_that_are_no_numbers_then_refused_by_name(cell):
    assert read_ratings("texture", "5|4|4") == [5, 4, 4]
    with pytest.raises(ValueError, match="texture: must be ratings like 5.4.4"):
        read_ratings("texture", cell)
