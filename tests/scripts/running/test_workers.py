import os
import re
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from scripts.running.workers import Companion, ProcessEndedError, peak_memory_mb, work_through
from scripts.storage.shipped import ROOT


def process_of(task: int) -> tuple[int, int]:
    return task, os.getpid()


def fail_at_two(task: int) -> int:
    if task == 2:
        raise ValueError("task 2")
    return task


def write_late(path: Path) -> None:
    time.sleep(0.2)
    path.write_text("written")


def die_at(task: tuple[int, int]) -> int:
    number, how = task
    if how > 0:
        os.kill(os.getpid(), how)
    if how < 0:
        os._exit(-how)
    return number


def die_once(path: str) -> str:
    """Kill its process unless the file exists, which it makes."""
    if not os.path.exists(path):
        open(path, "x").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return path


def die_in_answering(size: int) -> bytes:
    """Kill its process when half of its result is sent."""

    def send_half(self: Connection, content: bytes, write: object = None) -> None:
        os.write(self.fileno(), bytes(content)[: size // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Connection._send = send_half  # type: ignore[attr-defined]
    return bytes(size)


EARLY = """
import os, sys
from multiprocessing import forkserver
from scripts.running.workers import start_early, work_through
from tests.scripts.running.test_workers import loaded

if __name__ == "__main__":
    start_early("tests.scripts.running.test_workers")
    server = forkserver._forkserver._forkserver_pid
    print("monai" in sys.modules)
    for parent, monai, slow in work_through(loaded, [1, 2], jobs=2):
        print(parent == server, monai, slow)
"""


def loaded(task: int) -> tuple[int, bool, bool]:
    return os.getppid(), "monai" in sys.modules, "mlflow" in sys.modules


def test_start_early_then_workers_come_from_a_process_that_has_imported(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(EARLY)
    ran = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.splitlines() == ["False", "True True False", "True True False"], ran.stderr


def test_one_job_then_in_this_process():
    assert list(work_through(process_of, [1, 2], 1)) == [(1, os.getpid()), (2, os.getpid())]


def test_two_jobs_then_every_outcome_from_other_processes():
    outcomes = dict(work_through(process_of, [1, 2, 3], 2))
    assert set(outcomes) == {1, 2, 3}
    assert os.getpid() not in outcomes.values()


@pytest.mark.parametrize("jobs", [1, 2])
def test_function_that_raises_then_the_run_stops(jobs):
    with pytest.raises(ValueError, match="task 2"):
        list(work_through(fail_at_two, [1, 2, 3], jobs))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (signal.SIGKILL, r"was killed \(SIGKILL\), probably for lack of memory"),
        (signal.SIGSEGV, r"crashed \(SIGSEGV\)"),
        (-3, "ended with exit code 3"),
    ],
    ids=["killed", "crashed", "ended"],
)
def test_process_that_dies_then_its_task_reported_and_all_others_done(how, reason):
    tasks = [(number, how if number in (1, 4) else 0) for number in range(6)]
    outcomes = list(work_through(die_at, tasks, 2, lost=lambda task, why: (task[0], why)))
    lost = dict(one for one in outcomes if isinstance(one, tuple))
    assert sorted(lost) == [1, 4]
    assert sorted(one for one in outcomes if isinstance(one, int)) == [0, 2, 3, 5]
    assert re.fullmatch(f"its process {reason}, also when it was repeated alone", lost[1])


def test_process_that_dies_when_nothing_reports_it_then_the_run_stops_with_the_reason():
    with pytest.raises(OSError, match=r"a process was killed \(SIGKILL\).* also when it ran alone"):
        list(work_through(die_at, [(1, signal.SIGKILL), (2, 0)], 2))


def test_process_killed_once_as_for_lack_of_memory_then_its_task_is_done(tmp_path):
    tasks = [str(tmp_path / "killed")] * 3
    assert list(work_through(die_once, tasks, 2)) == tasks


def test_companion_when_its_process_dies_then_reason_named_and_replaced():
    with Companion() as companion:
        companion.begin(process_of, 1)
        assert companion.is_busy
        first = companion.result()[1]
        assert not companion.is_busy
        companion.begin(process_of, 2)
        assert companion.result() == (2, first)
        assert first != os.getpid()
        companion.begin(die_at, (3, signal.SIGKILL))
        with pytest.raises(ProcessEndedError, match=r"^was killed \(SIGKILL\)"):
            companion.result()
        companion.begin(fail_at_two, 2)
        with pytest.raises(ValueError, match="task 2"):
            companion.result()


def test_companion_that_dies_once_then_its_work_is_repeated(tmp_path):
    with Companion() as companion:
        companion.begin(die_once, str(tmp_path / "killed"))
        assert companion.result() == str(tmp_path / "killed")


def test_companion_that_dies_with_nothing_to_do_then_replaced():
    with Companion() as companion:
        companion.begin(process_of, 1)
        first = companion.result()[1]
        (process,) = companion._pool._processes.values()
        process.kill()
        process.join()
        time.sleep(0.2)  # until the pool has noticed; it may be asked before that as well
        for task in (2, 3):
            companion.begin(process_of, task)
            number, later = companion.result()
            assert (number, later == first) == (task, False)


def test_companion_that_dies_while_it_answers_then_reported_instead_of_waited_for():
    program = (
        "from scripts.running.workers import Companion\n"
        f"from {__name__} import die_in_answering\n"
        "with Companion() as companion:\n"
        "    companion.begin(die_in_answering, 30_000)\n"
        "    companion.result()\n"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "ProcessEndedError: was killed (SIGKILL)" in done.stderr


def test_script_without_a_guard_or_from_standard_input_then_not_run_in_each_process(tmp_path):
    program = (
        "from scripts.running.workers import Companion\n"
        "print('begun', flush=True)\n"
        "with Companion() as companion:\n"
        "    companion.begin(abs, -1)\n"
        "    print(companion.result(), __file__)\n"
    )
    (tmp_path / "script.py").write_text(program)
    for name, given in ((str(tmp_path / "script.py"), ""), ("-", program)):
        done = subprocess.run(
            [sys.executable, name],
            input=given,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.splitlines()
        assert (first, second[:2]) == ("begun", "1 ")


def test_companion_when_left_while_it_works_then_the_work_is_finished(tmp_path):
    with Companion() as companion:
        companion.begin(write_late, tmp_path / "late")
    assert (tmp_path / "late").read_text() == "written"
    with pytest.raises(RuntimeError, match="begin must be called"):
        Companion().result()


def test_nothing_to_do_then_nothing():
    assert list(work_through(process_of, [], 2)) == []


def test_peak_then_counts_what_was_held_and_let_go() -> None:
    begin = "import numpy as np; from scripts.running.workers import peak_memory_mb; "
    programs = [f"{begin}{hold}print(peak_memory_mb())" for hold in ("", "np.ones(5_000_000); ")]
    plain, held = (float(subprocess.check_output([sys.executable, "-c", p])) for p in programs)
    assert held - plain == pytest.approx(40_000_000 / (1 << 20), abs=8)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of other processes")
def test_peak_of_a_process_by_its_number_then_as_it_tells_itself() -> None:
    assert np.isclose(peak_memory_mb(os.getpid()), peak_memory_mb(), atol=5)


def test_process_that_has_ended_then_refused() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(ProcessLookupError, match=f"no memory of process {ended.pid}"):
        peak_memory_mb(ended.pid)
