"""Names in a study's file are checked against the files and data sets that exist."""

from pathlib import Path

import pytest

from scripts.study.choices import BUNDLES, check_keys, check_name, named


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


@pytest.mark.parametrize("bundle", BUNDLES.values(), ids=list(BUNDLES))
def test_bundle_of_studies_then_its_folders_exist_and_its_leaking_splits_are_splits(bundle):
    assert (Path(bundle.folder) / "configs" / "train.json").is_file()
    assert Path(bundle.losses).is_dir()
    assert set(bundle.leaking) | set(bundle.untested) <= set(bundle.splits)
