import pytest

from scripts.storage.csv_files import read_csv

COLUMNS = ("file", "patient")


def written(folder, text):
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_read_when_spaces_blank_lines_and_a_mark_then_cells_and_lines_of_the_file(tmp_path):
    path = written(
        tmp_path, b"\xef\xbb\xbf patient ,file,age\r\n\r\n P1 , a.nii,\r\n,,\r\nP2,b,3\r\n"
    )
    rows = read_csv(path, COLUMNS)
    assert [(row.line, row.named()) for row in rows] == [
        (3, {"patient": "P1", "file": "a.nii", "age": ""}),
        (5, {"patient": "P2", "file": "b", "age": "3"}),
    ]


@pytest.mark.parametrize("cells", ["a", "a,P1,x"])
def test_row_of_another_length_then_its_columns_by_position_and_refused_by_number(tmp_path, cells):
    (row,) = read_csv(written(tmp_path, f"file,patient\n{cells}\n"), COLUMNS)
    assert row.get("file") == "a"
    assert row.get("patient") == cells[2:4]
    with pytest.raises(
        ValueError, match=f"must have 2 cells, got {len(cells.split(','))}: '{cells}"
    ):
        row.named()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "file;patient\n",
            "have age; file, patient missing; its first row is file;patient",
        ),
        ("", r"first row is \(empty\)"),
        ("file,patient,patient\n", "patient there twice"),
        ("file,patient,agee\n", "patient, and may have age; agee not known"),
        (b"\xff\xfe", "must be a CSV file in UTF-8"),
    ],
    ids=["semicolons", "empty", "twice", "unknown", "binary"],
)
def test_read_when_the_columns_are_others_then_refused_with_what_was_found(tmp_path, text, reason):
    with pytest.raises(ValueError, match=rf"list\.csv: .*{reason}"):
        read_csv(written(tmp_path, text), COLUMNS, optional=("age",))
    with pytest.raises(FileNotFoundError, match=r"none\.csv: not found in"):
        read_csv(tmp_path / "none.csv", COLUMNS)


def test_read_when_a_column_has_another_name_then_known_by_its_own(tmp_path):
    synonyms = {"uid": "file"}
    (row,) = read_csv(written(tmp_path, "uid,patient\na,b\n"), COLUMNS, synonyms=synonyms)
    assert row.get("file") == "a"
    (row,) = read_csv(written(tmp_path, "uid,file,patient\nx,a,b\n"), COLUMNS, synonyms=synonyms)
    assert row.named() == {"uid": "x", "file": "a", "patient": "b"}
