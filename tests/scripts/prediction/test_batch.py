"""Many studies: kept, resumed, side by side, over several processes; bad ones beside good ones."""

import errno
import json
import multiprocessing
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from scripts.prediction import batch
from scripts.prediction.batch import Batch, Share, lines_of, refuse_foreign
from scripts.prediction.measures import statistics
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.inventory import VOLUME_FILE, Inventory, Remark, Source
from scripts.prediction.study_task import FAILED, KEPT, PREDICTED, Outcome
from scripts.storage.locks import LOCK
from tests.scripts.prediction.measures.test_suspicion import write
from tests.scripts.prediction.running import say, summary_of
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import (
    LUNG,
    NODULES,
    ROOT,
    bright_chest,
    bytes_below,
    one_convolution,
    options_of,
    write_nifti,
    write_series,
)
from tests.scripts.storage.holding import held_by_another

pytestmark = pytest.mark.usefixtures("_at_the_root", "_fresh_model")


def test_same_command_again_then_kept_and_with_another_threshold_made_anew(lung_options, tmp_path):
    write_nifti(tmp_path / "in" / "scan.nii.gz", bright_chest())
    asked = (lung_options, tmp_path / "in", tmp_path / "out", "--products", "mask")
    assert say(*asked) == 0
    first = bytes_below(tmp_path / "out" / "scan")
    assert say(*asked) == 0
    assert summary_of(tmp_path / "out")["counts"]["already there"] == 1
    assert bytes_below(tmp_path / "out" / "scan") == first
    assert say(*asked, "--threshold", "0.3") == 0
    assert summary_of(tmp_path / "out")["counts"]["predicted"] == 1
    assert (tmp_path / "out" / "scan" / "mask.nii.gz").unlink() is None
    assert say(*asked, "--threshold", "0.3") == 0
    assert summary_of(tmp_path / "out")["counts"]["predicted"] == 1


def test_two_jobs_then_as_one(liver_options, tmp_path):
    for name in ("a", "b", "c"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", abdomen())
    for jobs in ("1", "2"):
        given = ("--products", "mask,statistics", "--jobs", jobs)
        assert say(liver_options, tmp_path / "in", tmp_path / jobs, *given) == 0
    ones, twos = (bytes_below(tmp_path / jobs) for jobs in ("1", "2"))
    same = [name for name in ones if name.endswith((".nii.gz", "statistics.csv", "index.html"))]
    assert len(same) == 7
    for name in same:
        assert ones[name] == twos[name]


def test_study_added_later_then_candidates_of_all_in_one_file(lung_options, tmp_path):
    for count, name in enumerate(("1.2.3", "1.2.4"), start=1):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", bright_chest(nodules=count))
        given = (lung_options, tmp_path / "in", tmp_path / "out", "--products", "candidates")
        assert say(*given) == 0
    _, *rows = (tmp_path / "out" / "candidates.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["1.2.3", "1.2.4", "1.2.4"]
    assert say(lung_options, tmp_path / "in", tmp_path / "out", "--products", "mask") == 0
    assert not (tmp_path / "out" / "candidates.csv").exists()


def test_suspicion_then_in_the_measurements_and_the_manifest_by_name_only(lung_options, tmp_path):
    write_nifti(tmp_path / "in" / "a.nii.gz", bright_chest())
    classifier = write(tmp_path / "secret" / "suspicion.json", scans=("a",))
    output = tmp_path / "out"
    assert say(lung_options, tmp_path / "in", output, "--suspicion", str(classifier)) == 0
    statistics = json.loads((output / "a" / "statistics.json").read_text())
    assert all(0 <= one["suspicion"] <= 1 for one in statistics["lesions"])
    manifest = (output / "a" / "manifest.json").read_text()
    assert "the suspicion classifier was trained on this scan" in manifest
    assert "secret" not in manifest
    assert "suspicion.json" in manifest
    assert "no diagnosis" in (output / "a" / "report.html").read_text()


def test_suspicion_of_organs_then_refused_before_anything_is_read(liver_options, tmp_path, capsys):
    write_nifti(tmp_path / "in" / "a.nii.gz", abdomen())
    classifier = write(tmp_path / "suspicion.json")
    found = say(liver_options, tmp_path / "in", tmp_path / "out", "--suspicion", str(classifier))
    assert found == 2
    assert "suspicion: needs a bundle that segments nodules, got one for" in capsys.readouterr().err


def test_candidates_of_organs_then_not_written(liver_options, tmp_path):
    write_nifti(tmp_path / "in" / "scan.nii.gz", abdomen())
    assert (
        say(liver_options, tmp_path / "in", tmp_path / "out", "--products", "mask,candidates") == 0
    )
    assert not list((tmp_path / "out").rglob("candidates.csv"))


def truncated(folder):
    file = write_series(folder, abdomen(), series="cut")[0]
    file.write_bytes(file.read_bytes()[:-100])


def mixed(folder):
    write_series(folder, abdomen(), series="both")
    for number, file in enumerate(write_series(folder / "x", bright_chest(), series="both")):
        file.rename(folder / f"other-{file.name}") if number < 3 else file.unlink()


def bomb(folder):
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image_0", bytes(70 << 20))


BAD = {
    "empty folder": (lambda folder: None, "nothing to read: expected DICOM files"),
    "one slice": (
        lambda folder: [file.unlink() for file in write_series(folder, abdomen())[1:]],
        "follow a bolus: a volume needs at least 2",
    ),
    "a text file named .dcm": (
        lambda folder: (folder / "x.dcm").write_text("text"),
        "x.dcm: has the suffix of a DICOM file but is not one",
    ),
    "truncated pixel data": (truncated, "cut-image_0.dcm: truncated"),
    "two series mixed": (mixed, "must be the same in every slice"),
    "wrong modality": (
        lambda folder: write_series(folder, abdomen(), Modality="MR"),
        "24 files, modality MR, not CT",
    ),
    "unreadable zip": (
        lambda folder: (folder / "x.zip").write_bytes(b"PK"),
        "is not a complete zip",
    ),
    "zip bomb": (bomb, "must unpack to at most 200 times its size"),
    "cut NIfTI": (
        lambda folder: (folder / "x.nii.gz").write_bytes(b"\x1f\x8b\x08"),
        "x.nii.gz",
    ),
}


@pytest.mark.parametrize(("spoil", "line"), BAD.values(), ids=BAD)
def test_bad_input_then_one_line_and_nothing_written(liver_options, tmp_path, capsys, spoil, line):
    (tmp_path / "in").mkdir()
    spoil(tmp_path / "in")
    output = tmp_path / "out"
    assert say(liver_options, tmp_path / "in", output, "--products", "mask") == 1
    printed = capsys.readouterr()
    told = [s for s in (printed.out + printed.err).splitlines() if line in s]
    assert len(told) == 1, printed
    assert "Traceback" not in printed.out + printed.err
    assert [path.name for path in output.iterdir()] == ["summary.json"]


def test_bad_inputs_beside_good_ones_then_the_good_ones_done(liver_options, tmp_path):
    for name, (spoil, _) in BAD.items():
        (tmp_path / "in" / name).mkdir(parents=True)
        spoil(tmp_path / "in" / name)
    write_nifti(tmp_path / "in" / "good.nii.gz", abdomen())
    write_series(tmp_path / "in" / "series", abdomen())
    assert say(liver_options, tmp_path / "in", tmp_path / "out", "--products", "mask") == 1
    counts = summary_of(tmp_path / "out")["counts"]
    assert counts == {"predicted": 2, "already there": 0, "failed": 3, "refused": 3}
    folders = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert len(folders) == 2
    assert all((folder / "mask.nii.gz").is_file() for folder in folders)


def test_disk_full_then_one_line_what_is_done_kept_and_the_same_command_goes_on(
    liver_options, tmp_path, monkeypatch, capsys
):
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", abdomen())
    asked = (liver_options, tmp_path / "in", tmp_path / "out", "--products", "mask,statistics")
    written = statistics.write_statistics

    def full(figures, folder):
        if figures["study"] == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        written(figures, folder)

    with monkeypatch.context() as patch:
        patch.setattr(statistics, "write_statistics", full)
        assert say(*asked) == 2
    error = capsys.readouterr().err
    assert re.search(r"error: output: cannot write into .*No space left.*continues", error)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
    assert say(*asked) == 0
    assert summary_of(tmp_path / "out")["counts"]["already there"] == 1


def test_somebody_elses_folder_then_refused_untouched(liver_options, tmp_path, capsys):
    write_nifti(tmp_path / "in" / "a.nii.gz", abdomen())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert say(liver_options, tmp_path / "in", tmp_path / "out") == 2
    assert "holds thesis.txt, which predict did not write" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_killed_run_then_its_leftovers_removed(liver_options, tmp_path):
    write_nifti(tmp_path / "in" / "a.nii.gz", abdomen())
    left = tmp_path / "out" / ".part-0a1b2c3d-a"
    left.mkdir(parents=True)
    (left / "mask.nii.gz").touch()
    assert say(liver_options, tmp_path / "in", tmp_path / "out", "--products", "mask") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "summary.json"}


def torchrun(options, source, output):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words += ["-m", "scripts", "predict", "--bundle", str(options.bundle), "--source", str(source)]
    words += ["--output", str(output), "--config_file", options.config_files[0], "--device", "cpu"]
    words += ["--ckpt_path", options.checkpoints[0], "--products", "mask", "--engine", "torch"]
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("bad", [False, True], ids=["all good", "one bad"])
def test_two_processes_then_every_study_once_one_summary_and_the_exit_code(
    liver_options, tmp_path, bad
):
    for name in ("a", "b", "c"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", abdomen())
    if bad:
        (tmp_path / "in" / "b.nii.gz").write_bytes(b"\x1f\x8b\x08")  # the second process'
    done = torchrun(liver_options, tmp_path / "in", tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    statuses = {study["study"]: study["status"] for study in summary["studies"]}
    expected = {"a": "predicted", "b": "failed" if bad else "predicted", "c": "predicted"}
    assert statuses == expected, done.stderr[-3000:]
    assert bool(done.returncode) is bad
    assert summary["provenance"]["processes"] == 2
    masks = {path.parent.name for path in (tmp_path / "out").glob("*/mask.nii.gz")}
    assert masks == {name for name, status in expected.items() if status == "predicted"}


def outcome(study, status, **others):
    return Outcome(study, status, 1.0, **others)


FOUND = Inventory(
    skipped=[Remark("/in/a/x.dcm", "no CT"), Remark("/in/a/y.dcm", "no CT")],
    refused=[Remark("/in/z", "cut short")],
)


def test_batch_then_counts_what_became_of_every_study():
    batch = Batch(FOUND, (outcome("a", PREDICTED), outcome("b", KEPT), outcome("c", FAILED)))
    assert batch.counts() == {PREDICTED: 1, KEPT: 1, FAILED: 1}
    assert batch.failures == 2
    assert batch.line() == "1 predicted, 1 already there, 1 failed, 1 refused, 2 skipped (no CT)"


def test_lines_for_the_screen_then_one_a_folder_and_reason():
    assert list(lines_of(FOUND)) == ["skipped: /in/a: 2 files, no CT", "refused: /in/z: cut short"]


def test_files_of_one_name_then_the_screen_says_which_has_which_hash(tmp_path):
    for place in ("a/image.nii.gz", "b/image.nii.gz", "b/other.nii.gz"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    found = find_sources(tmp_path)
    first, second = (one.name for one in found.sources if one.name.startswith("image-"))
    assert list(lines_of(found)) == [
        f"named {first}: {tmp_path / 'a/image.nii.gz'}",
        f"named {second}: {tmp_path / 'b/image.nii.gz'}",
    ]


def test_share_then_of_torchruns_variables_and_all_without(monkeypatch):
    assert Share.of_torchrun() == Share(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    share = Share.of_torchrun()
    assert (share.rank, share.world, share.is_first) == (2, 3, False)


def test_folder_of_another_program_then_refused_and_one_of_predict_not(tmp_path):
    (tmp_path / "summary.json").touch()
    (tmp_path / ".part-1-a").mkdir()
    refuse_foreign(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "manifest.json").write_text('{"made_by": "another"}')
    with pytest.raises(ValueError, match="holds a, which predict did not write"):
        refuse_foreign(tmp_path)


def test_output_that_another_process_writes_into_then_one_line_and_nothing_touched(
    liver_options, tmp_path, capsys
):
    write_nifti(tmp_path / "in" / "a.nii.gz", abdomen())
    part = tmp_path / "out" / ".part-0a1b2c3d-a"
    part.mkdir(parents=True)
    with held_by_another(tmp_path / "out" / LOCK) as holder:
        assert say(liver_options, tmp_path / "in", tmp_path / "out") == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert f"process {holder.pid} on " in line
        assert part.is_dir()
    assert say(liver_options, tmp_path / "in", tmp_path / "out", "--products", "mask") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "summary.json"}


def test_many_remarks_of_one_kind_then_one_line():
    skipped = [Remark(f"/in/{k}.zip/a", "a copy") for k in range(30)]
    refused = [Remark(f"/in/{k}", "not one") for k in range(44)]
    told = list(lines_of(Inventory(skipped=skipped, refused=refused)))
    assert told[0] == "skipped: in 30 folders: 30 files, a copy"
    assert told[1].startswith("refused: /in/0: not one (likewise 1, 2, 3")
    assert told[1].endswith(", 43)")
    assert len(told) == 2


def test_folder_whose_manifest_is_damaged_then_made_anew(liver_options, tmp_path):
    write_nifti(tmp_path / "in" / "a.nii.gz", abdomen())
    asked = (liver_options, tmp_path / "in", tmp_path / "out", "--products", "mask")
    assert say(*asked) == 0
    for content in ("", "[]", '{"made_by": "python -m scr'):
        (tmp_path / "out" / "a" / "manifest.json").write_text(content)
        (tmp_path / "out" / "summary.json").write_text(content)
        assert say(*asked) == 0
        assert summary_of(tmp_path / "out")["counts"]["predicted"] == 1


def test_study_whose_process_died_then_failed_with_the_reason_and_its_leftovers_removed(
    liver_options, tmp_path, capsys, monkeypatch
):
    def dying(function, tasks, jobs, *, lost):
        for task in tasks:
            for name in (".part-0123abcd-b", ".old-0123abcd-b", ".part-0123abcd-ab", "b"):
                (task.output / name).mkdir()
            yield lost(task, "its process crashed")

    found = Inventory([Source("b", VOLUME_FILE, "in/b.nii", ())])
    monkeypatch.setattr(batch, "find_sources", lambda *_, **__: found)
    monkeypatch.setattr(batch, "work_through", dying)
    result = batch.predict_all(tmp_path / "in", tmp_path / "out", liver_options, jobs=2)
    assert result.failures == 1
    assert [(each.study, each.reason) for each in result.outcomes] == [("b", "its process crashed")]
    assert "failed: in/b.nii: its process crashed" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        ".part-0123abcd-ab",
        "b",
        "summary.json",
    }


def test_weights_trained_anew_within_one_program_then_the_new_ones_used(tmp_path):
    write_nifti(tmp_path / "in" / "a.nii.gz", bright_chest())
    options = replace(options_of(LUNG, tmp_path / "models", NODULES), products=("mask",))
    found = []
    for _ in range(2):
        (outcome,) = batch.predict_all(tmp_path / "in", tmp_path / "out", options).outcomes
        found.append((outcome.status, outcome.segments))
        one_convolution(tmp_path / "models", LUNG.name, ((-85.0, 50.0),))
    assert found == [(PREDICTED, 3), (PREDICTED, 0)]


def test_process_that_may_start_no_others_then_all_done_in_it(liver_options, tmp_path, monkeypatch):
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", abdomen())
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    options = replace(liver_options, products=("mask",))
    result = batch.predict_all(tmp_path / "in", tmp_path / "out", options)
    assert [each.status for each in result.outcomes] == [PREDICTED, PREDICTED]
