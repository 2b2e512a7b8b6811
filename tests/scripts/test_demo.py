import json

import pytest

from scripts.demo import Step, bundle_command, data_steps, demo, run, summarise, training_steps
from tests.bundles.config_files import ROOT


def test_bundle_command_then_names_files_that_exist():
    command = bundle_command("training", "train", output_dir="x")
    files = command[command.index("--config_file") + 1]
    for name in json.loads(files.replace("'", '"')):
        assert (ROOT / name).is_file(), name


def test_steps_then_each_reads_what_an_earlier_one_wrote(tmp_path):
    steps = [*data_steps(tmp_path, 4, seed=3), *training_steps(tmp_path, seed=3)]
    text = [" ".join(step.command) for step in steps]
    assert f"--source {tmp_path / 'phantoms'}" in text[1]
    assert f"--encoder_weights {tmp_path}/pretraining/encoder.pt" in text[3]
    assert f"--ckpt_path {tmp_path}/training/model.pt" in text[4]
    assert all("--seed 3" in line for line in text)


def test_step_that_fails_then_its_log_is_shown_and_its_code_returned(tmp_path, capsys):
    program = "import sys; print('the reason'); sys.exit(3)"
    with pytest.raises(SystemExit) as stop:
        run(Step("breaking", ["-c", program]), tmp_path / "log")
    assert stop.value.code == 3
    assert "the reason" in capsys.readouterr().out


def test_step_that_works_then_its_seconds(tmp_path):
    assert 0 < run(Step("nothing", ["-c", "pass"]), tmp_path / "log") < 60


def test_demo_into_a_folder_of_something_else_then_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="is not a demo's folder"):
        demo(str(tmp_path))
    assert (tmp_path / "thesis.txt").is_file()


def test_summary_then_the_best_stage_is_marked(tmp_path):
    for name in ("training", "evaluation"):
        (tmp_path / name).mkdir()
    (tmp_path / "training" / "stages.csv").write_text(
        "name,sensitivity,specificity,dice,iou,best\nA: block5,0.5,0.99,0.4,0.3,False\n"
        "B: block4,0.9,0.999,0.81,0.7,True\n"
    )
    figures = {"dice_per_nodule_mean": {"value": 0.8123, "n": 5}}
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps({"figures": figures}))
    text = summarise(tmp_path, 200.0)
    marked = [line for line in text.splitlines() if line.endswith("<- best")]
    assert len(marked) == 1
    assert marked[0].startswith("B: block4")
    assert "0.812 (n = 5)" in text
