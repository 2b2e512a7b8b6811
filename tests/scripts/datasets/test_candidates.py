import math

import numpy as np
import pytest

from scripts.datasets.candidates import (
    COLUMNS,
    Candidate,
    measure_candidates,
    read_candidates,
    write_candidates,
)
from scripts.volumes.geometry import index_to_world

# x and y run to the right and to the front, as in many of LUNA16's scans
AFFINE = np.array([[-0.7, 0, 0, 150], [0, -0.7, 0, 120], [0, 0, 2.5, -300], [0, 0, 0, 1.0]])


def test_components_then_centre_in_the_patient_with_mean_and_highest_probability():
    components = np.zeros((6, 20, 30), np.uint16)
    components[2:4, 5:9, 10:12] = 1
    components[5, 0, 29] = 3  # number 2 has no voxel
    probability = np.full(components.shape, 0.25, np.float32)
    probability[2, 5, 10] = 0.875
    first, last = measure_candidates(components, probability, AFFINE, "1.2")
    assert first.centre_lps_mm == pytest.approx(index_to_world((10.5, 6.5, 2.5), AFFINE))
    assert last.centre_lps_mm == pytest.approx(index_to_world((29, 0, 5), AFFINE))
    assert (first.probability, first.mean_probability) == (0.875, (0.875 + 15 * 0.25) / 16)
    assert math.pi / 6 * first.diameter_mm**3 == pytest.approx(16 * 0.7 * 0.7 * 2.5)
    assert [first.segment, last.segment, first.series_uid] == [1, 3, "1.2"]


def test_no_component_then_no_candidate():
    empty = np.zeros((2, 3, 4), np.uint8)
    assert list(measure_candidates(empty, empty.astype(np.float32), AFFINE, "1.2")) == []


def test_file_then_columns_of_luna16_and_the_same_candidates_by_probability(tmp_path):
    unlikely = Candidate("1.2", (-1.5, 2.25, -300.0625), 0.125)
    likely = Candidate("1.2", (3.0, -0.0, 1.0), 0.999999881, 0.5, 7.0, 4)
    write_candidates(tmp_path / "candidates.csv", [unlikely, likely])
    text = (tmp_path / "candidates.csv").read_text()
    assert text.splitlines()[:2] == [",".join(COLUMNS), "1.2,3.0,0.0,1.0,0.999999881"]
    found = read_candidates(tmp_path / "candidates.csv")
    assert [one.probability for one in found] == [0.999999881, 0.125]
    assert found[1] == unlikely


def test_no_candidate_then_a_file_with_the_header_only(tmp_path):
    write_candidates(tmp_path / "candidates.csv", [])
    assert (tmp_path / "candidates.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert read_candidates(tmp_path / "candidates.csv") == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1.2,1,2,3", "row 3: must have 5 cells, got 4"),
        ("1.2,1,2,north,0.5", "row 3: coordZ must be a number, got 'north'"),
        ("1.2,1,2,3,nan", "row 3: probability must be finite"),
        (" ,1,2,3,0.5", "row 3: seriesuid is empty"),
    ],
)
def test_damaged_row_then_refused_with_its_line(tmp_path, row, reason):
    path = tmp_path / "mine.csv"
    path.write_text(f"{','.join(COLUMNS)}\n1.2,1,2,3,0.5\n{row}\n")
    with pytest.raises(ValueError, match=f"mine.csv {reason}"):
        read_candidates(path)


def test_missing_column_then_refused_by_name(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("seriesuid,coordX,coordY,coordZ\n1.2,1,2,3\n")
    with pytest.raises(ValueError, match="probability missing"):
        read_candidates(path)


def test_further_columns_in_another_order_then_ignored(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("probability,class,coordX,coordY,coordZ,seriesuid\n-3.5,1,1,2,3,1.2\n")
    assert read_candidates(path) == [Candidate("1.2", (1.0, 2.0, 3.0), -3.5)]
