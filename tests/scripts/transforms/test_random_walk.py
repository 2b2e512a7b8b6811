import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from scipy import ndimage

from scripts.transforms.random_walk import RandomWalk, RandomWalkd
from scripts.transforms.voxel_graph import largest_step, solve, voxel_graph

SPACING = (0.7, 0.7, 2.0)
OVERLAY = Path(__file__).resolve().parents[3] / "configs" / "postprocessing" / "random_walk.json"


def ball(shape=(24, 24, 12), radius_mm=6.0):
    axes = [np.arange(n) - (n - 1) / 2 for n in shape]
    grid = np.meshgrid(*[a * mm for a, mm in zip(axes, SPACING, strict=False)], indexing="ij")
    return sum(g**2 for g in grid) <= radius_mm**2


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def salt_and_pepper(truth, share=0.1, seed=0):
    rng = np.random.default_rng(seed)
    hit = rng.random(truth.shape) < share
    return np.where(hit, rng.random(truth.shape) < 0.5, truth).astype(np.float32)


def meta(array, spacing=SPACING):
    affine = torch.eye(4, dtype=torch.float64)
    for axis, mm in enumerate(spacing):
        affine[axis, axis] = -mm if axis < 2 else mm
    return MetaTensor(torch.as_tensor(np.asarray(array, np.float32)), affine=affine)


def item(probabilities, image, **others):
    return {"pred": meta(probabilities), "image": meta(image[None]), **others}


@pytest.mark.parametrize("shape", [(48, 48), (24, 24, 12)], ids=["disc", "ball"])
def test_walk_over_salt_and_pepper_then_dice_rises_and_components_fall(shape):
    truth = ball(shape)
    before = salt_and_pepper(truth)
    after = RandomWalk()(before[None], truth.astype(np.float32), SPACING[: len(shape)])[0]
    assert dice(after > 0.5, truth) >= dice(before > 0.5, truth) + 0.05
    assert ndimage.label(after > 0.5)[1] < ndimage.label(before > 0.5)[1]


def test_walk_then_probabilities_that_add_up_and_sure_voxels_unchanged():
    truth = ball()
    rng = np.random.default_rng(1)
    logits = np.stack([np.zeros(truth.shape), 8.0 * truth - 4, rng.normal(-4, 2, truth.shape)])
    logits = ndimage.gaussian_filter(logits, (0, 1, 1, 1)) * 3
    maps = np.asarray(torch.softmax(torch.as_tensor(logits), 0), np.float32)
    walk = RandomWalk(rounds=1)
    image = truth + rng.normal(0, 0.1, truth.shape)
    after = np.asarray(RandomWalkd("pred", walk)(item(maps, image))["pred"])
    np.testing.assert_allclose(after.sum(0), 1, atol=1e-6)
    assert after.min() >= 0
    assert after.max() <= 1
    borders = np.zeros(truth.shape, bool)
    labels = maps.argmax(0)
    for axis in range(3):
        same = np.diff(labels, axis=axis) != 0
        ends = [slice(None)] * 3
        for ends[axis] in (slice(None, -1), slice(1, None)):
            borders[tuple(ends)] |= same
    sure = (maps.max(0) >= 0.95) & ~ndimage.binary_dilation(borders, iterations=2)
    assert 0 < np.count_nonzero(sure) < sure.size
    assert np.array_equal(after[1:, sure], maps[1:, sure])
    assert (after[:, ~sure] != maps[:, ~sure]).any(axis=0).mean() > 0.9


def test_walk_of_one_round_then_the_solution_in_its_region():
    image = np.random.default_rng(2).random((9, 8))
    prior = np.full((1, 9, 8), 0.6, np.float32)
    prior[0, :2] = 0.99
    walk = RandomWalk(rounds=1, gamma=0.2, beta=5.0)
    unknown = prior[0] < 0.95
    largest = largest_step(image)
    graph = voxel_graph(image, unknown, (1, 2), beta=5.0, largest=largest)
    expected = prior[0].copy()
    expected[unknown] = solve(graph, prior, gamma=0.2)[0]
    np.testing.assert_allclose(walk(prior, image, (1, 2))[0], expected, atol=1e-6)


def test_rounds_then_the_region_shrinks_and_the_last_probabilities_are_the_prior(monkeypatch):
    regions, priors = [], []

    def recorded(graph, maps, **options):
        regions.append(int(np.count_nonzero(graph.unknown)))
        priors.append(float(maps[0][graph.unknown].mean()))
        return solve(graph, maps, **options)

    monkeypatch.setattr("scripts.transforms.random_walk.solve", recorded)
    truth = ball()
    before = salt_and_pepper(truth, share=0.02)[None]
    image = truth.astype(np.float32)
    after = [RandomWalk(rounds=n)(before, image, SPACING) for n in (1, 2, 3)]
    assert len(regions) == 6
    assert regions[0] == regions[1] == regions[3]
    assert regions[3] > regions[4] > regions[5]
    assert len(set(priors[3:])) == 3
    assert not np.array_equal(after[0], after[1])
    assert not np.array_equal(after[1], after[2])


def test_border_that_moves_towards_sure_voxels_then_they_keep_their_probabilities():
    prior = np.where(np.arange(16) < 8, 0.04 * (np.arange(16) % 2), 1.0).astype(np.float32)
    image = np.where(np.arange(16) < 6, 0.0, 1.0)
    after = RandomWalk(gamma=0.001)(prior[None], image, (1,))[0]
    assert (after > 0.5).argmax() == 6
    assert np.array_equal(after[:5], prior[:5])
    assert after[5] != prior[5]


def test_walk_when_all_voxels_are_sure_and_of_one_class_then_nothing_changes():
    background = np.full((1, 6, 6, 4), 0.01, np.float32)
    assert np.array_equal(RandomWalk()(background, np.zeros((6, 6, 4)), SPACING), background)


def test_walk_then_input_unchanged():
    before = salt_and_pepper(ball())[None]
    copy = before.copy()
    RandomWalk()(before, ball().astype(np.float32), SPACING)
    assert np.array_equal(before, copy)


def test_reach_when_zero_then_sharp_borders_stay_and_doubtful_voxels_do_not():
    prior = np.zeros((1, 10, 10), np.float32)
    prior[0, 4:] = 1
    prior[0, 8, 8] = 0.5
    image = np.zeros((10, 10), np.float32)
    after = RandomWalk(reach=0)(prior, image, (1, 1))
    assert after[0, 8, 8] > 0.9
    prior[0, 8, 8] = after[0, 8, 8]
    assert np.array_equal(after, prior)
    assert RandomWalk(reach=1)(prior, image, (1, 1))[0, 4, 0] < 0.9


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("beta", -1, "of at least 0"),
        ("beta", "90", "a number of at least 0, got '90'"),
        ("gamma", 0, "above 0"),
        ("gamma", float("nan"), "above 0"),
        ("gamma", float("inf"), "above 0"),
        ("sure", 0.5, "above 0.5, at most 1"),
        ("sure", 1.01, "above 0.5, at most 1"),
        ("reach", -1, "whole number, at least 0"),
        ("reach", 1.5, "whole number, at least 0"),
        ("rounds", 0, "whole number, at least 1"),
        ("rounds", True, "whole number, at least 1"),
    ],
)
def test_option_when_out_of_range_then_refused(option, value, rule):
    with pytest.raises(ValueError, match=rf"random_walk: {option}.* must be .*{rule}"):
        RandomWalk(**{option: value})


@pytest.mark.parametrize("option", [{"beta": 1.0}, {"gamma": 5.0}, {"sure": 0.7}, {"reach": 1}])
def test_option_then_changes_the_result(option):
    rng = np.random.default_rng(4)
    prior = ndimage.gaussian_filter(salt_and_pepper(ball()), 0.7)[None]
    image = ball() + rng.normal(0, 0.1, prior.shape[1:])
    assert not np.allclose(
        RandomWalk()(prior, image, SPACING), RandomWalk(**option)(prior, image, SPACING)
    )


def test_spacing_then_read_from_the_affine():
    prior, image = ndimage.gaussian_filter(salt_and_pepper(ball()), 0.7)[None], ball() * 1.0
    found = RandomWalkd("pred", RandomWalk())(item(prior, image))["pred"]
    expected = RandomWalk()(prior, image.astype(np.float32), SPACING)
    np.testing.assert_array_equal(np.asarray(found), expected)
    other = {"pred": meta(prior), "image": meta(image[None], (0.7, 0.7, 0.7))}
    assert not np.allclose(RandomWalkd("pred", RandomWalk())(other)["pred"], expected, atol=1e-3)


def test_slice_then_walked_in_its_plane_with_affine_and_history_kept():
    prior = ndimage.gaussian_filter(salt_and_pepper(ball((24, 20))), 0.7)[None]
    data = {"pred": meta(prior, (0.5, 0.8, 9.0)), "image": meta(np.stack([ball((24, 20))] * 3))}
    data["image"].affine = data["pred"].affine
    data["pred"].push_applied_operation({"class": "Earlier"})
    found = RandomWalkd("pred", RandomWalk(), channel=1)(data)["pred"]
    expected = RandomWalk()(prior, ball((24, 20)).astype(np.float32), (0.5, 0.8))
    np.testing.assert_array_equal(np.asarray(found), expected)
    assert torch.equal(found.affine, data["pred"].affine)
    assert found.applied_operations == data["pred"].applied_operations
    assert torch.equal(data["pred"].as_tensor(), torch.as_tensor(prior))


def test_channel_then_the_one_whose_intensities_count():
    prior = salt_and_pepper(ball())
    image = np.stack([np.zeros(prior.shape), ball() * 1.0])
    data = {"pred": meta(prior[None]), "image": meta(image)}
    flat, edged = (
        np.asarray(RandomWalkd("pred", RandomWalk(), channel=c)(data)["pred"])[0] > 0.5
        for c in (0, 1)
    )
    assert dice(edged, ball()) > dice(flat, ball())


def test_unknown_classes_then_background_before_the_walk():
    truth = ball()
    maps = np.stack([0.3 * truth + 0.0, 0.4 * ~truth, 0.6 * np.ones(truth.shape)])
    maps[0] += 1 - maps.sum(0)
    maps = maps.astype(np.float32)
    known = torch.tensor([True, True, False])
    merged = np.stack([maps[0] + maps[2], maps[1], np.zeros_like(maps[0])])
    walked = RandomWalkd("pred", RandomWalk())
    found = walked(item(maps, truth, class_known=known))["pred"]
    expected = walked(item(merged, truth))["pred"]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    assert not np.asarray(found)[2].any()
    free = walked(item(maps, truth))["pred"]
    assert np.asarray(free)[2].any()
    with pytest.raises(ValueError, match="class_known: must be 3 times true or false"):
        walked(item(maps, truth, class_known=known[:2]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.zeros(1, 24, 24, 12)}, "image: .*with its affine.*got Tensor"),
        ({"image": meta(np.zeros((1, 24, 24, 5)))}, r"image: .*\(C, 24, 24, 12\), got MetaTensor"),
        ({"image": None}, "image: .*got NoneType"),
        ({"pred": meta(np.full((1, 24, 24, 12), -3.0))}, "needs probabilities, got values from -3"),
        ({"pred": meta(np.full((2, 24, 24, 12), 0.7))}, "2 classes must add up to 1, are 0.4"),
        ({"pred": meta(np.full((1, 24, 24, 12), np.nan))}, "needs probabilities, got values from"),
    ],
    ids=["no affine", "other shape", "no image", "logits", "two sigmoids", "not a number"],
)
def test_data_that_cannot_be_walked_then_refused(change, message):
    data = {**item(ball()[None], ball()), **change}
    with pytest.raises(ValueError, match=message):
        RandomWalkd("pred", RandomWalk())(data)


def test_channel_when_the_image_lacks_it_then_refused():
    with pytest.raises(ValueError, match="channel: must be below the 1 channels of image, got 1"):
        RandomWalkd("pred", RandomWalk(), channel=1)(item(ball()[None], ball()))


@pytest.mark.parametrize(("channels", "middle"), [(1, 0), (3, 1)])
def test_file_of_the_walk_then_its_defaults_and_the_slice_itself(channels, middle):
    parser = ConfigParser({**json.loads(OVERLAY.read_text()), "in_channels": channels})
    (transform,) = parser.get_parsed_content("refining")
    assert transform.walk == RandomWalk()
    assert transform.channel == middle
