"""Sources of rated nodules: which data set each is, and what it needs."""

import pytest

from scripts.suspicion.rated_sources import OUTLINES, rated_data_set, read_rated


def test_names_then_their_data_sets_and_none_for_outlines_alone(tmp_path):
    assert rated_data_set("lidc_nodules", None).name == "lidc_nodules"
    luna16 = rated_data_set("luna16", str(tmp_path))
    assert (luna16.name, luna16.label) == ("luna16", "readers")
    assert rated_data_set(OUTLINES, None) is None


@pytest.mark.parametrize(
    ("name", "outlines", "reason"),
    [
        ("ircadb", None, "data_set: must be one of lidc_nodules, luna16, outlines"),
        ("luna16", None, "outlines: luna16 needs the LIDC XML files"),
        ("lidc_nodules", "x", "outlines: of lidc_nodules, ratings are in index.csv"),
        (OUTLINES, "x", "outlines: of outlines, source is the database"),
    ],
)
def test_outlines_when_missing_or_not_needed_then_refused(name, outlines, reason):
    with pytest.raises(ValueError, match=reason):
        rated_data_set(name, outlines)


def test_source_when_it_is_no_database_then_refused(tmp_path):
    with pytest.raises((OSError, ValueError)):
        read_rated(None, str(tmp_path / "none.sqlite"), 1)
