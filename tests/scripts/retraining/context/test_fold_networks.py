import json

import pytest

from scripts.bundle.recipe import Recipe
from scripts.datasets.datalist import absolute, load_datalist, read_datalist
from scripts.retraining.context.fold_networks import (
    assign_folds,
    fold_networks,
    patient_of,
    training_task,
)
from tests.scripts.retraining.patients import write_patients


@pytest.fixture
def content(tmp_path):
    datalist = write_patients(tmp_path / "prepared")
    return absolute(read_datalist(datalist), datalist.parent)


def test_folds_then_every_patient_in_one_and_sizes_alike():
    patients = [f"P{number}" for number in range(11)]
    folds = assign_folds(patients, 3, seed=4)
    assert sorted(patient for fold in folds for patient in fold) == sorted(patients)
    assert {len(fold) for fold in folds} == {3, 4}
    assert folds == assign_folds(reversed(patients), 3, seed=4)
    assert folds != assign_folds(patients, 3, seed=5)


@pytest.mark.parametrize("count", [1, 5])
def test_folds_when_more_than_patients_or_one_then_refused(count):
    with pytest.raises(ValueError, match=rf"context_folds: must be from 2 .* 4, got {count}"):
        assign_folds("abcd", count, seed=0)


def test_networks_then_each_lacks_the_patients_that_it_predicts(content):
    *folds, last = fold_networks(content, 2, seed=0)
    assert [network.name for network in (*folds, last)] == ["fold0", "fold1", "all"]
    predicted = []
    for network in folds:
        for lists in (network.content, network.content["volumes"]):
            assert network.predicts.isdisjoint(map(patient_of, lists["training"]))
            assert len(lists["validation"]) == len(content["volumes"]["validation"]) * (
                2 if lists is network.content else 1
            )
        predicted += [e for e in content["training"] if network.is_for("training", e)]
        assert not network.is_for("validation", content["validation"][0])
    assert sorted(e["series_uid"] for e in predicted) == sorted(
        e["series_uid"] for e in content["training"]
    )
    assert last.content == content
    assert last.is_for("test", content["test"][0])
    assert not last.is_for("training", content["training"][0])


def test_two_scans_of_a_patient_then_in_one_fold(content):
    for network in fold_networks(content, 3, seed=1)[:-1]:
        uids = {entry["series_uid"] for entry in network.content["training"]}
        assert len({"c", "d"} & uids) in (0, 2)


def test_datalist_written_elsewhere_then_names_the_same_files(content, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "datalist.json").write_text(json.dumps(content))
    for section in ("training", "volumes/test"):
        here, there = (
            load_datalist(tmp_path / folder / "datalist.json", section)
            for folder in ("prepared", "elsewhere")
        )
        assert here == there


def test_training_then_its_key_depends_on_config_data_and_seed(content, tmp_path):
    def task(data, *files, seed=0):
        recipe = Recipe("bundles/lung_nodule_ct_segmentation", files)
        return training_task(recipe, "fold0", data, seed=seed)

    full, part = tmp_path / "prepared", tmp_path / "part"
    part.mkdir()
    (part / "datalist.json").write_text(json.dumps(fold_networks(content, 2, seed=0)[0].content))
    plain = "configs/networks/unet_plain.json"
    keys = {task(full).key, task(part).key, task(full, plain).key, task(full, seed=1).key}
    assert len(keys) == 4
    assert task(full).key == task(full).key
    assert task(full).resumable
