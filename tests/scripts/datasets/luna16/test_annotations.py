import pytest

from scripts.datasets.luna16.annotations import (
    LIDC_ROOT,
    KnownSeries,
    read_annotations,
    read_findings,
    read_patients,
)

HEADER = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"


def write(folder, text, name="annotations.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_good_rows_then_read_with_their_lines(tmp_path):
    path = write(tmp_path, HEADER + "a,1,2.5,-3,6\n\na,4,5,6,7.25\n")
    table = read_annotations(path, KnownSeries({"a"}))
    assert [(n.line, n.centre_lps_mm, n.diameter_mm) for n in table.nodules["a"]] == [
        (2, (1.0, 2.5, -3.0), 6.0),
        (4, (4.0, 5.0, 6.0), 7.25),
    ]
    assert table.count == 2
    assert not table.problems


def test_columns_in_another_order_and_one_more_then_read_by_name(tmp_path):
    text = "diameter_mm,coordZ,coordY,coordX,seriesuid,note\n6,3,2,1,a,x\n"
    table = read_annotations(write(tmp_path, text), KnownSeries({"a"}))
    assert table.nodules["a"][0].centre_lps_mm == (1.0, 2.0, 3.0)


def test_byte_order_mark_of_a_spreadsheet_then_read(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text(HEADER + "a,1,2.5,-3,6\n", encoding="utf-8-sig")
    assert read_annotations(path, KnownSeries({"a"})).count == 1


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("nan,2,3,4", "coordX must be finite, got nan"),
        ("1,2,inf,4", "coordZ must be finite, got inf"),
        ("1,two,3,4", "coordY must be a number, got 'two'"),
        ("1,2,3,", "diameter_mm must be a number, got ''"),
        ("1,2,3,0", "diameter_mm must be above 0, got 0"),
        ("1,2,3,-4", "diameter_mm must be above 0, got -4"),
        ("1,2,3", "must have 5 cells, got 4: 'a,1,2,3'"),
    ],
    ids=["NaN", "infinite", "word", "empty", "zero diameter", "negative diameter", "short row"],
)
def test_bad_row_then_reported_by_row_and_uid_and_others_go_on(tmp_path, cells, reason):
    path = write(tmp_path, f"{HEADER}a,{cells}\nb,1,2,3,4\n")
    table = read_annotations(path, KnownSeries({"a", "b"}))
    (problem,) = table.problems
    assert (problem.scan_id, problem.place) == ("a", "annotations.csv row 2")
    assert problem.reason == reason
    assert problem.left_out
    assert list(table.nodules) == ["b"]


def test_duplicated_row_then_used_once_and_its_scan_kept(tmp_path):
    path = write(tmp_path, HEADER + "a,1,2,3,4\nb,1,2,3,4\na,1.0,2.0,3.0,4.0\na,1,2,3,9\n")
    table = read_annotations(path, KnownSeries({"a", "b"}))
    (problem,) = table.problems
    assert problem.place == "annotations.csv row 4"
    assert "is in row 2" in problem.reason
    assert not problem.left_out
    assert [n.line for n in table.nodules["a"]] == [2, 5]


LIDC = LIDC_ROOT + "1"


@pytest.mark.parametrize(
    ("known", "uid", "unknown"),
    [
        (KnownSeries({"a"}, listed={"a", "b"}), "b", False),
        (KnownSeries({"a"}, listed={"a", "b"}), "c", True),
        (KnownSeries({"a"}, listed={"a", "b"}), LIDC, True),
        (KnownSeries({"a"}), LIDC, False),
        (KnownSeries({"a"}), "c", True),
        (KnownSeries({"a"}, all_subsets=True), LIDC, True),
    ],
    ids=[
        "listed, other subset",
        "not listed",
        "LIDC root but not listed",
        "LIDC root, some subsets",
        "other root, no list",
        "LIDC root, all subsets there",
    ],
)
def test_row_of_a_series_not_on_disk(tmp_path, known, uid, unknown):
    table = read_annotations(write(tmp_path, f"{HEADER}{uid},1,2,3,4\n"), known)
    assert table.rows_not_downloaded == (not unknown)
    assert ["unknown uid" in p.reason for p in table.problems] == [True] * unknown


def test_missing_column_then_refused_with_what_was_found(tmp_path):
    path = write(tmp_path, "seriesuid;coordX\na;1\n")
    with pytest.raises(ValueError, match=r"coordY, .* missing.*first row is seriesuid,coord"):
        read_annotations(path, KnownSeries(()))


def test_missing_or_binary_file_then_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"annotations.csv: not found"):
        read_annotations(tmp_path / "annotations.csv", KnownSeries(()))
    (tmp_path / "annotations.csv").write_bytes(b"\xff\x00\x81")
    with pytest.raises(ValueError, match="must be a CSV file in UTF-8"):
        read_annotations(tmp_path / "annotations.csv", KnownSeries(()))


def test_patients_table_then_read_and_contradictions_refused(tmp_path):
    path = write(tmp_path, "uid,patient_id\na,p1\nb,p1\n", "patients.csv")
    assert read_patients(path) == {"a": "p1", "b": "p1"}
    path = write(tmp_path, "patient_id,seriesuid\np1,a\np1,b\n", "patients.csv")
    assert read_patients(path) == {"a": "p1", "b": "p1"}
    path = write(tmp_path, "uid,patient_id\na,p1\na,p2\n", "patients.csv")
    with pytest.raises(ValueError, match="row 3: series a has two patients, p1 and p2"):
        read_patients(path)
    path = write(tmp_path, "uid,patient_id\na,\n", "patients.csv")
    with pytest.raises(ValueError, match="row 2: must be seriesuid,patient_id"):
        read_patients(path)


def test_findings_then_read_with_a_size_for_those_not_measured(tmp_path):
    path = write(tmp_path, HEADER + "a,1,2,3,-1\na,1,2,3,5\nb,1,2,3,5\n")
    table = read_findings(path, {"a"})
    points = [finding.point for finding in table.findings["a"]]
    assert points == [(1.0, 2.0, 3.0, 10.0), (1.0, 2.0, 3.0, 5.0)]
    assert [finding.diameter_mm for finding in table.findings["a"]] == [None, 5.0]
    assert not table.problems


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,x,2,3,5", "coordX must be a number, got 'x'"),
        ("a,1,inf,3,5", "coordY must be finite"),
        ("a,1,2,3", "must have 5 cells, got 4"),
    ],
    ids=["text", "infinite", "short"],
)
def test_findings_when_a_row_is_invalid_then_reported_and_the_others_read(tmp_path, row, reason):
    table = read_findings(write(tmp_path, f"{HEADER}{row}\na,1,2,3,5\nother,x\n"), {"a"})
    assert [finding.diameter_mm for finding in table.findings["a"]] == [5.0]
    (problem,) = table.problems
    assert (problem.scan_id, problem.left_out) == ("a", False)
    assert problem.reason.startswith(reason)


def test_findings_when_the_file_is_unreadable_or_absent_then_reported_or_none(tmp_path):
    assert not read_findings(tmp_path / "none.csv", {"a"}).problems
    path = tmp_path / "annotations_excluded.csv"
    path.write_bytes(b"\xff\x00\x81")
    (problem,) = read_findings(path, {"a"}).problems
    assert problem.place == "annotations_excluded.csv"
    assert "must be a CSV file in UTF-8" in problem.reason


@pytest.mark.real
def test_official_excluded_findings_then_every_row_read(real_data):
    folder = real_data / "luna16"
    uids = set((folder / "seriesuids.csv").read_text().split())
    table = read_findings(folder / "annotations_excluded.csv", uids)
    assert not table.problems
    assert sum(len(findings) for findings in table.findings.values()) == 35192


@pytest.mark.real
def test_official_list_then_every_row_read_and_the_other_subsets_counted(real_data):
    folder = real_data / "luna16"
    on_disk = {p.stem for p in folder.glob("subset0/*.mhd")}
    listed = set((folder / "seriesuids.csv").read_text().split())
    table = read_annotations(folder / "annotations.csv", KnownSeries(on_disk, listed))
    assert not table.problems
    assert table.count == 3
    assert table.rows_not_downloaded == 1183
