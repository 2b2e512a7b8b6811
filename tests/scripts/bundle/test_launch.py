"""Commands that would do something else than is meant: refused before anything is built."""

import json
import re
import sys
import warnings
from pathlib import Path

import pytest

from scripts.bundle.compose import compose
from scripts.bundle.config_files import files_below, walk
from scripts.bundle.launch import (
    _trust_own,
    check_ids,
    check_run,
    check_values,
    check_workflow,
)
from scripts.bundle.values import OPTIONAL, SWITCHES, values_of
from scripts.packaging.configs import FOR_LABEL
from tests.bundles.config_files import FRAGMENTS, ROOT
from tests.scripts.audit.samples import write
from tests.scripts.bundle.commands import LIVER, LUNG, WORKFLOWS, run_words

OVERLAYS = [str(path.relative_to(ROOT)) for path in FRAGMENTS]
HOME = {"same_slices": "evaluate"}  # the others are for training
PACKAGED = tuple(FOR_LABEL.values())  # parts of a package, not laid over a bundle's config


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """Calls that would change how the tests' own process handles its memory."""
    calls = []
    monkeypatch.setattr("scripts.bundle.launch.keep_freed_memory", lambda: calls.append("kept"))
    return calls


@pytest.mark.parametrize("file", WORKFLOWS)
def test_boolean_and_null_ids_of_shipped_config_then_read_as_such(file):
    values = values_of([file])
    own = {key: value for key, value in values.own.items() if key != "_meta_"}
    assert {key for key, value in own.items() if isinstance(value, bool)} <= values.switches
    assert {key for key, value in own.items() if value is None} <= values.optional
    both = values.switches | values.optional
    assert both <= own.keys()


@pytest.fixture(scope="module")
def bare():
    """Matches a boolean or null id of a shipped config that is not used through its reading."""
    values = [values_of([str(ROOT / file)]) for file in WORKFLOWS]
    read = set().union(*(one.switches | one.optional for one in values))
    return re.compile(rf"@({'|'.join(read)})\b(?!::)")


@pytest.mark.parametrize("file", [*WORKFLOWS, *OVERLAYS])
def test_boolean_and_null_ids_then_never_used_but_through_their_reading(file, bare):
    for id_, part in walk(json.loads((ROOT / file).read_text())):
        reads = re.fullmatch(r"\+?(switches|optional)::\w+", id_)
        if isinstance(part, str) and bare.search(part) and not reads:
            pytest.fail(
                f"{file}: {id_}: {part} uses a value that may be the text 'false' or 'null'"
            )


@pytest.mark.parametrize("file", [o for o in OVERLAYS if Path(o).stem not in PACKAGED])
@pytest.mark.parametrize("folder", [LUNG, LIVER])
def test_shipped_overlay_then_its_values_accepted(folder, file):
    if folder == LIVER and "nodules_and_organs" in file:
        pytest.skip("its domains are trained by the lung bundle")
    workflow = HOME.get(file.rpartition("/")[2].removesuffix(".json"), "train")
    check_values([f"{folder}/{workflow}.json", file], {})


def test_overlay_with_text_for_a_number_then_refused_with_its_file(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("learning_rate: 1e-4\n")  # which YAML reads as text
    with pytest.raises(ValueError, match=r"mine.yaml: learning_rate: '1e-4' would be .* 0.0001"):
        check_values([f"{LUNG}/train.json", str(overlay)], {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--overwrite", "off"), "--overwrite: must be true, false"),
        (("--encoder_weights", "None"), "--encoder_weights: MONAI drops None .* write none"),
        (("--stage_epoch", "4"), "--stage_epoch: no such id; did you mean stage_epochs"),
        (("--train#dataloader#shuffle", "false"), "write False"),
        (("--batch_size", "many"), "--batch_size: must be a number, got 'many'"),
        (("--device", "gpu"), "--device: must be cpu, cuda, cuda:0 ... or mps, got 'gpu'"),
        (("--device", "cuda:77"), "device: cuda:77 is not available: .* use cpu"),
    ],
)
def test_command_with_a_wrong_override_then_refused_at_once(monkeypatch, words, message):
    with pytest.raises(ValueError, match=message):
        run_words(monkeypatch, "training", "--config_file", f"{LUNG}/train.json", *words)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        "$torch.device('cpu')",
        "@device_of_mine",
        "{'_target_':'torch.device','device':'cpu'}",
    ],
    ids=["name", "expression", "reference", "component"],
)
def test_device_of_each_form_then_taken(monkeypatch, device):
    words = ("--config_file", f"{LUNG}/train.json", "--device", device)
    run_words(monkeypatch, "training", *words)


def test_command_that_is_right_then_passes_and_reasons_come_last(monkeypatch):
    words = ["--overwrite", "false", "--normalise", "null", "--optimizer#eps", "1e-7"]
    run_words(monkeypatch, "training", "--config_file", f"{LUNG}/train.json", *words)
    assert getattr(sys.excepthook, "prints_reason", False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ModuleNotFoundError("Cannot locate class or function path: 'torch.nn.Conv-1d'."),
            "{file}: loss: _target_: torch.nn.Conv-1d does not exist; did you mean torch.nn.Conv1d",
        ),
        (ValueError("dataset_dir: not found"), "dataset_dir: not found"),
    ],
    ids=["of the config", "another"],
)
def test_run_that_fails_then_its_last_line_names_the_part_of_the_config(
    monkeypatch, tmp_path, capsys, error, reason
):
    overlay = write(tmp_path / "mine.json", {"loss": {"_target_": "torch.nn.Conv-1d"}})
    run_words(monkeypatch, "training", "--config_file", repr([f"{LUNG}/train.json", str(overlay)]))
    sys.excepthook(type(error), error, None)
    assert (
        capsys.readouterr().err.splitlines()[-1].startswith(f"error: {reason}".format(file=overlay))
    )


def test_process_that_is_no_command_then_not_checked(monkeypatch, kept):
    before = sys.excepthook
    monkeypatch.setattr(sys, "argv", ["label_server"])
    check_run()
    assert sys.excepthook is before
    assert not kept


@pytest.mark.parametrize("config", [f"{LUNG}/train.json", f"{LUNG}/pretrain.json"])
def test_command_that_trains_then_keeps_freed_memory(monkeypatch, kept, config):
    run_words(monkeypatch, "run", "--config_file", config)
    assert kept == ["kept"]


@pytest.mark.parametrize("workflow", ["evaluating", "inferring"])
def test_command_whose_tensors_are_of_many_sizes_then_keeps_no_freed_memory(
    monkeypatch, kept, workflow
):
    config = {"evaluating": "evaluate", "inferring": "inference"}[workflow]
    run_words(monkeypatch, workflow, "--config_file", f"{LUNG}/{config}.json")
    assert not kept


def test_evaluation_when_given_a_setting_of_training_then_refused_with_its_source():
    with pytest.raises(ValueError, match=r"encoder: a setting of training, .* \(ckpt_path\)"):
        check_ids([f"{LUNG}/evaluate.json"], {"encoder": "vgg16"})


@pytest.mark.parametrize(
    ("files", "run_id", "intruder"),
    [
        ((f"{LUNG}/evaluate.json", f"{LUNG}/train.json"), "evaluating", "training"),
        ((f"{LUNG}/evaluate.json", f"{LIVER}/train.json"), "run", "training"),
        ((f"{LUNG}/train.json", f"{LUNG}/evaluate.json"), "training", "evaluating"),
        ((f"{LUNG}/train.json", f"{LUNG}/pretrain.json"), "training", "pretraining"),
        ((f"{LIVER}/evaluate.json", f"{LIVER}/inference.json"), "evaluating", "inferring"),
    ],
)
def test_config_of_another_workflow_then_refused_by_file(files, run_id, intruder):
    with pytest.raises(ValueError, match=f"{files[1]} is a config for {intruder}"):
        check_workflow(files, run_id)


def test_overlay_that_runs_a_training_then_refused_for_an_evaluation(tmp_path):
    overlay = write(tmp_path / "mine.json", {"run": ["$@train::trainer.run()"]})
    with pytest.raises(ValueError, match=r"evaluating runs evaluator, but .*mine.json sets"):
        check_workflow([f"{LUNG}/evaluate.json", str(overlay)], "evaluating")


@pytest.mark.parametrize("file", WORKFLOWS)
def test_shipped_workflow_then_checks_its_command_first(file):
    check_workflow([file], "run")
    config = compose([file], files_below()).complete()
    assert config["run"][0] == {"_target_": "scripts.bundle.launch.check_run"}
    assert {SWITCHES, OPTIONAL} >= {
        part["_target_"] for key in ("switches", "optional") if (part := config.get(key))
    }


def test_warning_of_configs_that_run_code_then_only_for_foreign_files(tmp_path):
    foreign = str(tmp_path / "train.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _trust_own(["run", "training", "--config_file", "['configs/losses/dice.json']"])
        warnings.warn("parsing config_file ['configs/losses/dice.json']", stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _trust_own(
            ["run", "training", "--config_file", f"['configs/losses/dice.json', '{foreign}']"]
        )
        with pytest.raises(UserWarning, match="parsing"):
            warnings.warn(f"parsing config_file {foreign}", stacklevel=1)


@pytest.mark.parametrize("given", [(), ("['a.json'",), ("[a.json, b.json]",)])
def test_config_files_that_are_no_list_then_left_for_monai_to_name(given):
    before = list(warnings.filters)
    _trust_own(["run", "training", "--config_file", *given])
    assert list(warnings.filters) == before
