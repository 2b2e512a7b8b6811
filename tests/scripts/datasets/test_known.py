import pytest

from scripts.datasets.known import data_set_class


def test_unknown_name_then_refused():
    with pytest.raises(ValueError, match="data set: must be one of .*, got 'luna61'"):
        data_set_class("luna61")
