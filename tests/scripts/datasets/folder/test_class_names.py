import json

import pytest

from scripts.datasets.folder.class_names import (
    assumed_names,
    check_modality,
    read_class_file,
    read_class_option,
    read_dataset_classes,
    read_segments_option,
)


@pytest.mark.parametrize(
    "labels",
    [{"0": "background", "1": "liver", "2": "left kidney"}, {"left kidney": 2, "liver": 1}],
    ids=["decathlon", "nnunet"],
)
def test_classes_when_written_either_way_then_names_by_value(tmp_path, labels):
    names = {0: "background", 1: "liver", 2: "left kidney"}
    assert read_dataset_classes({"labels": labels}, tmp_path / "dataset.json").names == names
    (tmp_path / "classes.json").write_text(json.dumps(labels))
    named = read_class_file(tmp_path / "classes.json")
    assert list(named.names.items()) == list(names.items())
    assert named.origin == "classes.json"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (None, r"dataset\.json: labels must be there"),
        ({"whole tumour": [1, 2]}, r"'whole tumour' is a region of the values \[1, 2\]"),
        ({"liver": 1, "ignore": 2}, "'ignore' .value 2. cannot be left out"),
        ({"liver": 1, "spleen": 1}, "each value needs one unique name"),
        ({"1": "liver", "2": "liver"}, "each value needs one unique name"),
        ({"1": ""}, "each value needs one unique name"),
        ({"1": "liver", "5": "spleen"}, r"without a gap.*got \[1, 5\]; renumber"),
        ({"0": "background"}, r"the values must be 1, 2, 3 .* got \[\]"),
        ({"liver": 1.5}, r"must be like .* got 'liver': 1\.5"),
        ({"liver": True}, "must be like .* got 'liver': True"),
        ({"1": 2}, "must be like .* got '1': 2"),
    ],
)
def test_classes_when_they_name_no_values_then_refused(tmp_path, labels, reason):
    with pytest.raises(ValueError, match=reason):
        read_dataset_classes({"labels": labels}, tmp_path / "dataset.json")


@pytest.mark.parametrize("text", ["liver", "1:liver,spleen", "liver:1", "", 5, "1;liver"])
def test_class_option_when_not_value_and_name_then_refused(text):
    with pytest.raises(ValueError, match="class_names: must be like 1:liver,2:spleen, got"):
        read_class_option(text)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "modality .or channel_names. must be"),
        ({"modality": {"0": "MRI"}}, "modality must be CT alone, got MRI"),
        ({"modality": {"0": "CT", "1": "PET"}}, "modality must be CT alone, got CT, PET"),
        ({"channel_names": {"0": "T1"}}, "channel_names must be CT alone, got T1"),
    ],
)
def test_modality_when_not_ct_alone_then_refused_by_name(tmp_path, content, reason):
    with pytest.raises(ValueError, match=reason):
        check_modality(content, tmp_path / "dataset.json")


def test_modality_when_ct_then_accepted(tmp_path):
    check_modality({"channel_names": {"0": "ct"}}, tmp_path / "dataset.json")


def test_assumed_names_then_one_lesion_and_said_so():
    assert assumed_names().names == {0: "background", 1: "lesion"}
    assert "the default" in assumed_names().origin


def test_segments_of_a_file_then_one_name_or_several(tmp_path):
    path = tmp_path / "names.json"
    path.write_text('{"liver": ["Leber", "a=b,c"], "tumour": "GTV*"}')
    wanted = {"liver": ("Leber", "a=b,c"), "tumour": ("GTV*",)}
    assert read_segments_option(str(path), ["liver", "tumour"]) == wanted
    assert read_segments_option(None, ["liver"]) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("liver", "segments: must be like liver=Leber"),
        ("liver=", "segments: must be like liver=Leber"),
        ("liver=a,liver=b", "segments: must name each class once"),
        ("leber=a", "segments: leber must be of the classes liver"),
        ("none.json", r"segments: no such file: none\.json"),
    ],
)
def test_segments_when_they_cannot_be_read_then_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_segments_option(text, ["liver"])
