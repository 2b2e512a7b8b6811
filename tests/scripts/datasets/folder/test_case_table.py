"""Cases that a table lists."""

import pytest

from scripts.datasets.folder.layouts import list_cases, recognise
from tests.scripts.datasets.folders import HU, case_folders, csv_cases, two_lesions, write


def ids(source):
    cases, problems = list_cases(recognise(source))
    return [case.id for case in cases], [str(problem) for problem in problems]


def test_csv_when_files_are_named_alike_then_cases_named_by_folders(tmp_path):
    case_folders(tmp_path / "there", names=("a", "b"))
    rows = [f"there/{n}/image.nii.gz,there/{n}/label.nii.gz,p{n},train" for n in "ab"]
    csv_cases(tmp_path, rows, "image,label,patient,split")
    for source in (tmp_path, tmp_path / "cases.csv"):
        cases, problems = list_cases(recognise(source))
        assert [(c.id, c.patient, c.group) for c in cases] == [
            ("a_image", "pa", "training"),
            ("b_image", "pb", "training"),
        ]
        assert problems == []


def test_csv_when_a_file_is_missing_or_doubled_then_problem(tmp_path):
    for name in ("x", "y"):
        write(tmp_path / f"{name}.nii.gz", HU)
    csv_cases(tmp_path, ["x.nii.gz,y.nii.gz", "y.nii.gz,no.nii.gz"])
    cases, problems = ids(tmp_path)
    assert cases == ["x"]
    assert "cases.csv row 3: missing files: " in problems[0]
    csv_cases(tmp_path, ["x.nii.gz,y.nii.gz", "x.nii.gz,x.nii.gz"])
    cases, problems = ids(tmp_path)
    assert cases == []
    assert "several images have this name" in problems[0]


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        ("image,mask", "a,b", r"must have the columns image, label, and may have patient, split"),
        ("image,label,pateint", "a,b,c", r"its first row is image,label,pateint"),
        ("image|label", "a|b", r"its first row is image\|label"),
        ("image,label", "a", "row 2: must have 2 cells"),
        ("image,label,patient", "a,b,", "row 2: patient must not be empty"),
        ("image,label,split", "a,b,tuning", "split must be one of training.*got 'tuning'"),
    ],
)
def test_csv_when_damaged_then_refused_by_row(tmp_path, header, row, reason):
    csv_cases(tmp_path, [row], header)
    with pytest.raises(ValueError, match=reason):
        list_cases(recognise(tmp_path))


def test_csv_when_not_text_then_refused(tmp_path):
    (tmp_path / "cases.csv").write_bytes(b"image,label\n\xff\xfe,b\n")
    with pytest.raises(ValueError, match="must be a CSV file in UTF-8"):
        list_cases(recognise(tmp_path))


def test_csv_when_one_image_is_listed_twice_then_only_its_rows_are_left_out(tmp_path):
    case_folders(tmp_path)
    rows = [f"{name}/image.nii.gz,{name}/label.nii.gz" for name in ("a", "b", "c", "a")]
    csv_cases(tmp_path, rows, name="mine.csv")
    cases, (problem,) = ids(tmp_path / "mine.csv")
    assert cases == ["b_image", "c_image"]
    assert "a_image: " in problem
    assert "or one is listed twice" in problem


@pytest.mark.parametrize(
    ("cell", "name"),
    [("M\u00fcller", "Mu\u0308ller"), ("Mu\u0308ller", "M\u00fcller"), ("x\\y", "x/y")],
    ids=["composed", "decomposed", "backslash"],
)
def test_csv_when_another_system_spelt_a_path_then_found(tmp_path, cell, name):
    write(tmp_path / name / "image.nrrd", HU)
    write(tmp_path / name / "label.nrrd", two_lesions())
    separator = "\\" if "\\" in cell else "/"
    row = f"{cell}{separator}image.nrrd,{cell}{separator}label.nrrd"
    csv_cases(tmp_path, [row], name="mine.csv")
    (case,), problems = list_cases(recognise(tmp_path / "mine.csv"))
    assert not problems
    assert case.image.is_file()
    assert case.label.is_file()
