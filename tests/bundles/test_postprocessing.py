"""The files of configs/postprocessing in the evaluation of either bundle, without a network."""

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from scripts.packaging.configs import packaged_configs
from scripts.transforms.random_walk import RandomWalk, RandomWalkd
from tests.bundles.config_files import ROOT

pytestmark = pytest.mark.usefixtures("_at_root")
WALK = "configs/postprocessing/random_walk.json"
LUNG, LIVER = "lung_nodule_ct_segmentation", "liver_ct_segmentation"
SHAPES = [(20, 24), (20, 24, 8)]


def postprocessing(bundle, *overlays):
    parser = ConfigParser()
    parser.read_config([f"bundles/{bundle}/configs/evaluate.json", *overlays])
    parser["threshold"], parser["in_channels"] = 0.5, 3
    parser.resolve_macro_and_relative_ids()
    return parser.get_parsed_content("postprocessing")


def evaluated(logits, **others):
    """What an evaluator passes on: random logits and an image with an edge, 0.7 x 0.7 x 2 mm."""
    affine = torch.diag(torch.tensor([0.7, 0.7, 2.0, 1.0], dtype=torch.float64))
    image = torch.zeros(3, *logits.shape[1:])
    image[1, 8:] = 1
    return {
        "pred": MetaTensor(logits, affine=affine),
        "image": MetaTensor(image, affine=affine),
    } | others


def random_logits(classes, shape):
    return torch.randn(classes, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES, ids=["slice", "volume"])
def test_nodules_then_mask_and_probability_are_those_of_the_walk(shape):
    logits = random_logits(1, shape)
    found = postprocessing(LUNG, WALK)(evaluated(logits))
    walked = RandomWalkd("pred", RandomWalk(), channel=1)(evaluated(logits.sigmoid()))["pred"]
    assert torch.equal(found["probability"].as_tensor(), walked.as_tensor())
    assert torch.equal(found["pred"].as_tensor(), (walked.as_tensor() >= 0.5).float())
    assert not torch.equal(found["pred"].as_tensor(), (logits >= 0).float())


@pytest.mark.parametrize("shape", SHAPES, ids=["slice", "volume"])
def test_organs_then_class_is_that_of_the_walk_with_unknown_ones_as_background(shape):
    logits, known = random_logits(4, shape), torch.tensor([True, True, True, False])
    item = evaluated(logits, class_known=known)
    found = postprocessing(LIVER, WALK)(item)["pred"].as_tensor()
    probabilities = evaluated(logits.softmax(0), class_known=known)
    walked = RandomWalkd("pred", RandomWalk(), channel=1)(probabilities)["pred"].as_tensor()
    assert torch.equal(found[0].long(), walked.argmax(0))
    assert set(found.unique().tolist()) <= {0, 1, 2}


def test_bundles_without_the_file_then_logits_decide_as_before():
    logits = random_logits(4, SHAPES[0])
    found = postprocessing(LIVER)(evaluated(logits))["pred"].as_tensor()
    assert torch.equal(found[0].long(), logits.argmax(0))
    nodules = postprocessing(LUNG)(evaluated(logits[:1]))
    assert torch.equal(nodules["probability"].as_tensor(), logits[:1].sigmoid())


@pytest.mark.parametrize("bundle", [LUNG, LIVER])
def test_package_then_walks_wherever_it_predicts(bundle):
    made = packaged_configs(ROOT / "bundles" / bundle, [WALK])
    for name in ("evaluate", "inference"):
        assert made[name]["random_walk"]["_target_"].endswith("RandomWalk")
        assert [one["walk"] for one in made[name]["refining"]] == ["@random_walk"]
    assert not {"random_walk", "refining"} & made["train"].keys()
