"""Running bundles: what is asked is checked, then MONAI is left to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.__main__ import main
from scripts.audit.run_command import find_config
from tests.scripts.audit.samples import write

ROOT = Path(__file__).resolve().parents[3]
RESULT = "$pathlib.Path(@output_dir, 'result.json').write_text(json.dumps([@rate, @part, @place]))"


@pytest.fixture
def bundle(tmp_path):
    """A bundle outside the repository whose workflow writes down what it was given."""
    config = {
        "imports": ["$import json", "$import pathlib"],
        "bundle_root": ".",
        "output_dir": str(tmp_path),
        "rate": 1,
        "part": {"_target_": "dict", "sizes": [{"a": 1}]},
        "loss": {"_target_": "DiceLoss"},
        "sampler": {"_target_": "scripts.transforms.crops.RandCropWithLabeld", "keys": "a"},
        "place": "@bundle_root",
        "training": [RESULT, "$@record"],
        "record": {"_target_": "scripts.bundle.record.record_config", "output_dir": "@output_dir"},
    }
    folder = tmp_path / "somewhere" / "b"
    write(folder / "configs" / "train.json", config)
    write(folder / "configs" / "inference.json", {"run": ["$1"], "zoo": 1})
    return folder


def said(capsys, *words):
    """Run what must be refused; return the message."""
    with pytest.raises(SystemExit) as stop:
        main(["run", *map(str, words)])
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rat=2", "rat: no such id; did you mean rate"),
        ("part#size#0#a=2", "part#size#0#a: no such id; did you mean part::sizes?"),
        ("part#sizes#0#b=2", "part#sizes#0#b: no such id; did you mean part::sizes::0::a"),
        ("part#sizes#3#a=2", "did you mean part::sizes::0"),
        ("a=2", "did you mean part::sizes::0::a?"),
        ("rate", "overrides: must be id=value, got 'rate'"),
        ("loss#sigmod=1", "loss#sigmod: DiceLoss takes no sigmod; did you mean sigmoid?"),
        ("sampler#shar=1", "takes no shar; did you mean share"),
        ("rate#x=2", "rate#x: no such id; did you mean rate?"),
        ("place#x=1", "place is '@bundle_root', which has no parts to set"),
    ],
)
def test_override_that_no_config_has_then_refused_with_the_nearest(bundle, capsys, word, message):
    assert message in said(capsys, "--bundle", bundle, "training", word)
    assert not (bundle.parents[1] / "result.json").exists()


def test_override_as_an_option_then_refused(bundle, capsys):
    for words, more in ((["--rate", "2"], ""), (["--bundel=x"], "; did you mean --bundle?")):
        with pytest.raises(SystemExit):
            main(["run", "--bundle", str(bundle), "training", *words])
        name = words[0].partition("=")[0]
        assert capsys.readouterr().err.strip() == (
            f"unknown option {name}; ids of the bundle's config are given as id=value, such as "
            f"encoder=resnet34, without --{more}"
        )


@pytest.mark.filterwarnings("ignore:.*config_file")
def test_values_then_as_monai_reads_them_and_overlays_composed(bundle, tmp_path):
    overlay = write(tmp_path / "overlay.json", {"part::sizes": [7, {"a": 8}], "+part": {"n": 1}})
    words = ["rate=1e-3", "part#sizes#1#a=[1, 'x']", "part#new={'k': None}"]
    command = ["run", "--bundle", str(bundle), "training", *words, "--config_file", str(overlay)]
    before = list(sys.argv)
    main(command)
    rate, part, place = json.loads((tmp_path / "result.json").read_text())
    assert rate == 0.001
    assert part == {"sizes": [7, {"a": [1, "x"]}], "new": {"k": None}, "n": 1}
    assert place == str(bundle)  # "." would have been where the command runs
    assert sys.argv == before


@pytest.mark.filterwarnings("ignore:.*config_file")
def test_record_of_the_run_then_as_if_monai_had_been_called(bundle, tmp_path):
    main(["run", "--bundle", str(bundle), "training", "rate=5"])
    record = json.loads((tmp_path / "run_record.json").read_text())
    assert record["rerun"].startswith("python -m monai.bundle run training --config_file")
    assert json.loads((tmp_path / record["config"]).read_text())["rate"] == 5


def test_python_of_the_bundle_then_before_this_projects(bundle, tmp_path):
    write(bundle / "scripts" / "__init__.py", "WHOSE = 'the bundle'")
    write(
        bundle / "scripts" / "own.py",
        "def whose():\n    from scripts import WHOSE\n    return WHOSE",
    )
    config = json.loads((bundle / "configs" / "train.json").read_text())
    config |= {"place": {"_target_": "scripts.own.whose"}, "training": [RESULT]}
    write(bundle / "configs" / "train.json", config)
    words = ["training", "rate=2", "sampler#wide=1"]  # our own sampler has no wide
    done = subprocess.run(
        [sys.executable, "-m", "scripts", "run", "--bundle", str(bundle), *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())[::2] == [2, "the bundle"]


@pytest.mark.parametrize(
    ("run_id", "file", "found"),
    [
        ("training", "train", "training"),
        ("inferring", "inference", "run"),
        ("record", "train", "record"),
    ],
)
def test_run_id_then_its_config(bundle, run_id, file, found):
    path, name = find_config(bundle, run_id)
    assert (path.stem, name) == (file, found)


@pytest.mark.parametrize("run_id", ["training", "pretraining", "evaluating", "inferring"])
def test_run_id_in_this_projects_bundles_then_its_config(run_id):
    path, name = find_config(ROOT / "bundles" / "lung_nodule_ct_segmentation", run_id)
    assert name == run_id
    assert run_id in json.loads(path.read_text())


def test_run_id_that_is_none_then_valid_ones_named(bundle, capsys):
    message = said(capsys, "--bundle", bundle, "trainning")
    assert "run_id: must be one of training, inferring" in message


def test_bundle_that_is_none_then_said(tmp_path, capsys):
    assert "must be a folder with configs/ in it" in said(capsys, "--bundle", tmp_path, "training")


@pytest.mark.filterwarnings("ignore:.*config_file")
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"_target_": "torch.nn.Conv-1d"}, "_target_: torch.nn.Conv-1d does not exist; did you"),
        ("@nothing", "@nothing refers to nothing"),
        ("$1 +", "$1 +: SyntaxError"),
    ],
    ids=["class", "reference", "expression"],
)
def test_part_that_cannot_be_built_then_one_line_with_its_id_and_file(
    bundle, tmp_path, capsys, value, reason
):
    overlay = write(tmp_path / "mine.json", {"rate": value})
    message = said(capsys, "--bundle", bundle, "training", "--config_file", overlay)
    assert message.splitlines()[-1].startswith(f"error: {overlay}: rate: {reason}")


def test_file_that_the_config_needs_and_is_not_here_then_named(bundle, capsys):
    write(bundle / "configs" / "train.json", {"a": "%configs/none.json::a", "training": ["$@a"]})
    message = said(capsys, "--bundle", bundle, "training")
    assert "no file configs/none.json" in message
    assert "run the command in the directory" in message
