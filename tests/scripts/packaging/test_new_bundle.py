"""A new bundle's configs: own values, references to the shipped ones, and what is refused."""

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from scripts.packaging.new_bundle import SHIPPED, new_bundle, read_prepared
from tests.bundles.config_files import ROOT

VALUES = {"class_names", "window_hu", "one_piece", "filled", "saving", "segments", "cleaning"}
VALUES |= {"preprocessing", "restoring"}  # what a bundle of other data sets itself
SAMPLE = {"image": "a.npy", "label": "b.npy", "series_uid": "1"}


@pytest.fixture
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def write_datalist(
    folder, *, kind="instances", names=("background", "cyst"), lung=False, **changes
):
    sample = {**SAMPLE, "lung": "c.npy"} if lung else SAMPLE
    content = {
        "name": "folder",
        "kind": kind,
        **{"training": [sample], "validation": [sample], "test": [sample]},
        "classes": {str(value): name for value, name in enumerate(names)},
        "window_hu": [-160.0, 240.0],
        "provenance": {"source": str(folder / "scans"), "kind": kind},
    }
    file = folder / "datalist.json"
    file.write_text(json.dumps(content))
    return str(file)


def written(folder, **options):
    bundle = folder / "my_segmentation"
    new_bundle(write_datalist(folder, **options), str(bundle))
    files = (bundle / "configs").glob("*.json")
    return {file.stem: json.loads(file.read_text()) for file in files}


@pytest.mark.usefixtures("_at_root")
def test_lesions_without_lungs_then_no_step_of_theirs_is_left(tmp_path):
    configs = written(tmp_path)
    inference = configs["inference"]
    del inference["lung_masking"]  # as training had it
    assert inference.pop("lung_field") is False
    text = json.dumps(inference).replace(str(tmp_path), "").replace("bundles/lung_", "")
    assert "lung" not in text
    assert configs["train"]["lung_masking"] is False
    assert configs["train"]["window_hu"] == [-160, 240]
    assert inference["segments"]["numbered"] == ["cyst"]
    assert inference["saving"]["output_postfix"] == "cyst"


@pytest.mark.usefixtures("_at_root")
def test_lesions_with_lungs_then_masked_and_steps_of_the_shipped_bundle(tmp_path):
    configs = written(tmp_path, lung=True)
    assert configs["train"]["lung_masking"] is True
    assert configs["inference"]["cleaning"].startswith("%bundles/lung_nodule_ct_segmentation/")


@pytest.mark.usefixtures("_at_root")
def test_classes_then_named_in_configs_and_metadata(tmp_path):
    names = ("background", "liver", "spleen")
    configs = written(tmp_path, kind="classes", names=names)
    assert configs["train"]["class_names"] == list(names)
    pred = configs["metadata"]["network_data_format"]["outputs"]["pred"]
    assert pred["channel_def"] == {"0": "background", "1": "liver", "2": "spleen"}
    assert configs["metadata"]["data_set"] == {"name": "folder", "kind": "classes"}
    assert configs["inference"]["one_piece"] == []


@pytest.mark.usefixtures("_at_root")
@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_configs_then_short_and_naming_no_file_of_their_own_that_is_not_there(tmp_path, kind):
    configs = written(tmp_path, kind=kind)
    lines = [
        (tmp_path / "my_segmentation" / "configs" / f"{name}.json").read_text().count("\n")
        for name in ("train", "evaluate", "inference")
    ]
    assert sum(lines) < 360
    for name in ("docs/README.md", "docs/data_license.txt", "LICENSE", "configs/logging.conf"):
        assert (tmp_path / "my_segmentation" / name).is_file()
    assert configs["metadata"]["version"] in configs["metadata"]["changelog"]


@pytest.mark.usefixtures("_at_root")
@pytest.mark.parametrize("workflow", ["evaluate", "inference"])
@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_settings_shared_with_training_then_those_of_the_new_bundle(tmp_path, kind, workflow):
    written(tmp_path, kind=kind)
    folder = tmp_path / "my_segmentation" / "configs"
    training = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps({**training, "device": "cpu", "seed": 7}))
    parser = ConfigParser()
    parser.read_config(str(folder / f"{workflow}.json"))
    parser.resolve_macro_and_relative_ids()
    assert '"%' not in json.dumps(parser.get()).replace('"%run"', "")
    assert parser["device"] == "cpu"
    assert parser.get("seed", 7) == 7


def laid_over(config, overlay):
    """Return a config with an overlay, as MONAI composes it; None if it does not take the file."""
    parser = ConfigParser()
    try:
        parser.read_config([str(config), str(overlay)])
    except (ValueError, KeyError):
        return None
    parser.resolve_macro_and_relative_ids()
    return parser.get()


def changing_parts():
    """List the shipped overlays that set a part of an id, or add to it."""
    files = (file.relative_to(ROOT) for file in sorted((ROOT / "configs").glob("*/*.json")))
    keys = {file: json.loads((ROOT / file).read_text()) for file in files}
    return [file for file in keys if any("::" in key or "+" in key for key in keys[file])]


@pytest.mark.usefixtures("_at_root")
@pytest.mark.filterwarnings("ignore:Can't merge entry")
@pytest.mark.parametrize("workflow", ["train", "evaluate", "inference"])
@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_overlay_that_changes_a_part_then_as_over_the_shipped_bundle(tmp_path, kind, workflow):
    names = ("background", "liver", "bone", "kidney")
    own = written(tmp_path, kind=kind, names=names if kind == "classes" else names[:2])[workflow]
    shipped = Path(SHIPPED[kind], "configs", f"{workflow}.json")
    values = json.loads(shipped.read_text())
    composed = [name for name, value in own.items() if value != values[name]]
    same = {name for name in composed if isinstance(values[name], (dict, list))} - VALUES
    assert len(changing_parts()) > 10
    for overlay in changing_parts():
        wanted = laid_over(shipped, overlay)
        if wanted is None:
            continue
        got = laid_over(tmp_path / "my_segmentation" / "configs" / f"{workflow}.json", overlay)
        assert got is not None, overlay
        assert {name: got[name] for name in same} == {name: wanted[name] for name in same}, overlay


@pytest.mark.usefixtures("_at_root")
def test_class_without_a_known_code_then_said(tmp_path, capsys):
    written(tmp_path, names=("background", "blob"))
    assert "class 'blob': no SNOMED CT code is known" in capsys.readouterr().out


@pytest.mark.usefixtures("_at_root")
def test_folder_that_exists_or_name_that_says_no_task_then_refused(tmp_path):
    datalist = write_datalist(tmp_path)
    (tmp_path / "my_segmentation").mkdir()
    with pytest.raises(FileExistsError, match="exists; name another folder"):
        new_bundle(datalist, str(tmp_path / "my_segmentation"))
    with pytest.raises(ValueError, match="must contain 'segmentation'"):
        new_bundle(datalist, str(tmp_path / "mine"))


def test_folder_of_a_datalist_then_its_datalist(tmp_path):
    datalist = write_datalist(tmp_path)
    folder = Path(datalist).parent
    assert read_prepared(folder) == read_prepared(folder / "datalist.json")


def test_datalist_that_does_not_say_enough_then_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="datalist: no file"):
        read_prepared(tmp_path / "datalist.json")
    write_datalist(tmp_path, names=("background",))
    with pytest.raises(ValueError, match="names no class besides background"):
        read_prepared(tmp_path / "datalist.json")
    (tmp_path / "datalist.json").write_text("{}")
    with pytest.raises(ValueError, match=r"lacks name, kind, classes.*prepare the data again"):
        read_prepared(tmp_path / "datalist.json")


@pytest.mark.usefixtures("_at_root")
@pytest.mark.parametrize("kind", ["instances", "classes"])
def test_engines_then_their_arguments_can_be_given_one_by_one(tmp_path, kind):
    written(tmp_path, kind=kind)
    parser = ConfigParser()
    parser.read_config(str(tmp_path / "my_segmentation" / "configs" / "train.json"))
    parser.update({"train#trainer#max_epochs": 1, "validate#evaluator#amp": True})
    parser.resolve_macro_and_relative_ids()
    assert parser.get("train#trainer")["max_epochs"] == 1
    assert parser.get("validate#evaluator")["_target_"] == "SupervisedEvaluator"
    parser.read_config(str(tmp_path / "my_segmentation" / "configs" / "evaluate.json"))
    parser.update({"evaluator#amp": True})
