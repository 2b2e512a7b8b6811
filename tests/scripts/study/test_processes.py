"""A command runs as its own process: logged, measured, and ended with the one that started it."""

import os

from scripts.storage.locks import locked
from scripts.study.processes import environment, run_command


def test_command_then_its_output_is_appended_and_its_exit_code_returned(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("earlier\n")
    with locked(tmp_path / ".lock") as lock:
        outcome = run_command(["-c", "print('said'); raise SystemExit(3)"], log, lock)
    assert log.read_text() == "earlier\nsaid\n"
    assert outcome.code == 3
    assert 0 < outcome.seconds < 60


HOLDS = """
import os, sys
lock = os.stat(sys.argv[1])
for number in range(3, 64):
    try:
        print(os.path.samestat(os.fstat(number), lock))
    except OSError:
        pass
"""


def test_command_then_it_holds_the_lock_too(tmp_path):
    log = tmp_path / "log.txt"
    with locked(tmp_path / ".lock") as lock:
        assert run_command(["-c", HOLDS, str(tmp_path / ".lock")], log, lock).code == 0
        os.fstat(lock)  # still open here
    assert "True" in log.read_text()
    assert not (tmp_path / ".lock").exists()


def test_command_that_is_killed_then_its_signal_as_a_negative_code(tmp_path):
    words = ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    with locked(tmp_path / ".lock") as lock:
        assert run_command(words, tmp_path / "log.txt", lock).code == -9


def test_memory_of_a_command_then_in_megabytes(tmp_path):
    with locked(tmp_path / ".lock") as lock:
        outcome = run_command(["-c", "x = bytearray(700 << 20)"], tmp_path / "log.txt", lock)
    assert 700 < outcome.peak_mb < 10_000


def test_environment_of_a_command_then_nothing_of_torchruns_and_its_own_gpu():
    own = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "TORCHELASTIC_RUN_ID": "x", "A": "b"}
    assert environment({**own, "CUDA_VISIBLE_DEVICES": "5,7"})["CUDA_VISIBLE_DEVICES"] == "7"
    assert environment({**own, "CUDA_VISIBLE_DEVICES": "5"})["CUDA_VISIBLE_DEVICES"] == "5"
    assert environment({"A": "b"}) == {"A": "b"}


def test_environment_of_a_command_without_a_list_of_gpus_then_shares_those_there_are(monkeypatch):
    own = {"WORLD_SIZE": "4", "LOCAL_RANK": "3"}
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert environment(own) == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert environment(own) == {}
