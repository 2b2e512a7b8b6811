from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scripts.datasets.contract import DataSet, Labelled, Listing, Scan
from scripts.volumes.volume import Volume

VOLUME = Volume(np.zeros((2, 3, 4), np.int16), np.eye(4))


@dataclass(frozen=True)
class Least(DataSet):
    """As little as a data set can be."""

    name = "least"
    title = "least"
    kind = "classes"
    label_kinds = ("map",)
    window_hu = (0.0, 1.0)
    metric = "val_iou"

    table: Path = Path("a.csv")

    def classes(self):
        return {0: "background", 1: "organ"}

    def find(self, source):
        return Listing([])

    def read(self, scan):
        raise ValueError(scan.id)


def test_label_on_another_grid_then_refused():
    with pytest.raises(ValueError, match=r"label: must have the shape of the CT, \(2, 3, 4\)"):
        Labelled(VOLUME, np.zeros((2, 4, 3), np.uint8))


def test_lung_on_another_grid_then_refused():
    with pytest.raises(ValueError, match="lung: must have the shape of the CT"):
        Labelled(VOLUME, np.zeros((2, 3, 4), np.uint8), lung=np.zeros((1, 3, 4), bool))


def test_label_of_another_type_then_refused():
    with pytest.raises(ValueError, match="label: must be uint8, got int16"):
        Labelled(VOLUME, np.zeros((2, 3, 4), np.int16))


def test_data_set_that_says_least_then_inherits_the_rest():
    data_set = Least()
    assert data_set.at(Path("source")) is data_set
    assert data_set.label_kind == "map"
    assert data_set.record() == {"table": "a.csv"}
    one, two = (Scan("a", "p", (), details=details) for details in (1, 2))
    assert data_set.depends_on(one) != data_set.depends_on(two)
    assert (data_set.splits, data_set.phantom, data_set.auditable) == ({}, None, False)


def test_class_that_cannot_read_then_is_no_data_set():
    class Unfinished(Least):
        read = DataSet.read

    with pytest.raises(TypeError, match="abstract"):
        Unfinished()
