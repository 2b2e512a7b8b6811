"""Names in a study's file are checked against the files and data sets that exist."""

from pathlib import Path

import pytest

from scripts.study.choices import bundle_of, bundles, check_keys, check_name, named

LUNG = "lung_nodule_ct_segmentation"


def test_names_of_a_folder_then_those_of_its_json_files(tmp_path):
    for name in ("b.json", "a.json", "notes.md"):
        (tmp_path / name).write_text("{}")
    assert named(str(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "words"),
    [("bstf", r"did you mean bsft\?"), ("zzz", "Valid are bsft, full"), (3, "no 3")],
)
def test_name_that_is_not_valid_then_refused_with_the_nearest(value, words):
    with pytest.raises(ValueError, match=words):
        check_name("strategy", value, ["bsft", "full"])


def test_key_that_nothing_reads_then_refused():
    check_keys("common", ["loss"], ["loss", "data"])
    with pytest.raises(ValueError, match="common: key: no 'lost'; did you mean loss"):
        check_keys("common", ["loss", "lost"], ["loss", "data"])


@pytest.mark.parametrize("name", bundles())
def test_bundle_of_studies_then_its_folders_exist_and_its_leaking_splits_are_splits(name):
    bundle = bundle_of(name, {})
    assert (Path(bundle.folder) / "configs" / "train.json").is_file()
    assert Path(bundle.losses).is_dir()
    assert set(bundle.leaking) | set(bundle.untested) <= set(bundle.splits)
    assert "patient" in set(bundle.splits) - set(bundle.leaking)


def test_data_set_of_the_study_then_labels_splits_and_losses_are_its_own():
    nodules = bundle_of(LUNG, {"min_readers": 3}, "lidc_nodules")
    assert (nodules.labels, nodules.losses) == (("votes",), "configs/losses")
    assert "subset" not in nodules.splits
    assert nodules.phantom_options is None
    assert nodules.data.min_readers == 3
    lesions = bundle_of(LUNG, {"kind": "instances"}, "folder")
    assert (lesions.labels, lesions.data.metric) == (("map",), "val_dice_per_slice")
    organs = bundle_of("liver_ct_segmentation", {}, "folder")
    assert (organs.losses, organs.data.metric) == ("configs/class_losses", "val_iou_pooled")
    assert set(organs.untested) == {"slice_random", "validation_only"}


@pytest.mark.parametrize(
    ("name", "declared", "data_set", "said"),
    [
        (LUNG, {}, "foldr", "data_set: no 'foldr'; did you mean folder"),
        (LUNG, {}, "folder", "labels of another kind than folder"),
        (LUNG, {"min_reader": 3}, "lidc_nodules", "prepare: key: no 'min_reader'; did you mean"),
        (LUNG, {"min_readers": 9}, "lidc_nodules", "min_readers: must be"),
        (LUNG, {"outlines": "x"}, None, "no 'outlines'"),
        ("lung", {}, None, "bundle: no 'lung'"),
    ],
)
def test_data_set_or_option_that_does_not_fit_then_refused(name, declared, data_set, said):
    with pytest.raises(ValueError, match=said):
        bundle_of(name, declared, data_set)
