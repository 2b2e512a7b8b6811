"""A study takes phantoms, a download or a prepared folder, and refuses what it cannot run on."""

import os

import pytest

import scripts.study.sample_sources
from scripts.study.declaration import read_study
from scripts.study.sample_sources import Source, choose_source, given_task, prepared_task
from tests.scripts.study.studies import STUDY, write_datalist, write_study

READERS = [{"name": "x", "network": "unet", "encoder": "resnet34", "label": ["ball", "readers"]}]


def read(folder, *, small=True, **changes):
    return read_study(write_study(folder, **changes), small=small)


def test_small_form_without_data_then_phantoms_and_the_full_form_refused(tmp_path):
    assert choose_source(read(tmp_path), None, None, None).data is None
    with pytest.raises(ValueError, match="full form of mine needs real scans"):
        choose_source(read(tmp_path, small=False), None, None, None)


def test_folder_that_is_not_there_then_refused_by_option(tmp_path):
    with pytest.raises(FileNotFoundError, match="data: no such folder"):
        choose_source(read(tmp_path), str(tmp_path / "gone"), None, None)


def test_reader_labels_without_outlines_then_refused(tmp_path):
    with pytest.raises(ValueError, match="give --outlines DIR"):
        choose_source(read(tmp_path, methods=READERS), str(tmp_path), None, None)


def test_prepared_folder_for_two_labels_then_refused_and_for_one_taken_as_given(tmp_path):
    with pytest.raises(ValueError, match="is prepared with one label"):
        choose_source(read(tmp_path, methods=READERS), write_datalist(tmp_path), None, None)
    study = read(tmp_path)
    source = choose_source(study, write_datalist(tmp_path), None, None)
    task = prepared_task(study, source, ("ball", "patient", 0))
    assert task.given == tmp_path
    assert source.is_prepared
    text = source.describe(study.bundle, study.data)
    assert "LUNA16, lung nodules, label ball, split patient with seed 5" in text


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"label": "readers"}, "holds label readers, the study declares label ball"),
        ({"split": "slice_block"}, "holds split slice_block, the study declares split patient"),
        (
            {"name": "lidc_nodules", "label": "votes"},
            "holds data set lidc_nodules, label votes, the study declares data set luna16, label",
        ),
        ({"kind": "classes"}, "kind classes"),
    ],
)
def test_prepared_folder_of_something_else_then_refused(tmp_path, held, said):
    with pytest.raises(ValueError, match=said):
        choose_source(read(tmp_path), write_datalist(tmp_path, **held), None, None)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"slices": "central"}, "holds slices all, the study declares slices central"),
        ({"empty_share": 0.1}, "holds empty_share 0.3, the study declares empty_share 0.1"),
        ({"shares": "6:2:2"}, "holds shares 8:1:1, the study declares shares 6:2:2"),
    ],
    ids=["slices", "empty slices", "shares"],
)
def test_prepared_folder_with_other_options_then_refused(tmp_path, declared, said):
    study = read(tmp_path, data={"prepare": declared, "phantoms": {}})
    with pytest.raises(ValueError, match=said):
        choose_source(study, write_datalist(tmp_path, slices="all", empty_share=0.3), None, None)


def test_prepared_folder_then_described_as_its_datalist_says(tmp_path):
    study = read(tmp_path, data={"prepare": {"slices": "all"}, "phantoms": {}})
    data = write_datalist(tmp_path, slices="all", empty_share=0.3)
    text = choose_source(study, data, None, None).describe(study.bundle, study.data)
    assert text.endswith("with seed 5, slices all, empty_share 0.3, shares 8:1:1")


def test_given_folder_then_hashed_once_until_its_datalist_changes(tmp_path, monkeypatch):
    write_datalist(tmp_path)
    hashed = []
    monkeypatch.setattr(
        scripts.study.sample_sources, "content_sha256", lambda path: hashed.append(path) or "0"
    )
    assert given_task(tmp_path).key == given_task(tmp_path).key
    assert len(hashed) == 1
    os.utime(tmp_path / "datalist.json", ns=(0, 0))
    given_task(tmp_path)
    assert len(hashed) == 2


def test_prepared_folder_that_does_not_say_how_then_refused(tmp_path):
    (tmp_path / "datalist.json").write_text("{}")
    with pytest.raises(ValueError, match="lacks .*, which describes how it was prepared"):
        choose_source(read(tmp_path), str(tmp_path), None, None)


def test_data_set_of_ones_own_then_prepared_with_its_options_and_without_a_label(tmp_path):
    changes = {
        "data_set": "folder",
        "data": {"prepare": {"kind": "instances", "objects": "values"}},
        "methods": [{"name": "x", "network": "unet", "encoder": "resnet34", "split": "given"}],
        "small": {
            "methods": [{"name": "x", "network": "unet", "encoder": "resnet34", "split": "given"}]
        },
        "paper": {},
    }
    study = read(tmp_path, **changes)
    with pytest.raises(ValueError, match="declares no phantoms"):
        choose_source(study, None, None, None)
    source = choose_source(study, str(tmp_path), None, None)
    task = prepared_task(study, source, ("map", "given", 0))
    text = " ".join(task.words)
    assert text.startswith(f"-m scripts prepare folder --source {tmp_path}")
    assert "--kind instances --objects values --split given" in text
    assert "--label" not in text
    assert source.describe(study.bundle, study.data) == f"CT with label maps, in {tmp_path}"


def test_download_then_prepared_with_the_studys_options(tmp_path):
    study = read(tmp_path)
    source = choose_source(study, str(tmp_path), None, None)
    task = prepared_task(study, source, ("ball", "nodule", 3))
    text = " ".join(task.words)
    assert text.startswith(f"-m scripts prepare luna16 --source {tmp_path}")
    assert "--split nodule" in text
    assert "--seed 3" in text
    assert "--label ball" in text
    assert not task.needs


@pytest.mark.parametrize(
    ("split", "passed"), [("patient", True), ("nodule", False), ("test_only", False)]
)
def test_option_of_one_split_then_passed_only_to_rows_of_that_split(tmp_path, split, passed):
    data = {**STUDY["data"], "prepare": {"shares": "6:2:2", "empty_share": 0.1}}
    study = read(tmp_path, small=False, data=data)
    text = " ".join(prepared_task(study, Source(tmp_path), ("ball", split, 0)).words)
    assert ("--shares 6:2:2" in text) == passed
    assert "--empty_share 0.1" in text


def test_phantoms_then_drawn_first_and_their_masks_are_the_labels(tmp_path):
    study = read(tmp_path)
    source = choose_source(study, None, None, None)
    task = prepared_task(study, source, ("masks", "patient", 0))
    (cohort,) = task.needs
    assert " ".join(cohort.words[:4]) == "-m scripts phantom luna16"
    assert "<need0>/masks" in task.words
    text = source.describe(study.bundle, STUDY["data"])
    assert "they allow no conclusion about patients" in text


def test_pretraining_data_that_no_pretraining_asks_for_then_refused(tmp_path):
    with pytest.raises(ValueError, match="pretraining_data: must be for pretrainings"):
        choose_source(read(tmp_path), None, None, None, pretraining_data=str(tmp_path))


def test_fold_then_prepared_as_the_test_fold(tmp_path):
    study = read(tmp_path, small=False)
    task = prepared_task(study, Source(tmp_path), ("ball", "fold", 2), fold=4)
    assert "--test_fold 4" in " ".join(task.words)
    assert task.name == "luna16 ball fold 4 seed 2"


def test_further_test_data_then_the_folder_of_all_rows_and_refused_if_nothing_is_tested(tmp_path):
    source = choose_source(read(tmp_path), None, None, None, test_source=str(tmp_path))
    assert source.of_test.data == tmp_path
    with pytest.raises(FileNotFoundError, match="test_source: no such folder"):
        choose_source(read(tmp_path), None, None, None, test_source=str(tmp_path / "gone"))
    figures = {"Dice": "val_dice_per_slice"}
    validated = read(tmp_path, rows="validated_stages", figures=figures, paper={})
    with pytest.raises(ValueError, match="test_source: the rows of this study are validated"):
        choose_source(validated, None, None, None, test_source=str(tmp_path))


def test_further_test_data_with_masks_that_phantoms_would_bring_then_asked_for(tmp_path):
    study = read(tmp_path, common={"label": "masks"})
    with pytest.raises(ValueError, match="masks: the test set has labels of kind masks"):
        choose_source(study, None, None, None, test_source=str(tmp_path))
