import json

import pytest

from scripts.bundle.training_scans import ids_of
from scripts.datasets.candidates import Candidate, write_candidates
from scripts.datasets.datalist import load_datalist
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.study_names import study_name
from scripts.preparation.candidates_command import candidates


@pytest.fixture
def found(prepared, tmp_path):
    """Two candidates of each scan: on its nodule, and on nothing."""
    listed = []
    for section in PARTITIONS:
        for volume in load_datalist(prepared / "datalist.json", f"volumes/{section}"):
            (nodule,) = volume["nodules"]
            x, y, z = nodule["centre_lps_mm"]
            listed.append(Candidate(volume["series_uid"], (x, y, z), 0.9))
            listed.append(Candidate(volume["series_uid"], (x, y, z + 20), 0.4))
    write_candidates(tmp_path / "candidates.csv", listed)
    return tmp_path / "candidates.csv"


def run(prepared, found, output, **options):
    candidates(str(prepared), str(found), str(output), **{"size": 32, "negatives": 2, **options})
    return json.loads((output / "datalist.json").read_text())


def test_prepared_set_then_every_patient_stays_in_its_partition(prepared, found, tmp_path, capsys):
    content = run(prepared, found, tmp_path / "crops")
    original = json.loads((prepared / "datalist.json").read_text())["volumes"]
    for section in PARTITIONS:
        known = {tuple(ids_of(sample)) for sample in content[section]}
        assert known == {tuple(ids_of(volume)) for volume in original[section]}
        assert all(len(ids) == 2 for ids in known)  # the UID, and the voxels
    printed = capsys.readouterr().out
    assert "training: 2 candidates on nodules, 2 annotated nodules; 2 false" in printed
    assert "test: 1 candidates on nodules, 0 annotated nodules; 1 false candidates, 0" in printed
    assert content["provenance"]["split"]["kind"] == "patient"
    (first, *_) = load_datalist(tmp_path / "crops" / "datalist.json", "training")
    assert first["origin"] == "candidate"


def test_scan_that_cannot_be_read_then_left_out_by_name_and_exit_code(prepared, found, tmp_path):
    uid = load_datalist(prepared / "datalist.json", "volumes/test")[0]["series_uid"]
    outside = [Candidate(uid, (900.0, 0.0, 0.0), 0.5)]
    write_candidates(tmp_path / "more.csv", outside)
    with pytest.raises(SystemExit) as caught:
        run(prepared, f"{found},{tmp_path / 'more.csv'}", tmp_path / "crops")
    assert caught.value.code == 1
    content = json.loads((tmp_path / "crops" / "datalist.json").read_text())
    assert content["provenance"]["scans_left_out"] == [uid]
    assert content["training"]


def test_many_candidates_then_the_most_probable_of_each_scan(prepared, found, tmp_path):
    content = run(prepared, found, tmp_path / "crops", most=1)
    of_scans = [s for section in PARTITIONS for s in content[section] if s["confidence"]]
    assert [sample["confidence"] for sample in of_scans] == [0.9] * 4


def test_candidates_of_other_scans_only_then_refused(prepared, tmp_path):
    write_candidates(tmp_path / "other.csv", [Candidate("9.9", (0.0, 0.0, 0.0), 0.5)])
    with pytest.raises(ValueError, match="none of the 4 prepared scans .* 1 series, such as 9.9"):
        run(prepared, tmp_path / "other.csv", tmp_path / "crops")


def test_other_and_missing_series_then_reported(prepared, found, tmp_path, capsys):
    lines = found.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("1.2,")]
    found.write_text("\n".join([*kept, "9.9,0,0,0,0.5"]))
    run(prepared, found, tmp_path / "crops")
    printed = capsys.readouterr().out
    assert "not used: candidates of 1 other series, such as 9.9" in printed
    assert "1 of 4 scans have no candidate (or were not predicted), such as 1.2" in printed


def test_output_with_another_data_set_then_refused(prepared, found):
    with pytest.raises(ValueError, match="holds prepared data of luna16"):
        run(prepared, found, prepared)


def test_scans_by_the_names_that_predict_gives_them_then_the_same_crops(prepared, found, tmp_path):
    expected = run(prepared, found, tmp_path / "crops")
    lines = found.read_text().splitlines()
    named = [",".join([study_name(uid), *rest]) for uid, *rest in (x.split(",") for x in lines[1:])]
    found.write_text("\n".join([lines[0], *named]))
    content = run(prepared, found, tmp_path / "again")
    assert [content[section] for section in PARTITIONS] == [expected[s] for s in PARTITIONS]
