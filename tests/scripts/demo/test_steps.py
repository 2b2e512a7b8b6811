import pytest

from scripts.demo.demo import demo, demo_liver
from scripts.demo.steps import Demonstration, RunningStep, Step


def test_step_that_fails_then_its_log_is_shown_and_its_code_returned(tmp_path, capsys):
    program = "import sys; print('the reason'); sys.exit(3)"
    with pytest.raises(SystemExit) as stop:
        RunningStep(Step("breaking", ["-c", program]), tmp_path / "log").finish()
    assert stop.value.code == 3
    assert "the reason" in capsys.readouterr().out


def test_step_that_fails_then_the_next_is_not_run(tmp_path):
    steps = [Step("breaking", ["-c", "1 / 0"]), Step("never", ["-c", "pass"])]
    demonstration = Demonstration(tmp_path / "new")
    with pytest.raises(SystemExit):
        demonstration.run(steps)
    assert [log.name for log in (tmp_path / "new" / "logs").iterdir()] == ["1.log"]


def test_steps_together_then_each_runs_while_the_other_does(tmp_path):
    meet = (
        "import pathlib, sys, time\n"
        "own, other = map(pathlib.Path, sys.argv[1:])\n"
        "own.touch()\n"
        "while not other.exists(): time.sleep(0.01)\n"
    )
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    steps = [Step("one", ["-c", meet, a, b]), Step("other", ["-c", meet, b, a])]
    Demonstration(tmp_path / "new").run_together(steps)
    assert sorted(log.name for log in (tmp_path / "new" / "logs").iterdir()) == ["1.log", "2.log"]


def test_steps_together_then_they_share_the_cores_and_one_alone_decides_itself(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("scripts.demo.steps.cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ask = Step("asking", ["-c", "import os; print(os.environ.get('OMP_NUM_THREADS'))"])
    demonstration = Demonstration(tmp_path / "new")
    demonstration.run_together([ask, ask])
    demonstration.run([ask])
    said = [(tmp_path / "new" / "logs" / f"{k}.log").read_text().strip() for k in (1, 2, 3)]
    assert said == ["2", "2", "None"]


def test_steps_together_when_one_fails_then_its_log_and_the_other_is_stopped(tmp_path, capsys):
    slow = Step("waiting", ["-c", "import time; time.sleep(600)"])
    demonstration = Demonstration(tmp_path / "new")
    with pytest.raises(SystemExit):
        demonstration.run_together([Step("breaking", ["-c", "1 / 0"]), slow])
    assert "breaking: failed with exit code 1" in capsys.readouterr().out


def test_step_that_works_then_its_seconds(tmp_path):
    assert 0 < RunningStep(Step("nothing", ["-c", "pass"]), tmp_path / "log").finish() < 60


def test_demonstration_into_a_folder_of_something_else_then_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for demonstrate in (demo, demo_liver):
        with pytest.raises(ValueError, match="is not a demo's folder"):
            demonstrate(str(tmp_path))
    assert (tmp_path / "thesis.txt").is_file()


def test_demonstration_again_then_the_earlier_ones_results_are_gone(tmp_path):
    folder = Demonstration(tmp_path / "demo").folder
    (folder / "old.png").touch()
    Demonstration(folder)
    assert not (folder / "old.png").exists()
