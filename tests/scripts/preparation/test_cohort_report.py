import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.preparation.cohort import prepare_cohort
from scripts.preparation.prepare_command import command_of
from tests.scripts.datasets.luna16.cohort import (
    TinyCohort,
    as_image,
    chest,
    every_sample,
    request,
    several,
)


def shorten_raw(cohort):
    with (cohort.folder / "subset0/1.0.raw").open("r+b") as file:
        file.truncate(1000)


def remove_raw(cohort):
    (cohort.folder / "subset0/1.0.raw").unlink()


def spoil_header(cohort):
    (cohort.folder / "subset0/1.0.mhd").write_text("not a header\n")


def outside(cohort):
    cohort.row("1.0", 500, 500, 500, 5)


def not_a_number(cohort):
    cohort.row("1.0", "nan", 1, 2, 5)


def remove_lung_labels(cohort):
    sitk.WriteImage(as_image(chest() * 0), cohort.folder / "seg-lungs-LUNA16/1.0.mhd")


def lungs_elsewhere(cohort):
    mask = sitk.ReadImage(cohort.folder / "seg-lungs-LUNA16/1.0.mhd")
    mask.SetOrigin((0, 0, 0))
    sitk.WriteImage(mask, cohort.folder / "seg-lungs-LUNA16/1.0.mhd")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (shorten_raw, "truncated"),
        (remove_raw, "data file 1.0.raw is not in the same folder"),
        (spoil_header, "not a MetaImage header"),
        (outside, "row 6: the centre lies outside the volume"),
        (not_a_number, "coordX must be finite, got nan"),
        (remove_lung_labels, "must hold 3"),
        (lungs_elsewhere, "not on the scan's grid"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_broken_scan_then_named_and_the_others_go_on(cohort, tmp_path, capsys, spoil, reason):
    spoil(cohort)
    with pytest.raises(SystemExit) as stop:
        command_of("luna16")(str(cohort.folder), str(tmp_path / "out"), slices="all", jobs=1)
    assert stop.value.code == 1
    (problem,) = json.loads((tmp_path / "out" / "report.json").read_text())["problems"]
    assert problem["scan_id"] == "1.0"
    assert problem["left_out"] is True
    assert reason in problem["reason"]
    printed = capsys.readouterr().out
    assert "scans: 3 of 4 prepared" in printed
    assert f"  1.0: {problem['place']}: " in printed
    (row,) = csv.DictReader((tmp_path / "out" / "report.csv").read_text().splitlines())
    assert row["scan_id"] == "1.0"
    assert {s["series_uid"] for s in every_sample(tmp_path / "out")} == {"1.1", "1.2", "1.3"}


def test_unknown_uid_and_duplicated_row_then_reported_and_no_scan_lost(cohort, tmp_path):
    cohort.row("7.7", 1, 2, 3, 4)
    cohort.rows.append(cohort.rows[0])
    cohort.write_rows()
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    assert [problem.place for problem in report.problems] == [
        "annotations.csv row 6",
        "annotations.csv row 7",
    ]
    assert len(report.prepared) == 4


def test_every_scan_broken_then_one_error_with_the_reasons(tmp_path):
    cohort = several(tmp_path / "luna", 5)
    for path in cohort.folder.glob("subset0/*.raw"):
        path.unlink()
    message = r"none of the 5 scans can be used: 1.0: 1.0.mhd: .*raw.*; 1.2.* and 2 more$"
    with pytest.raises(ValueError, match=message):
        prepare_cohort(request(cohort, tmp_path / "out"))


def test_nodule_hidden_by_smaller_ones_then_named(tmp_path):
    cohort = several(tmp_path / "luna")
    cohort.add("1.9", [((20, 18, 9), 1.0), ((20, 18, 9), 1.1)])
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    (problem,) = report.problems
    assert "has no voxel in the label" in problem.reason


def test_lungs_without_seg_lungs_then_computed_and_reported(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "scripts.datasets.luna16.reading.lung_field", lambda hu, spacing_mm: np.asarray(hu) < -500
    )
    cohort = TinyCohort(tmp_path / "luna", lungs=False)
    for n in range(3):
        cohort.add(f"1.{n}", [((20, 18, 9), 9.0)])
    command_of("luna16")(str(cohort.folder), str(tmp_path / "out"), jobs=1)
    assert "note: 3 scans: lung field computed" in capsys.readouterr().out


def test_nodule_outside_the_lungs_then_reported(cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "scripts.datasets.luna16.reading.lung_field_from_labels",
        lambda labels, spacing_mm: labels > 2,
    )
    cohort.add("1.9", [((4, 4, 9), 3.0)])
    command_of("luna16")(str(cohort.folder), str(tmp_path / "out"), jobs=1)
    assert "1 nodules lie mostly outside the lung field" in capsys.readouterr().out
