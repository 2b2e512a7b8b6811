import csv

import pytest

from scripts.__main__ import main
from scripts.datasets.ircadb.audit import audit_patient, run_audit
from scripts.datasets.ircadb.patients import find_patients
from tests.scripts.datasets.ircadb.dicom_images import (
    hu_volume,
    images,
    masks,
    patient_files,
    write_cohort,
)
from tests.scripts.datasets.ircadb.zips import write_files

VOXEL_ML = 0.7 * 0.8 * 2 / 1000


def rows_of(source):
    (patient,) = find_patients(source).patients
    return {row.structure: row for row in audit_patient(patient).rows}


def test_structure_then_voxels_volume_and_mean_of_the_ct(tmp_path):
    rows = rows_of(write_files(tmp_path, patient_files(1)))
    liver = masks()["liver"] > 0
    assert rows["liver"].voxels == liver.sum()
    assert rows["liver"].ml == pytest.approx(liver.sum() * VOXEL_ML)
    assert rows["liver"].mean_hu == pytest.approx(hu_volume(1)[liver].mean())
    assert [rows[name].part for name in ("livertumor01", "right_Kidney", "skin")] == [
        "liver tumour",
        "right kidney",
        "no class: body surface",
    ]


def test_table_then_unknown_classes_and_unrecognised_names(tmp_path, capsys):
    write_files(tmp_path, patient_files(1))
    drawn = masks()
    drawn["thing"] = drawn.pop("right_Kidney")
    write_files(tmp_path, patient_files(2, structures=drawn))
    assert run_audit(tmp_path) == []
    printed = capsys.readouterr().out
    assert "kidney: known in 1 of 2 patients; unknown in 3Dircadb1.2" in printed
    assert "not recognised: thing in 3Dircadb1.2" in printed
    assert "left kidney (of an incomplete class)" in printed
    liver = next(line for line in printed.splitlines() if "3Dircadb1.2" in line and "liver" in line)
    assert liver.split()[:3] == ["3Dircadb1.2", "liver", "64"]


def test_output_then_the_same_table_as_csv(tmp_path):
    source = write_cohort(tmp_path / "in", 2)
    main(["prepare", "ircadb", "--source", str(source), "--audit", "--output", str(tmp_path / "o")])
    with (tmp_path / "o" / "audit.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(masks())
    assert {row["structure"] for row in rows} == set(masks())
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["audit.csv"]


def test_bad_mask_then_named_others_go_on_and_exit_code_1(tmp_path, capsys):
    source = write_cohort(tmp_path, 2)
    grey = masks() | {"skin": masks()["skin"] // 2}
    write_files(tmp_path, patient_files(3, structures=grey))
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "ircadb", "--source", str(source), "--audit", "--jobs", "1"])
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    assert "3Dircadb1.3: " in printed
    assert "MASKS_DICOM/skin/image_0: a mask must hold 0 and 255" in printed
    assert "[scan kept]" in printed
    assert "3Dircadb1.3    liver " in printed


def test_bad_ct_then_patient_left_out(tmp_path):
    ct = images(hu_volume(), Modality="MR")
    source = write_files(tmp_path, patient_files(4, ct=ct))
    (problem,) = run_audit(source)
    assert problem.left_out
    assert "PATIENT_DICOM/image_0: must be a CT image" in problem.reason


def test_empty_mask_then_no_mean(tmp_path):
    drawn = masks() | {"bone": masks()["bone"] * 0}
    row = rows_of(write_files(tmp_path, patient_files(1, structures=drawn)))["bone"]
    assert (row.voxels, row.mean_hu) == (0, None)


@pytest.mark.real
def test_patient_17_then_the_published_counts(real_data, capsys):
    assert run_audit(real_data / "ircadb") == []
    printed = capsys.readouterr().out
    counts = {words[1]: words[2] for line in printed.splitlines() if len(words := line.split()) > 4}
    assert counts["liver"] == "2,106,497"
    assert counts["bone"] == "477,406"
    assert counts["livertumor1"] == "96,961"
    assert counts["livertumor2"] == "89,029"
    assert "kidney: known in 0 of 1 patients; unknown in 3Dircadb1.17" in printed
    assert "not recognised" not in printed
