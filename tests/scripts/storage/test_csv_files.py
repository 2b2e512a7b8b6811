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
            "file|patient\n",
            r"have age; file, patient missing; its first row is file\|patient",
        ),
        ("", r"first row is \(empty\)"),
        ("file,patient,patient\n", "patient there twice"),
        ("file,patient,agee\n", "patient, and may have age; agee not known"),
        (b"\xff\x00", "must be a CSV file in UTF-8"),
    ],
    ids=["bars", "empty", "twice", "unknown", "binary"],
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


EXCEL = {
    "semicolons": b"File;Patient;x\r\na.nii;P1;-1,5\r\n",
    "unicode text": "file\tpatient\tx\na.nii\tP1\t-1.5\n".encode("utf-16"),
    "capitals": b"FILE,PATIENT,x\na.nii,P1,-1.5\n",
    "empty columns": b"file,patient,x,,\na.nii,P1,-1.5,,\n",
}


@pytest.mark.parametrize("content", EXCEL.values(), ids=EXCEL)
def test_read_when_a_spreadsheet_wrote_it_then_cells_and_numbers(tmp_path, content):
    (row,) = read_csv(written(tmp_path, content), COLUMNS)
    assert row.named() == {"file": "a.nii", "patient": "P1", "x": row.get("x")}
    assert row.numbers(["x"]) == [-1.5]


def test_number_with_a_comma_where_cells_have_commas_then_refused(tmp_path):
    (row,) = read_csv(written(tmp_path, 'file,patient,x\na.nii,P1,"1,5"\n'), COLUMNS)
    with pytest.raises(ValueError, match="x must be a number, got '1,5'"):
        row.numbers(["x"])
