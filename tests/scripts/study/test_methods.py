"""The rows of a study: lists are multiplied out, what does not exist or fit is refused."""

import pytest

from scripts.study.declaration import read_study
from tests.scripts.study.studies import write_study

NETWORK = {"network": "unet", "encoder": "resnet34", "strategy": "bsft"}
WRONG = {
    "network": ([{**NETWORK, "network": "unett"}], "did you mean unet"),
    "encoder": ([{**NETWORK, "encoder": "resnet43"}], "did you mean resnet38 or resnet34"),
    "norms of an encoder without": (
        [{**NETWORK, "encoder": "vgg16", "strategy": "norms"}],
        r"methods\[0\]: strategy: 'norms' releases .* choose one with norms",
    ),
    "encoder of none": (
        [{**NETWORK, "network": "unet_plain", "strategy": "scratch"}],
        "unet_plain has no encoder",
    ),
    "strategy": ([{**NETWORK, "strategy": "bstf"}], r"no 'bstf'; did you mean bsft\? Valid are"),
    "loss": ([{**NETWORK, "loss": "dise"}], "did you mean dice"),
    "split": ([{**NETWORK, "split": "patients"}], "did you mean patient"),
    "label": ([{**NETWORK, "label": "disc"}], "Valid are ball, readers, masks"),
    "key of a method": ([{**NETWORK, "stratgy": "bsft"}], "did you mean strategy"),
    "no network": ([{"strategy": "bsft"}], "lacks network"),
    "same names": ([NETWORK, NETWORK], "more than once"),
    "own weights": ([{**NETWORK, "weights": "own"}], "declares no pretraining"),
    "weights": (
        [{**NETWORK, "weights": "organ"}],
        "no 'organ'. Valid are imagenet, .*, none, a file",
    ),
    "weights of a network with its own": (
        [{**NETWORK, "encoder": "resnet38", "weights": "imagenet"}],
        r"methods\[0\]: no weights 'imagenet' are published for 'resnet38', only for",
    ),
    "a plain network with stages": (
        [{"network": "unet_plain", "strategy": "bsft"}],
        "its strategy must be scratch",
    ),
    "weights that nobody published": (
        [{"network": "csae", "strategy": "csae", "weights": "imagenet"}],
        "weights: none are published for csae; name one of the study's pretrainings",
    ),
    "encoder of a network with its own": (
        [{"network": "csae", "encoder": "resnet34", "strategy": "csae", "weights": "none"}],
        "csae has no encoder",
    ),
}


@pytest.mark.parametrize(("methods", "said"), WRONG.values(), ids=WRONG)
def test_method_that_cannot_be_when_read_then_refused_with_valid_names(tmp_path, methods, said):
    with pytest.raises(ValueError, match=said):
        read_study(write_study(tmp_path, methods=methods))


def test_lists_in_a_method_then_multiplied_out_and_named_after_them(tmp_path):
    grid = [{**NETWORK, "split": ["patient", "nodule"], "loss": ["dice", "soft_jaccard"]}]
    methods = read_study(write_study(tmp_path, methods=grid)).methods
    assert [method.name for method in methods] == [
        *("patient · dice", "patient · soft_jaccard", "nodule · dice", "nodule · soft_jaccard")
    ]
    assert methods[2].split == "nodule"


def test_network_with_weights_of_its_own_then_any_strategy_and_pretraining(tmp_path):
    start = {"config": "bundles/lung_nodule_ct_segmentation/configs/pretrain.json"}
    rows = [{"network": "csae", "strategy": ["csae", "full"], "weights": ["none", "sparse"]}]
    study = read_study(write_study(tmp_path, methods=rows, pretrainings={"sparse": start}))
    chosen = {(method.strategy, method.weights) for method in study.methods}
    assert chosen == {("csae", "none"), ("csae", "sparse"), ("full", "none"), ("full", "sparse")}
