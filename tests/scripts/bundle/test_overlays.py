"""Ids of overlays: laid over as MONAI does, and refused if nothing reads them."""

import pytest
from monai.bundle import ConfigParser

from scripts.bundle.compose import overlaid
from scripts.bundle.config_files import files_below
from scripts.bundle.overlays import check_files, chosen_keys, knows, refuse_unread
from tests.bundles.config_files import FRAGMENTS, ROOT

OWN = {"net": {"width": 1}, "handlers": [1], "lr": 1}


def test_overlay_then_laid_over_as_monai_does(write_json):
    config = {**OWN, "net": {**OWN["net"]}}
    overlay = {"net::width": 2, "+handlers": [2], "lr": "@base", "base": 3, "other": 4}
    keys = chosen_keys(config, overlay)
    assert keys == ["net::width", "+handlers", "lr", "base"]
    found = overlaid(config, overlay, keys)
    assert found == {"net": {"width": 2}, "handlers": [1, 2], "lr": "@base", "base": 3}
    assert config["net"] == {"width": 1}
    assert not knows(config, "other")
    files = [
        write_json("a.json", **config),
        write_json("b.json", **{key: overlay[key] for key in keys}),
    ]
    assert found == ConfigParser.load_config_files([str(file) for file in files])


def check(write_json, **overlay):
    bundle = [write_json("train.json", **OWN), write_json("evaluate.json", threshold=0.5)]
    files = [str(bundle[0]), str(write_json("mine.txt", **overlay))]
    refuse_unread(files, files_below())


@pytest.mark.parametrize(
    "overlay",
    [
        {"lr": 2, "+handlers": [2], "net#width": 3},
        {"lr": "@base", "base": 3},
        {"lr": "$2 * @base", "base": 3},
        {"lr": "%own::base", "own": {"base": 3}},
        {"threshold": 0.3},
        {"initialize": ["$print()"]},
    ],
    ids=["of the config", "reference", "expression", "macro", "of another config", "MONAI's"],
)
def test_overlay_whose_ids_are_read_then_accepted(write_json, overlay):
    check(write_json, **overlay)


def test_overlay_with_a_misspelt_id_then_refused_with_file_and_id(write_json):
    with pytest.raises(ValueError, match=r"mine\.txt sets 'treshold', .*did you mean threshold\?"):
        check(write_json, lr=2, treshold=0.3)


@pytest.mark.parametrize("content", ["", "[1]", None], ids=["empty", "a list", "none"])
def test_files_that_cannot_be_composed_then_refused_by_name(write_json, tmp_path, content):
    own, overlay = write_json("train.json", **OWN), tmp_path / "mine.json"
    if content is not None:
        overlay.write_text(content)
    with pytest.raises(ValueError, match=r"mine\.json"):
        check_files([str(own), str(overlay)])
    check_files([str(own)])


def test_misspelt_id_of_a_file_of_ones_own_in_the_repository_then_refused(
    write_json, tmp_path, monkeypatch
):
    own = str(write_json("train.json", **OWN))
    monkeypatch.setattr("scripts.bundle.overlays.ROOT", tmp_path)
    (tmp_path / "configs").mkdir()
    for name in ("mine.txt", "configs/mine.json"):
        with pytest.raises(ValueError, match="mine.* sets 'encoder_wieghts', .*none is similar"):
            refuse_unread([own, str(write_json(name, lr=2, encoder_wieghts=1))], files_below())


@pytest.mark.parametrize("file", FRAGMENTS, ids=lambda file: file.stem)
def test_file_of_configs_then_taken_by_every_bundle(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    for bundle in ("lung_nodule", "liver"):
        config = f"bundles/{bundle}_ct_segmentation/configs/evaluate.json"
        refuse_unread([config, str(file.relative_to(ROOT))], files_below())
