"""The command that scores any file of candidates against lists in LUNA16's format."""

import csv
import json

import pytest

from scripts.datasets.candidates import Candidate, write_candidates
from scripts.datasets.study_names import study_name
from scripts.evaluation.froc_command import assign, froc, read_reference
from tests.scripts.evaluation.figures import luna16_rules

HEADER = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
LIDC = "1.3.6.1.4.1.14519.5.2.1.6279.6001"
ONE, TWO, THREE = (f"{LIDC}.{number}" for number in (1, 2, 3))


@pytest.fixture
def lists(tmp_path):
    """Three scans: two nodules and an excluded finding, one nodule, none."""
    folder = tmp_path / "lists"
    folder.mkdir()
    nodules = f"{ONE},0,0,0,6\n{ONE},50,0,0,10\n{TWO},-20,5,7,8\n"
    (folder / "annotations.csv").write_text(HEADER + nodules)
    (folder / "annotations_excluded.csv").write_text(f"{HEADER}{ONE},0,80,0,-1\n")
    (folder / "seriesuids.csv").write_text(f"{ONE}\n{TWO}\n{THREE}\n")
    return folder


FOUND = [
    *(Candidate(ONE, (0, 0, 1), 0.9), Candidate(ONE, (0, 84, 0), 0.8)),
    *(Candidate(ONE, (0, -60, 0), 0.5), Candidate(TWO, (-20, 5, 7.5), 0.7)),
    *(Candidate(THREE, (1, 1, 1), 0.95), Candidate(ONE, (51, 0, 0), 0.2)),
]


def candidates(tmp_path, found=FOUND):
    write_candidates(tmp_path / "mine.csv", found)
    return str(tmp_path / "mine.csv")


def test_candidates_then_table_picture_record_and_the_score_on_the_screen(lists, tmp_path, capsys):
    froc(candidates(tmp_path), str(lists), str(tmp_path / "out"))
    scans = []
    for uid in (ONE, TWO, THREE):
        mine = [(*one.centre_lps_mm, one.probability) for one in FOUND if one.series_uid == uid]
        files = [lists / f"{name}.csv" for name in ("annotations", "annotations_excluded")]
        known = [luna16_rules.of_scan(luna16_rules.read(file), uid) for file in files]
        scans.append(luna16_rules.judged(mine, *known))
    expected = luna16_rules.sensitivities(scans)
    with (tmp_path / "out" / "froc.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["false_positives_per_scan"]) for row in rows] == luna16_rules.RATES
    assert [float(row["sensitivity"]) for row in rows] == pytest.approx(expected, abs=1e-9)
    record = json.loads((tmp_path / "out" / "froc.json").read_text())
    assert record["cpm"] == pytest.approx(expected.mean(), abs=1e-9)
    assert record["counts"] == {
        **{"scans": 3, "scans_with_nodules": 2, "nodules": 3, "nodules_hit": 3, "candidates": 6},
        **{"false_positives": 2, "candidates_on_excluded": 1, "repeated_hits": 0},
    }
    assert set(record["files_sha256"]) >= {"mine.csv", "annotations.csv", "seriesuids.csv"}
    assert (tmp_path / "out" / "froc.png").stat().st_size > 5000
    assert f"CPM {expected.mean():.4f}" in capsys.readouterr().out


def test_scans_of_a_fold_then_only_these_count(lists, tmp_path):
    (tmp_path / "fold.csv").write_text(f"seriesuid\n{TWO}\n{THREE}\n")
    found = [one for one in FOUND if one.series_uid != ONE]
    froc(
        candidates(tmp_path, found),
        str(lists),
        str(tmp_path / "out"),
        seriesuids=str(tmp_path / "fold.csv"),
    )
    record = json.loads((tmp_path / "out" / "froc.json").read_text())
    assert (record["counts"]["scans"], record["counts"]["nodules"]) == (2, 1)


def test_candidates_of_unknown_series_then_refused_by_name(lists, tmp_path):
    wrong = [*FOUND, *(Candidate(f"9.9.{n}", (0, 0, 0), 0.5) for n in range(5))]
    with pytest.raises(ValueError, match=r"of 5 series .*: 9.9.0, 9.9.1, 9.9.2 and 2 more; "):
        froc(candidates(tmp_path, wrong), str(lists), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_name_that_predict_gives_a_dicom_series_then_its_uid():
    assigned = assign([Candidate(study_name(ONE), (0, 0, 0), 0.5)], [ONE, TWO], "mine.csv")
    assert list(assigned) == [ONE]


def test_name_that_predict_gives_one_of_several_files_then_its_uid_and_two_of_a_scan_refused():
    found = [Candidate(f"{ONE}-0a1b2c3d", (0, 0, 0), 0.5), Candidate(TWO, (0, 0, 0), 0.5)]
    assert list(assign(found, [ONE, TWO], "mine.csv")) == [ONE, TWO]
    with pytest.raises(ValueError, match=f"two studies of the scan {ONE}: "):
        assign([*found, Candidate(ONE, (0, 0, 0), 0.5)], [ONE, TWO], "mine.csv")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("annotations.csv", None, "no annotations.csv"),
        ("seriesuids.csv", None, "no list of scans at"),
        ("seriesuids.csv", "seriesuid\n", "lists no scan"),
        ("annotations.csv", f"{HEADER}{ONE},0,0,north,6\n", "annotations.csv row 2: coordZ"),
        ("annotations.csv", f"{HEADER}{ONE},0,0,0,-6\n", "diameter_mm must be above 0"),
        ("annotations_excluded.csv", f"{HEADER}{ONE},0,0,,6\n", "row 2: coordZ must be a number"),
        ("annotations.csv", f"{HEADER}7.7,0,0,0,6\n", "unknown uid"),
        ("annotations.csv", HEADER, "at least one nodule"),
    ],
)
def test_lists_that_cannot_be_trusted_then_refused(lists, tmp_path, name, content, reason):
    (lists / name).unlink()
    if content is not None:
        (lists / name).write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        froc(candidates(tmp_path, []), str(lists), str(tmp_path / "out"))


def test_no_file_of_candidates_then_said(lists, tmp_path):
    with pytest.raises(FileNotFoundError, match="candidates: no such file"):
        froc(str(tmp_path / "none.csv"), str(lists), str(tmp_path / "out"))


def test_no_list_of_excluded_findings_then_noted_and_their_candidates_false(
    lists, tmp_path, capsys
):
    (lists / "annotations_excluded.csv").unlink()
    froc(candidates(tmp_path), str(lists), str(tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "froc.json").read_text())
    assert record["counts"]["false_positives"] == 3
    assert "no annotations_excluded.csv" in record["notes"][0]
    assert "note: no annotations_excluded.csv" in capsys.readouterr().out


def test_duplicate_nodule_then_counted_once_and_noted(lists):
    with (lists / "annotations.csv").open("a") as file:
        file.write(f"{ONE},0,0,0,6\n")
    reference = read_reference(lists, lists / "seriesuids.csv")
    assert len(reference.nodules[ONE]) == 2
    assert "duplicate row" in reference.notes[0]


@pytest.mark.real
def test_official_lists_then_888_scans_and_1186_nodules(real_data):
    folder = real_data / "luna16"
    reference = read_reference(folder, folder / "seriesuids.csv")
    assert len(reference.series) == 888
    assert sum(map(len, reference.nodules.values())) == 1186
    assert sum(map(len, reference.excluded.values())) == 35192
    assert not reference.notes
