"""Rows that a command makes: what it is given, and what is refused."""

import json

import pytest

import scripts.study.methods
import scripts.study.procedures
from scripts.commands import COMMANDS, Command
from scripts.study.cells import make_cells
from scripts.study.choices import named
from scripts.study.declaration import read_study
from scripts.study.procedures import option_names, read_derivation, read_procedure
from scripts.study.sample_sources import Source
from tests.scripts.study.studies import write_study

UNET = {"name": "U-Net", "network": "unet", "encoder": "resnet34", "strategy": "scratch"}
FILES = {
    "PROCEDURES": {"cut": {"command": ["graph_cut"], "kinds": ["instances"]},
                   "tuned": {"command": ["tune"]}},
    "DERIVATIONS": {"maps": {"command": ["derive"], "options": {"share": 0.5}, "test": True},
                    "labels": {"command": ["derive"], "data": "luna16_two_windows"}},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of a study, with procedures and derivations of its own and two commands."""
    for name in ("tune", "derive"):
        command = Command(f"tests.scripts.study.studies:{name}", "for tests")
        monkeypatch.setitem(COMMANDS, (name,), command)
    for kind, files in FILES.items():
        (tmp_path / kind).mkdir()
        for name, content in files.items():
            (tmp_path / kind / f"{name}.json").write_text(json.dumps(content))
        for module in (scripts.study.methods, scripts.study.procedures):
            monkeypatch.setattr(module, kind, str(tmp_path / kind))
    return tmp_path


def cell_of(folder, changes, **of_study):
    (cell,) = make_cells(read_study(write_study(folder, methods=[changes], **of_study)), Source())
    return cell


def evaluation_of(cell):
    (task,) = cell.evaluations.values()
    return task, " ".join(task.words)


def test_shipped_files_then_name_commands_with_the_options_that_a_study_sets():
    for name in named("configs/procedures"):
        options = option_names(read_procedure(name).command)
        assert {"datalist", "output", "section", "seed"} <= set(options)
    for name in named("configs/derivations"):
        assert {"datalist", "output", "seed"} <= set(option_names(read_derivation(name).command))


def test_procedure_as_network_then_one_step_on_the_prepared_data_with_its_options(folder):
    method = {"name": "Cut", "network": "cut", "settings": {"smoothness_mm": 2.0}}
    cell = cell_of(folder, method, seeds=[3])
    task, words = evaluation_of(cell)
    assert cell.training is None
    assert [need.kind for need in task.needs] == ["prepared"]
    assert task.replaces
    assert words == (
        "-m scripts graph_cut --datalist <need0>/datalist.json --output <out> --smoothness_mm 2.0 "
        "--section test --seed 3"
    )


def test_procedure_that_evaluates_a_network_then_needs_its_training(folder):
    cell = cell_of(folder, {**UNET, "evaluated_by": "tuned"})
    task, words = evaluation_of(cell)
    assert [need.kind for need in task.needs] == ["prepared", "trainings"]
    assert task.needs[1] is cell.training
    assert words.endswith("--model <need1>/model.pt")


def test_derived_data_then_made_with_the_recipe_of_the_row_and_trained_on(folder):
    cell = cell_of(folder, {**UNET, "derived": "maps"}, settings={"batch_size": 3})
    derived = cell.training.needs[0]
    task, _ = evaluation_of(cell)
    assert derived.kind == "derived"
    assert task.needs == (cell.training, derived)  # its test cases are derived too
    assert derived.files["settings.json"] == {
        "batch_size": 3, "stage_epochs": "$max(1, 10 // len(@strategy['stages']))", "seed": 0,
        "encoder": "resnet34", "encoder_weights": "none",
    }  # fmt: skip
    files = derived.words[derived.words.index("--config_file") + 1]
    assert files.endswith("'configs/strategies/scratch.json', '<here>/settings.json']")
    assert "--share 0.5" in " ".join(derived.words)


@pytest.mark.parametrize(
    ("note", "said"), [("{row}: {shares}", "note.*shares.*share"), ("{row", "note: .*'{row'")]
)
def test_derivation_whose_note_cannot_be_filled_in_then_refused_at_once(folder, note, said):
    maps = FILES["DERIVATIONS"]["maps"]
    file = folder / "DERIVATIONS" / "maps.json"
    file.write_text(json.dumps({**maps, "note": "{row}: {share}"}))
    assert read_derivation("maps").remark("a", {"share": 0.2}) == "a: 0.2"
    file.write_text(json.dumps({**maps, "note": note}))
    with pytest.raises(ValueError, match=said):
        read_derivation("maps")


def test_derivation_with_data_of_its_own_then_trains_on_them_and_tests_on_the_prepared(folder):
    method = {**UNET, "derived": "labels", "settings": {"share": 0.25}}
    cell = cell_of(folder, method)
    task, _ = evaluation_of(cell)
    assert task.needs[1].kind == "prepared"
    derived = cell.training.needs[0]
    assert "configs/data/luna16_two_windows.json" in " ".join(derived.words)
    assert "--share 0.25" in " ".join(derived.words)


def test_derived_data_with_pretrained_weights_then_its_networks_start_from_them_too(folder):
    own = {"config": "bundles/lung_nodule_ct_segmentation/configs/pretrain.json"}
    method = {**UNET, "strategy": "full", "derived": "maps", "weights": "own"}
    derived = cell_of(folder, method, pretraining=own).training.needs[0]
    assert [need.kind for need in derived.needs] == ["prepared", "pretraining"]
    (folder / "work").mkdir()
    filled = derived.contents(folder / "work")["settings.json"]["encoder_weights"]
    assert filled == str(derived.needs[1].out(folder / "work") / "encoder.pt")


def test_files_of_the_evaluation_then_not_in_the_training(folder):
    file = "configs/runtime/native_precision.json"
    cell = cell_of(folder, {**UNET, "evaluation_files": [file]})
    assert file in " ".join(evaluation_of(cell)[1].split())
    assert file not in " ".join(cell.training.words)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"evaluated_by": "cut"}, "cut takes no trained network"),
     ({"derived": "map"}, "did you mean maps"),
     ({"derived": "maps", "tested_label": "masks"}, "derived with one label"),
     ({"network": "cut", "encoder": None, "derived": "maps"}, "omit derived"),
     ({"settings": {"shear": 1}}, "shear")],
    ids=["no model", "unknown", "two labels", "procedure", "unknown setting"],
)  # fmt: skip
def test_row_that_cannot_be_made_then_refused(folder, changes, said):
    with pytest.raises(ValueError, match=said):
        cell_of(folder, {**UNET, **changes})


def test_procedure_on_labels_of_the_other_kind_then_refused(folder):
    figures = {"IoU": "iou_liver_pooled"}
    with pytest.raises(ValueError, match=r"cut is for labels of kind instances; .* are classes"):
        cell_of(folder, {"network": "cut"}, bundle="liver_ct_segmentation", figures=figures,
                data={"phantoms": {"patients": 6}})  # fmt: skip


def test_file_with_an_option_that_its_command_lacks_then_refused(folder):
    file = folder / "PROCEDURES" / "cut.json"
    file.write_text(json.dumps({"command": ["graph_cut"], "options": {"smooth": 1}}))
    with pytest.raises(ValueError, match=r"options: key: no 'smooth'"):
        cell_of(folder, {"network": "cut"})
