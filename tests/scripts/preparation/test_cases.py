import os
import pickle

import numpy as np
import pytest

from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.preparation import cohort as cohort_module
from scripts.preparation.cases import prepare_case
from scripts.preparation.cohort import Request, plan, prepare_all, prepare_cohort
from scripts.preparation.prepare_options import SliceOptions, SplitOptions
from tests.scripts.datasets.luna16.cohort import every_sample, request
from tests.scripts.preparation.made_up import MadeUp, write_boxes


def states(output):
    return {p.parent.name: p.stat().st_mtime_ns for p in output.glob("scans/*/image.npy")}


def test_again_then_finished_scans_are_kept(cohort, tmp_path):
    first = prepare_cohort(request(cohort, tmp_path / "out"))
    before, datalist = states(tmp_path / "out"), every_sample(tmp_path / "out")
    again = prepare_cohort(request(cohort, tmp_path / "out"))
    assert (first.reused, again.reused) == (0, 4)
    assert states(tmp_path / "out") == before
    assert every_sample(tmp_path / "out") == datalist


@pytest.mark.parametrize(
    "changes",
    [
        {"slices": SliceOptions("central", empty_share=0.2)},
        {"slices": SliceOptions("all", neighbours=0, empty_share=0.2)},
        {"slices": SliceOptions("all", empty_share=0.2, seed=1)},
        {"volumes": False},
    ],
    ids=["slices", "neighbours", "seed", "volumes"],
)
def test_again_with_another_option_then_made_anew(cohort, prepared, changes):
    assert prepare_cohort(request(cohort, prepared, **changes)).reused == 0


def test_again_with_another_split_then_nothing_is_read_again(cohort, prepared):
    report = prepare_cohort(request(cohort, prepared, split=SplitOptions(seed=3)))
    assert report.reused == 4


def test_again_after_one_scan_changed_then_only_that_one(cohort, prepared):
    before = states(prepared)
    cohort.rows[1] = cohort.rows[1].replace(",9.0", ",10.0")
    cohort.write_rows()
    path = cohort.folder / "subset0" / "1.0.raw"
    times = path.stat()
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as rsync and cp -p set them
    (prepared / "scans" / "1.2" / "lung.npy").unlink()
    report = prepare_cohort(request(cohort, prepared))
    assert report.reused == 1
    assert {uid for uid, time in states(prepared).items() if time == before[uid]} == {"1.3"}


def test_again_after_files_were_copied_then_known_by_their_content(cohort, prepared):
    for path in (cohort.folder / "subset0").iterdir():
        path.write_bytes(path.read_bytes())
    assert prepare_cohort(request(cohort, prepared)).reused == 4


HU_CHANGES = {
    "HU + 1024": lambda hu: hu + 1024,
    "a picture": lambda hu: np.clip(hu + 200, 0, 255),
    "HU / 10": lambda hu: np.rint(hu / 10),
}


@pytest.mark.parametrize("change", HU_CHANGES.values(), ids=HU_CHANGES)
def test_scan_when_not_in_hu_then_left_out_unless_known_to_be_right(cohort, tmp_path, change):
    path = cohort.folder / "subset0" / "1.0.raw"
    hu = np.fromfile(path, np.int16)
    change(hu).astype(np.int16).tofile(path)
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    (problem,) = report.problems
    assert problem.scan_id == "1.0"
    assert str(problem).startswith("1.0: 1.0.mhd: values must be HU, but")
    accepted = prepare_cohort(request(cohort, tmp_path / "out2", check_hu=False))
    assert not accepted.problems
    again = prepare_cohort(request(cohort, tmp_path / "out2"))
    assert again.problems == [problem]


def test_scan_with_values_that_are_no_numbers_then_no_option_is_promised_to_take_it(
    cohort, tmp_path
):
    header = cohort.folder / "subset0" / "1.0.mhd"
    header.write_text(header.read_text().replace("MET_SHORT", "MET_FLOAT"))
    hu = np.fromfile(header.with_suffix(".raw"), np.int16).astype(np.float32)
    hu[0] = np.nan
    hu.tofile(header.with_suffix(".raw"))
    (problem,) = prepare_cohort(request(cohort, tmp_path / "out")).problems
    assert "values must be HU, 16-bit numbers, got nan" in str(problem)
    assert "--check_hu" not in str(problem)


def test_killed_between_two_files_then_the_scan_is_made_anew(cohort, tmp_path, monkeypatch):
    full = prepare_cohort(request(cohort, tmp_path / "whole"))

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("scripts.preparation.cases.nibabel.save", die)
        with pytest.raises(KeyboardInterrupt):
            prepare_cohort(request(cohort, tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("scan.json"))
    assert not list((tmp_path / "out").rglob(".part*"))
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    assert report.reused == 0
    for path in sorted((tmp_path / "whole").rglob("*.npy")):
        other = tmp_path / "out" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes()
    assert report.lists == full.lists


def test_full_disk_then_one_clear_line_and_no_half_file(cohort, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scripts.preparation.cases.np.save", full)
    with pytest.raises(OSError, match=r"cannot write into .*out: No space left.* continues from"):
        prepare_cohort(request(cohort, tmp_path / "out"))
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_array_written_in_part_then_the_disk_is_blamed(cohort, tmp_path, monkeypatch):
    def short(*_):
        raise OSError("1572864 requested and 466816 written")  # as numpy says it

    monkeypatch.setattr("scripts.preparation.cases.np.save", short)
    with pytest.raises(OSError, match=r"the disk is full or out of reach \(1572864 requested"):
        prepare_cohort(request(cohort, tmp_path / "out"))


def test_files_left_by_a_killed_run_then_gone_when_the_scan_is_made(cohort, tmp_path):
    left = [
        tmp_path / "out/scans/1.1/.part-0a-lung.npy",
        tmp_path / "out/volumes/.part-0a-1.1.nii.gz",
    ]
    other = tmp_path / "out/volumes/.part-0-1.10.nii.gz"
    for path in [*left, other]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    prepare_cohort(request(cohort, tmp_path / "out"))
    assert [path.exists() for path in [*left, other]] == [False, False, True]


def test_task_and_outcome_then_travel_to_other_processes(cohort, tmp_path):
    asked = request(cohort, tmp_path / "out")
    for task in plan(asked.data_set.find(cohort.folder), asked):
        travelled = pickle.loads(pickle.dumps(task))
        assert travelled == task
        outcome = prepare_case(travelled)
        assert pickle.loads(pickle.dumps(outcome)) == outcome


@pytest.mark.parametrize(
    "error", [OverflowError("too large"), KeyError("x"), RecursionError(), MemoryError()], ids=str
)
def test_scan_that_fails_in_an_unforeseen_way_then_reported_and_the_others_prepared(
    cohort, tmp_path, monkeypatch, error
):
    read = Luna16.read

    def fail(self, scan):
        if scan.id == "1.1":
            raise error
        return read(self, scan)

    monkeypatch.setattr(Luna16, "read", fail)
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    assert [prepared.scan.id for prepared in report.prepared] == ["1.0", "1.2", "1.3"]
    (problem,) = report.problems
    assert (problem.scan_id, problem.place, problem.left_out) == ("1.1", "1.1.mhd", True)
    assert problem.reason


def test_output_that_cannot_be_written_then_refused_at_once(cohort, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"output: cannot write into .*file.out: Not a directory"):
        prepare_cohort(request(cohort, tmp_path / "file" / "out"))


def test_scan_whose_process_died_then_named_and_the_others_prepared(tmp_path, monkeypatch):
    def dying_at_two(function, tasks, jobs, *, lost):
        for task in tasks:
            yield lost(task, "crashed") if task.scan.id == "two" else function(task)

    monkeypatch.setattr(cohort_module, "work_through", dying_at_two)
    data_set, output = MadeUp(), tmp_path / "out"
    listing = data_set.find(write_boxes(tmp_path / "in"))
    tasks = plan(listing, Request(data_set, tmp_path / "in", output, SliceOptions("all")))
    left = [output / "scans" / "two" / ".part-0a-image.npy", output / "volumes"]
    left[1] /= ".part-0a-two_label.nii.gz"
    for file in left:
        file.parent.mkdir(parents=True)
        file.touch()
    outcomes = {outcome.scan_id: outcome for outcome in prepare_all(tasks, 2)}
    assert str(outcomes["two"].problem) == "two: crashed [scan left out]"
    assert all(outcomes[name].record for name in ("one", "three"))
    assert not any(file.exists() for file in left)
