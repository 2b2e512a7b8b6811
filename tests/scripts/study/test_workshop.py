import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.storage.locks import locked
from scripts.study.processes import Outcome, environment, run_command
from scripts.study.workshop import Task, TaskError, Workshop, reason_of


def counting(code="pass"):
    return Task("trainings", "count", ("-c", code), resumable=False)


def append(tmp_path, name):
    return f"open({str(tmp_path / name)!r}, 'a').write('x')"


def test_step_when_done_then_not_run_again_and_its_record_has_its_cost(tmp_path):
    task = counting(append(tmp_path, "runs") + "; bytearray(50_000_000)")
    shop = Workshop(tmp_path / "work")
    shop.do(task)
    Workshop(tmp_path / "work").do(task)
    assert (tmp_path / "runs").read_text() == "x"
    record = shop.record(task)
    assert record["key"] == task.key
    assert record["seconds"] > 0
    assert 0 < record["processor_seconds"] < 5
    assert record["peak_mb"] > 50


def test_step_of_another_making_then_another_folder(tmp_path):
    first, second = counting("pass"), counting("1")
    assert first.folder(tmp_path) != second.folder(tmp_path)


def test_record_with_another_key_then_not_taken_for_done(tmp_path):
    task, shop = counting(), Workshop(tmp_path)
    shop.do(task)
    record = task.folder(tmp_path) / "done.json"
    record.write_text(record.read_text().replace(task.key, "0" * 64))
    assert shop.record(task) is None


def test_failing_step_then_reason_reported_kept_and_tried_again_the_next_time(tmp_path):
    task = counting(append(tmp_path, "runs") + "; raise ValueError('no such rate')")
    shop = Workshop(tmp_path / "work")
    for _ in range(2):
        with pytest.raises(TaskError, match="ValueError: no such rate"):
            shop.do(task)
    assert (tmp_path / "runs").read_text() == "x"  # not twice in one run
    assert "no such rate" in Workshop(tmp_path / "work").failure(task)
    with pytest.raises(TaskError):
        Workshop(tmp_path / "work").do(task)
    assert (tmp_path / "runs").read_text() == "xx"


def test_step_whose_need_fails_then_not_run(tmp_path):
    need = counting("1 / 0")
    task = Task("evaluations", "after", ("-c", append(tmp_path, "runs")), (need,))
    with pytest.raises(TaskError, match="ZeroDivisionError"):
        Workshop(tmp_path / "work").do(task)
    assert not (tmp_path / "runs").exists()
    assert "ZeroDivisionError" in Workshop(tmp_path / "work").failure(task)


def test_training_stopped_with_a_checkpoint_then_resumed_else_begun_anew(tmp_path):
    task = Task("trainings", "t", ("-c", "pass"), resumable=True)
    assert task.command(tmp_path)[-2:] == ["--overwrite", "true"]
    folder = task.out(tmp_path) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "checkpoint_00001.pt").touch()
    assert task.command(tmp_path)[-2:] == ["--resume", "true"]


def test_procedure_then_may_replace_what_is_left_of_it_and_keeps_its_key(tmp_path):
    words = ("-c", "pass")
    task = Task("evaluations", "t", words, replaces=True)
    assert task.command(tmp_path) == [*words, "--overwrite", "true"]
    assert task.key == Task("evaluations", "t", words).key


@pytest.fixture
def free_mb(monkeypatch):
    """Free space on the disk, in MB, as the tests change it."""
    room = {"free": 500}
    monkeypatch.setattr(
        shutil, "disk_usage", lambda folder: SimpleNamespace(free=room["free"] * 2**20)
    )
    return room


def full(words, log, lock):
    with log.open("a") as file:
        file.write("OSError: [Errno 28] No space left on device\n")
    return Outcome(1, 0.1, 1.0, 0.1)


def launches(task, work):
    """How often a step that fills the disk was begun."""
    return len((task.folder(work) / "log.txt").read_text().splitlines())


def test_full_disk_then_reported_and_tried_again_where_there_is_more_room(tmp_path, free_mb):
    task, shop = counting(), Workshop(tmp_path, full)
    with pytest.raises(TaskError, match="is full; make room and repeat the command"):
        shop.do(task)
    assert "is full" in shop.failure(task)
    assert Workshop(tmp_path).failure(task) is None  # of an earlier run it says nothing
    shop.launch = run_command
    free_mb["free"] += 300
    shop.do(task)
    assert shop.failure(task) is None


def test_shared_step_that_fills_the_disk_then_begun_once_until_there_is_more_room(
    tmp_path, free_mb
):
    need = Task("pretraining", "shared", ("-c", "pass"))
    first, second = (Task("trainings", name, ("-c", name), (need,)) for name in ("1", "2"))
    shop = Workshop(tmp_path, full)
    for task in (first, second, first):  # 500 MB are free again after each
        with pytest.raises(TaskError, match="pretraining: shared: the disk"):
            shop.do(task)
    assert "pretraining: shared: the disk" in shop.failure(second)
    assert launches(need, tmp_path) == 1
    free_mb["free"] += 300
    with pytest.raises(TaskError, match="is full"):
        shop.do(second)
    assert launches(need, tmp_path) == 2
    with pytest.raises(TaskError, match="is full"):  # a new run of the command has no record of it
        Workshop(tmp_path, full).do(first)
    assert launches(need, tmp_path) == 3


def test_hardly_any_room_then_the_step_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_LEAST_FREE_MB", str(10**12))
    task, shop = counting(), Workshop(tmp_path)
    with pytest.raises(TaskError, match="is full"):
        shop.do(task)
    assert not (task.folder(tmp_path) / "log.txt").exists()


def test_places_then_put_into_the_words(tmp_path):
    need = Task("prepared", "p", given=tmp_path / "given")
    task = Task("evaluations", "e", ("--data", "<need0>/x", "--to", "<out>"), (need,))
    out = str(task.folder(tmp_path) / "out")
    assert task.command(tmp_path) == ["--data", f"{tmp_path}/given/x", "--to", out]


def test_environment_then_a_command_is_not_part_of_torchruns_processes():
    own = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "4,6"}
    assert environment(own) == {"CUDA_VISIBLE_DEVICES": "6"}
    assert environment({"CUDA_VISIBLE_DEVICES": "4,6"}) == {"CUDA_VISIBLE_DEVICES": "4,6"}


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        (["KeyError: 'x'", "RuntimeError: Failed to run"], 1, "KeyError: 'x'"),
        (["RuntimeError: Failed to run"], 1, "RuntimeError: Failed to run"),
        (["error: data: no folder"], 2, "error: data: no folder"),
        (["scans: 3", "PROBLEMS: 1, see r.csv", "  b: is a"], 1, "PROBLEMS: 1, see r.csv b: is a"),
        ([], 3, "exit code 3"),
        ([], -9, "killed by signal 9"),
    ],
)
def test_reason_then_the_line_that_says_what_went_wrong(lines, code, said):
    assert reason_of(lines, code).startswith(said)


KILLED = """
import sys
from pathlib import Path
from scripts.storage.locks import locked
from scripts.study.processes import run_command
with locked(Path(sys.argv[1]) / ".lock") as lock:
    run_command(["-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"],
                Path(sys.argv[1]) / "log", lock)
"""


def ended(process):
    """Whether a process ends within seconds; one that nobody asked about its end counts too."""
    stat = Path("/proc", str(process), "stat")
    for _ in range(400):
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
def test_runner_killed_then_its_command_ends_too_and_the_lock_is_free(tmp_path):
    runner = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    deadline = time.monotonic() + 60
    while not (tmp_path / "log").is_file() or not (tmp_path / "log").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int((tmp_path / "log").read_text())
    runner.kill()
    runner.wait()
    with locked(tmp_path / ".lock", wait=True):
        assert ended(child)


def test_command_then_its_exit_code_and_output(tmp_path):
    with locked(tmp_path / ".lock") as lock:
        outcome = run_command(["-c", "print('said'); raise SystemExit(3)"], tmp_path / "log", lock)
    assert outcome.code == 3
    assert (tmp_path / "log").read_text() == "said\n"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "[" * 100_000])
def test_records_damaged_by_hand_then_the_step_runs_again(tmp_path, content):
    task, shop = counting(append(tmp_path, "runs")), Workshop(tmp_path / "work")
    shop.do(task)
    folder = task.folder(tmp_path / "work")
    (folder / "done.json").write_text(content)
    (folder / "failed.json").write_text(content)
    assert shop.record(task) is None
    assert "failed.json is damaged" in shop.failure(task)
    Workshop(tmp_path / "work").do(task)
    assert (tmp_path / "runs").read_text() == "xx"


def test_reason_then_with_the_advice_at_its_end_and_of_a_very_long_line_its_beginning():
    advice = f"ValueError: {'a long path, ' * 30}set it to a file"
    assert reason_of([advice], 1) == advice
    cut = reason_of([f"RuntimeError: {'weight, ' * 800}"], 1)
    assert cut.endswith(" ...")
    assert len(cut) < 620
