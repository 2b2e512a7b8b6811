import signal
import subprocess
import sys

import pytest

from scripts.__main__ import main, refuse_unknown_options, resolve
from scripts.commands import COMMANDS


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_can_be_imported(words):
    assert callable(resolve(COMMANDS[words].target))


def test_misspelt_option_then_nothing_runs_and_the_nearest_is_named(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "luna16", "--sorce", "x", "--output", "y"])
    assert stop.value.code == 2
    assert "unknown option --sorce; did you mean --source" in capsys.readouterr().out


def test_negated_option_then_accepted():
    def command(verbose: bool = True) -> None: ...

    refuse_unknown_options(command, ["--noverbose"])


def test_unknown_command_then_valid_ones_are_listed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["prepair", "luna16"])
    assert stop.value.code == 2
    printed = capsys.readouterr().out
    assert "unknown command: prepair luna16" in printed
    assert "python -m scripts phantom luna16 --help" in printed


def test_wrong_folder_then_one_line_and_code_2(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "luna16", "--source", str(tmp_path / "no"), "--output", str(tmp_path)])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_mistake_found_by_a_component_of_a_config_then_one_line_and_code_2(capsys, monkeypatch):
    def component(path):
        try:
            raise FileNotFoundError(f"dataset_dir: nothing at {path}")
        except FileNotFoundError as error:
            raise RuntimeError("Failed to instantiate component") from error

    monkeypatch.setattr("scripts.__main__.resolve", lambda target: component)
    with pytest.raises(SystemExit) as stop:
        main(["run", "--path", "x"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: dataset_dir: nothing at x\n"


def test_fault_of_the_program_then_not_hidden(monkeypatch):
    def faulty():
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("scripts.__main__.resolve", lambda target: faulty)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["run"])


def test_terminated_from_outside_then_what_is_open_is_closed_first(tmp_path):
    program = (
        "import os, signal, tempfile\n"
        "from scripts.__main__ import leave\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "with tempfile.TemporaryDirectory(dir='.'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_stopped_while_it_is_still_importing_then_one_line(capsys, monkeypatch):
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["demo"])
    assert stop.value.code == 130
    assert "stopped by the user" in capsys.readouterr().err
