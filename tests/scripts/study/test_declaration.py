import json
from pathlib import Path

import pytest

from scripts.study.choices import named
from scripts.study.declaration import read_study, with_methods, with_weights
from tests.scripts.study.studies import SMALL, STUDY, write_study

NETWORK = {"network": "unet", "encoder": "resnet34", "strategy": "bsft"}


ORGANS = {
    "config": "bundles/liver_ct_segmentation/configs/pretrain.json",
    "data": {"phantoms": {"patients": 12, "size": 96}, "prepare": {"volumes": False}},
}


LUNG = "bundles/lung_nodule_ct_segmentation/configs/pretrain.json"


STARTS = {"organs": ORGANS}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sedes": [1]}, "did you mean seeds"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"epochs": {"total": 1, "per_stage": 1}}, "epochs: must be"),
        ({"folds": [0, 1]}, "every method must have the split fold or nodule_fold, got patient"),
        ({"data": {"prepare": {"slice": "all"}}}, "did you mean slices"),
        ({"data": {"prepare": {"split": "nodule"}}}, "no 'split'"),
        ({"paper": {"rows": {"BSFT": {"Dice": 0.9}}}}, "need their source"),
        ({"paper": {"source": "x", "rows": {"BSFT": {"Jaccard": 0.9}}}}, "no 'Jaccard'"),
        ({"reference": "BFST"}, "did you mean BSFT"),
        ({"pretraining": ORGANS}, "pretraining: uses the data of the training, got data"),
        ({"pretraining": {"config": ORGANS["config"]}}, "config must be of bundles/lung_nodule"),
        ({"pretrainings": {"organs": {"config": ORGANS["config"]}}}, "organs: config must be of"),
        ({"bundle": "liver_ct_segmentation", "pretraining": {"config": LUNG}}, "sample_transforms"),
        ({"pretraining": {"config": "configs/none.json"}}, "no file configs/none.json"),
        ({"files": ["configs/runtime/none.json"]}, "no file configs/runtime/none.json"),
        (
            {"pretrainings": {"imagenet": ORGANS}},
            "one word other than imagenet, .*, own, none",
        ),
        ({"pretrainings": {"the organs": ORGANS}}, "got 'the organs'"),
        ({"pretrainings": {"organs": {}}}, "pretrainings: organs: lacks config"),
        ({"pretrainings": {"organs": {**ORGANS, "dat": {}}}}, "did you mean data"),
        ({"pretrainings": {"organs": {**ORGANS, "data": {}}}}, "organs: data lack phantoms"),
        (
            {"pretrainings": {"organs": {**ORGANS, "data": {"phantoms": {"nodules": 3}}}}},
            "organs: data: phantoms: key: no 'nodules'",
        ),
        ({"pretrainings": {"organs": {**ORGANS, "config": LUNG}}}, "on which the study tests"),
        (
            {"pretrainings": {"organs": {**ORGANS, "config": "configs/runtime/small.json"}}},
            "data need a config of liver_ct_segmentation or",
        ),
        (
            {"pretrainings": STARTS, "methods": [{**NETWORK, "weights": "organ"}]},
            r"did you mean organs\? Valid are imagenet, .*, organs, none, a file",
        ),
    ],
)
def test_study_that_cannot_be_when_read_then_refused(tmp_path, changes, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        read_study(write_study(tmp_path, **changes))


def test_study_of_an_unknown_name_then_those_that_are_there():
    with pytest.raises(FileNotFoundError, match=r"configs/studies has .*table5"):
        read_study("configs/studies/table55.json")


def test_small_form_then_its_entries_lie_over_the_full_ones(tmp_path):
    small = {"seeds": [7], "data": {"phantoms": {"patients": 3}}}
    study = read_study(write_study(tmp_path, small=small), small=True)
    assert study.seeds == (7,)
    assert study.data == {"phantoms": {"patients": 3}, "prepare": STUDY["data"]["prepare"]}
    assert read_study(tmp_path / "mine.json").seeds == (0,)


def test_small_form_then_laid_over_each_pretraining_alone(tmp_path):
    small = {"pretrainings": {"organs": {"settings": {"max_epochs": 2}}}}
    study = read_study(write_study(tmp_path, pretrainings=STARTS, small=small), small=True)
    assert study.pretrainings["organs"].settings == {"max_epochs": 2}
    assert study.pretrainings["organs"].data == ORGANS["data"]


@pytest.mark.parametrize("name", named("configs/studies"))
def test_shipped_study_then_can_be_read(name):
    assert read_study(f"configs/studies/{name}.json").methods


@pytest.mark.parametrize("name", SMALL)
def test_small_form_of_a_shipped_study_then_takes_minutes_a_training(name):
    study = read_study(f"configs/studies/{name}.json", small=True)
    assert len(study.seeds) <= 2
    if study.bundle.phantom_options is None:  # real data only: small crops
        assert study.epochs["updates"] * study.settings.get("batch_size", 32) <= 10_240
    else:
        assert study.data["phantoms"]["size"] <= 128


def test_file_of_imagenet_weights_then_read_by_the_methods_that_start_from_them(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"1")
    methods = [{**NETWORK, "name": name, "weights": name} for name in ("imagenet", "none")]
    study = read_study(write_study(tmp_path, methods=methods, reference="none"))
    assert [m.weights for m in with_weights(study, str(file)).methods] == [str(file), "none"]
    with pytest.raises(FileNotFoundError, match="imagenet_weights: no file"):
        with_weights(study, str(tmp_path / "other.pth"))
    both = [{**NETWORK, "encoder": ["resnet34", "vgg16"], "weights": "imagenet"}]
    several = read_study(write_study(tmp_path, methods=both, reference="resnet34"))
    with pytest.raises(ValueError, match="have the encoders resnet34, vgg16; give encoder=FILE"):
        with_weights(several, str(file))


def test_file_of_imagenet_weights_when_only_other_rows_are_run_then_of_no_effect(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"1")
    methods = [
        {**NETWORK, "name": "a", "weights": "imagenet"},
        {**NETWORK, "name": "b", "weights": "imagenet", "encoder": "vgg16"},
        {**NETWORK, "name": "c", "weights": "none"},
    ]
    study = read_study(write_study(tmp_path, methods=methods, reference="c"))
    assert with_weights(with_methods(study, ["c"]), f"vgg16={file}").methods[0].weights == "none"
    assert with_weights(with_methods(study, ["b"]), str(file)).methods[0].weights == str(file)
    with pytest.raises(ValueError, match="have the encoders resnet34, vgg16; "):
        with_weights(with_methods(study, ["c"]), f"densenet121={file}")


def test_files_of_imagenet_weights_when_each_names_its_encoder_then_others_keep_the_published(
    tmp_path,
):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"1")
    encoders = [{**NETWORK, "encoder": ["resnet34", "vgg16"], "weights": "imagenet"}]
    study = read_study(write_study(tmp_path, methods=encoders, reference="resnet34"))
    chosen = with_weights(study, f"vgg16={file}")
    assert [m.weights for m in chosen.methods] == ["imagenet", str(file)]
    both = with_weights(study, f"vgg16={file},resnet34={file}")
    assert [m.weights for m in both.methods] == [str(file)] * 2
    with pytest.raises(ValueError, match="have the encoders resnet34, vgg16; .* got densenet121="):
        with_weights(study, f"densenet121={file}")


def test_study_without_data_then_refused_unless_the_command_names_them(tmp_path):
    file = write_study(tmp_path)
    content = json.loads(Path(file).read_text())
    del content["data"]
    Path(file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lacks data; or give --data"):
        read_study(file)
    assert read_study(file, with_data=True).data == {}


def test_some_rows_of_a_study_then_the_others_left_out_and_an_unknown_one_refused(tmp_path):
    study = read_study(write_study(tmp_path))
    assert [method.name for method in with_methods(study, ["BSFT"]).methods] == ["BSFT"]
    other = with_methods(study, ["scratch"])
    assert other.reference == "scratch"
    with pytest.raises(ValueError, match="only: no 'scrach'; did you mean scratch"):
        with_methods(study, ["scrach"])
