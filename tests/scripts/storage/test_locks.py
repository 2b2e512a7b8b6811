import os
import signal
import subprocess
import sys

import pytest

from scripts.storage.locks import InUseError, acquire, claimed, locked, release
from tests.scripts.storage.holding import HOLD, held_by_another

HOLD_AND_FORK = """
import multiprocessing, os, sys, time
from pathlib import Path
from scripts.storage.locks import acquire
acquire(Path(sys.argv[1]))
def stay():
    print(os.getpid(), flush=True)
    time.sleep(60)
multiprocessing.get_context("fork").Process(target=stay).start()
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    with held_by_another(tmp_path / ".lock") as process:
        yield process


def test_lock_of_another_process_then_refused_with_its_number_and_command(tmp_path, holder):
    says = rf"process {holder.pid} on .*\(-c .*is writing into {tmp_path}"
    with pytest.raises(InUseError, match=says):
        acquire(tmp_path / ".lock")


def test_lock_of_a_killed_process_then_acquired_and_its_file_removed(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").is_file()
    with locked(tmp_path / ".lock"):
        pass
    assert os.listdir(tmp_path) == []


def test_lock_of_a_killed_process_whose_forked_child_still_runs_then_acquired(tmp_path):
    words = [sys.executable, "-c", HOLD_AND_FORK, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        child = int(holder.stdout.readline())
        holder.kill()
        holder.wait()
        try:
            with locked(tmp_path / ".lock"):
                os.kill(child, 0)  # it runs
        finally:
            os.kill(child, signal.SIGKILL)


def test_lock_acquired_twice_by_a_process_then_held_until_released_twice(tmp_path):
    path = tmp_path / ".lock"
    assert acquire(path) == acquire(path)
    release(path)
    words = [sys.executable, "-c", HOLD, str(path)]
    refused = subprocess.run(words, capture_output=True, text=True, check=False)
    assert f"process {os.getpid()} on " in refused.stderr.splitlines()[-1]
    release(path)
    assert not path.exists()


def test_lock_that_its_holder_removes_while_another_waits_then_the_waiting_one_locks_a_file_that_is_there(  # noqa: E501
    tmp_path, holder, capfd
):
    path = tmp_path / ".lock"
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; rm {path}; kill -9 {holder.pid}"])
    with locked(path, wait=True):
        assert path.is_file()
        assert str(os.getpid()) in path.read_text()
    killer.wait()
    assert "waiting for it" in capfd.readouterr().out


def test_drive_without_locks_then_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path / ".lock"):
        pass
    assert "has no locks (Operation not supported)" in caplog.text


def test_claimed_folder_then_made_and_locked_until_the_end(tmp_path):
    with claimed(tmp_path / "new"):
        assert os.listdir(tmp_path / "new") == [".lock"]
    assert os.listdir(tmp_path / "new") == []
