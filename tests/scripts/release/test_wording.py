"""Records in words; what is not recorded is said to be so."""

import pytest

from scripts.release.wording import UNRECORDED, input_of, label_of, network_of, split_of, start_of


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"encoder_weights": "imagenet"}, "the published ImageNet weights of the encoder"),
        ({"encoder_weights": "coco"}, "the published COCO (FCN) weights of the encoder"),
        ({"encoder_weights": "none"}, "random weights"),
        ({"encoder_weights": "https://a.org/x/enc.pth#sha256=0"}, "of the file enc.pth"),
        ({"encoder_weights": "imagenet", "start_from": "/home/me/model.pt"}, "network, model.pt"),
        ({"encoder_weights": "none", "start_from": "none"}, "random weights"),
        ({"encoder_weights": "@other"}, "not recorded"),
        ({}, "not recorded"),
    ],
)
def test_start_then_what_the_config_says_without_folders(config, words):
    assert words in start_of(config)
    assert "/home" not in start_of(config)


def test_network_of_another_project_then_named_as_it_is():
    assert network_of({"network_def": None}) == "network of another project"
    assert network_of({"network_def": {"_target_": "custom_nets.plain.PlainUNet"}}) == "PlainUNet"


def test_split_that_leaks_then_said():
    assert "LEAK: nodules of one patient" in split_of({"kind": "nodule", "seed": 0}, "luna16")
    assert "LEAK" not in split_of({"kind": "patient", "shares": [8, 1, 1]}, "luna16")
    assert "shares 8:1:1" in split_of({"kind": "patient", "shares": [8, 1, 1]}, "luna16")
    assert split_of(None, "luna16") == UNRECORDED
    assert split_of({"kind": "own", "seed": 1}, None) == "kind own, seed 1"


def test_label_then_explained_with_its_number_of_readers():
    assert "at least 3 readers" in label_of(["readers"], 3)
    assert label_of(["ball"], None) == "ball: a ball with the annotated centre and diameter"
    assert label_of([], None) == UNRECORDED


def test_input_then_window_and_masking():
    settings = {"window_hu": [-1000, 400], "outside_window": "clip", "lung_masking": True}
    lines = "; ".join(input_of({**settings, "in_channels": 3, "threshold": 0.5}))
    assert "HU from -1000 to 400 mapped to [0, 1], values outside clipped" in lines
    assert "everything outside the lungs is black" in lines
