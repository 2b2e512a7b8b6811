import csv
import json

import pytest

from scripts.datasets.luna16.outlines import Outlines
from scripts.evaluation.readers.readers_command import readers_luna16
from tests.scripts.datasets.luna16.cohort import ORIGIN, TinyCohort
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.datasets.luna16.test_nodule_crops import outlined
from tests.scripts.datasets.luna16.test_outlines import nodule, roi, square, write_xml

LEVELS = [ORIGIN[2] + 2.5 * k for k in range(24)]


@pytest.fixture
def luna(tmp_path):
    """LUNA16's lists of three series, two of them of one patient; scans of the first two."""
    cohort = TinyCohort(tmp_path / "luna")
    for uid in ("1.1", "1.2"):
        cohort.add(uid)
    for uid, x, y, z, diameter in [("1.1", 20, 18, 20, 9), ("1.2", 22, 18, 22.5, 9)]:
        cohort.row(uid, ORIGIN[0] + x, ORIGIN[1] + y, ORIGIN[2] + z, diameter)
    cohort.row("1.2", ORIGIN[0] + 30, ORIGIN[1] + 10, ORIGIN[2] + 50, 4)
    (cohort.folder / "seriesuids.csv").write_text("1.1\n1.2\n1.3\n")
    return cohort.folder


@pytest.fixture
def database(tmp_path):
    first = [
        [outlined("Nodule 001", 20, 16, 4, (7, 8, 9), texture=5)],
        [outlined("8", 21, 16, 4, (8, 9), texture=5)],
    ]
    second = [[outlined("Nodule 001", 22, 16, 4, (8, 9, 10), texture=1)], []]
    scans = {"1.1": first, "1.2": second, "1.3": []}
    return write_database(
        tmp_path / "a.sqlite",
        {uid: Outlines(uid, readers) for uid, readers in scans.items()},
        patients=("A", "B", "B"),
        pixel_mm=1.0,
        slices_mm=LEVELS,
    )


def read(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_database_then_tables_figures_and_a_picture(luna, database, tmp_path, capsys):
    out = tmp_path / "out"
    readers_luna16(str(database), str(luna), str(out), jobs=1)
    rows = read(out, "nodules.csv")
    assert [(r["patient"], r["readers"], r["listed"]) for r in rows] == [
        ("A", "2", "True"),
        ("B", "1", "True"),
        ("B", "0", "True"),
    ]
    assert [row["texture_group"] for row in rows] == ["solid", "ground_glass", ""]
    assert len(read(out, "pairs.csv")) == 1
    record = json.loads((out / "readers.json").read_text())
    assert (record["series"], record["patients"], record["nodules_listed"]) == (3, 2, 3)
    assert record["patients_with_several_series"] == {"B": ["1.2", "1.3"]}
    assert record["labels"]["readers_2"] == {"listed": 1, "lost": 2, "not_listed": 0}
    assert record["positions_known"] == 0
    assert (out / "readers.png").stat().st_size > 10_000
    assert "label readers_2: listed 1, lost 2" in capsys.readouterr().out


def test_scans_then_positions_of_their_headers(luna, database, tmp_path):
    out = tmp_path / "out"
    readers_luna16(str(database), str(luna), str(out), scans=str(luna), jobs=1)
    assert [row["position"] for row in read(out, "nodules.csv")] == ["header", "header", ""]
    assert json.loads((out / "readers.json").read_text())["positions_known"] == 2


def test_xml_then_only_with_scans_that_give_the_grid(luna, tmp_path, capsys):
    (tmp_path / "xml").mkdir()
    rois = [roi(LEVELS[k], square(20, 16, 4)) for k in (7, 8, 9)]
    write_xml(tmp_path / "xml", nodule("1", *rois), nodule("2", *rois), "", "", uid="1.1")
    with pytest.raises(ValueError, match="scans: must name LUNA16's folder for outlines of XML"):
        readers_luna16(str(tmp_path / "xml"), str(luna), str(tmp_path / "out"))
    readers_luna16(str(tmp_path / "xml"), str(luna), str(tmp_path / "out"), scans=luna, jobs=1)
    assert "note: every series counts as a patient" in capsys.readouterr().out
    (row,) = read(tmp_path / "out", "nodules.csv")
    assert (row["readers"], row["readers_dice"], row["position"]) == ("2", "1.0", "header")


def test_xml_with_a_table_of_patients_then_intervals_over_these(luna, tmp_path, capsys):
    (tmp_path / "xml").mkdir()
    rois = [roi(LEVELS[k], square(20, 16, 4)) for k in (7, 8, 9)]
    for uid in ("1.1", "1.2"):
        nodules = (nodule("1", *rois), nodule("2", *rois), "", "")
        write_xml(tmp_path / "xml", *nodules, uid=uid).rename(tmp_path / "xml" / f"{uid}.xml")
    (luna / "patients.csv").write_text("seriesuid,patient_id\n1.1,A\n1.2,A\n1.3,B\n")
    readers_luna16(str(tmp_path / "xml"), str(luna), str(tmp_path / "out"), scans=luna, jobs=1)
    assert {row["patient"] for row in read(tmp_path / "out", "nodules.csv")} == {"A"}
    record = json.loads((tmp_path / "out" / "readers.json").read_text())
    assert (record["patients"], record["notes"]) == (1, [])
    assert record["patients_with_several_series"] == {"A": ["1.1", "1.2"]}
    assert "note" not in capsys.readouterr().out


def test_series_that_the_database_lacks_then_named_and_the_exit_code_1(
    luna, database, tmp_path, capsys
):
    (luna / "seriesuids.csv").write_text("1.1\n1.2\n1.3\n1.4\n")
    with pytest.raises(SystemExit, match="1"):
        readers_luna16(str(database), str(luna), str(tmp_path / "out"), jobs=1)
    assert "1.4: " in capsys.readouterr().out
    assert len(read(tmp_path / "out", "nodules.csv")) == 3


def test_lists_that_are_missing_then_refused(luna, database, tmp_path):
    (luna / "seriesuids.csv").unlink()
    with pytest.raises(FileNotFoundError, match="must hold annotations.csv and seriesuids.csv"):
        readers_luna16(str(database), str(luna), str(tmp_path / "out"))
