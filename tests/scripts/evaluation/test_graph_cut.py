import itertools

import numpy as np
import pytest

from scripts.datasets.luna16.instances import ball_mask
from scripts.evaluation.graph_cut import (
    GraphCutOptions,
    boundary_weights,
    minimum_cut,
    segment_nodule,
)


def energy(inside, cost_inside, cost_outside, weights):
    """What a labelling costs, by the definition."""
    total = np.where(inside, cost_inside, cost_outside).sum()
    for axis, weight in enumerate(weights):
        total += weight[np.diff(inside.astype(int), axis=axis) != 0].sum()
    return total


def problem(shape, seed, scale=1.0):
    random = np.random.default_rng(seed)
    costs = random.uniform(0, scale, (2, *shape))
    weights = [
        random.uniform(0, 0.6 * scale, [n - (a == axis) for a, n in enumerate(shape)])
        for axis in range(len(shape))
    ]
    return costs[0], costs[1], weights


def every_labelling(shape):
    size = int(np.prod(shape))
    return [np.reshape(bits, shape).astype(bool) for bits in itertools.product((0, 1), repeat=size)]


@pytest.mark.parametrize("shape", [(8,), (3, 3), (2, 2, 2), (1, 4)], ids=str)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
def test_cut_when_every_labelling_is_tried_then_none_is_cheaper(shape, scale):
    for seed in range(5):
        costs = problem(shape, seed, scale)
        found = energy(minimum_cut(*costs), *costs)
        least = min(energy(labelling, *costs) for labelling in every_labelling(shape))
        assert found == pytest.approx(least, rel=1e-6)


def test_cut_with_seeds_then_cheapest_of_those_that_keep_them():
    cost_inside, cost_outside, weights = problem((3, 3), seed=1)
    cost_inside[0, 0], cost_outside[2, 2] = np.inf, np.inf  # against what they would have been
    cost_outside[0, 0], cost_inside[2, 2] = 50.0, 50.0
    found = minimum_cut(cost_inside, cost_outside, weights)
    kept = [x for x in every_labelling((3, 3)) if not x[0, 0] and x[2, 2]]
    least = min(energy(x, cost_inside, cost_outside, weights) for x in kept)
    assert not found[0, 0]
    assert found[2, 2]
    assert energy(found, cost_inside, cost_outside, weights) == pytest.approx(least)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, o, w: (i, o[:-1], w), "must have shapes"),
        (lambda i, o, w: (i, o, w[:1]), "must have shapes"),
        (lambda i, o, w: (i, o, [-w[0], w[1]]), "weights: must be finite and at least 0"),
        (lambda i, o, w: (i + np.inf, o + np.inf, w), "neither inside nor outside"),
    ],
    ids=["other shape", "an axis lacks", "below 0", "neither"],
)
def test_cut_of_what_is_no_problem_then_refused(change, message):
    with pytest.raises(ValueError, match=message):
        minimum_cut(*change(*problem((3, 3), seed=0)))


def phantom(spacing_zyx, *, diameter_mm=14.0, noise_hu=120.0, beside=None):
    """A ball of soft tissue in lung, and where it is; optionally next to a wall of tissue."""
    spacing = np.array(spacing_zyx)
    shape = tuple(np.ceil(44 / spacing).astype(int))
    centre_mm = (np.array(shape) - 1) / 2 * spacing + 0.3
    affine = np.diag([*spacing[::-1], 1.0])
    ball = ball_mask(shape, affine, centre_mm[::-1], diameter_mm)
    hu = np.where(ball, 20.0, -850.0)
    if beside is not None:
        hu[:, :, : int((centre_mm[2] - diameter_mm / 2 - beside) / spacing[2])] = 50.0
    noise = np.random.default_rng(0).normal(0, noise_hu, shape)
    return hu + noise, ball, centre_mm / spacing


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7)], ids=["cubes", "thick"])
@pytest.mark.parametrize("diameter_mm", [6.0, 14.0])
def test_ball_in_noise_then_found_in_the_volume(spacing, diameter_mm):
    hu, ball, centre = phantom(spacing, diameter_mm=diameter_mm)
    found = segment_nodule(hu, centre, diameter_mm, spacing_mm=spacing)
    assert dice(found, ball) >= 0.9


def test_ball_in_strong_noise_then_found_where_a_threshold_fails():
    hu, ball, centre = phantom((1.0, 1.0, 1.0), noise_hu=300.0)
    found = segment_nodule(hu, centre, 14.0, spacing_mm=(1, 1, 1))
    assert dice(found, ball) >= 0.9
    assert dice(hu > -415, ball) < 0.7


def test_ball_beside_the_pleura_then_not_the_pleura():
    hu, ball, centre = phantom((1.0, 1.0, 1.0), beside=2.0)
    found = segment_nodule(hu, centre, 14.0, spacing_mm=(1, 1, 1))
    assert dice(found, ball) >= 0.9


def test_disc_in_a_slice_then_found():
    hu, ball, centre = phantom((1.0, 0.8, 0.8))
    middle = round(centre[0])
    found = segment_nodule(hu[middle], centre[1:], 14.0, spacing_mm=(0.8, 0.8))
    assert found.shape == hu.shape[1:]
    assert dice(found, ball[middle]) >= 0.9


def test_diameter_that_is_a_fifth_off_then_the_same_ball():
    hu, ball, centre = phantom((1.0, 1.0, 1.0))
    for factor in (0.8, 1.2):
        found = segment_nodule(hu, centre, factor * 14.0, spacing_mm=(1, 1, 1))
        assert dice(found, ball) >= 0.9


def test_smoothness_then_a_shorter_boundary():
    hu, _, centre = phantom((1.0, 1.0, 1.0), noise_hu=400.0)
    faces = []
    for smoothness_mm in (0.01, 3.0):
        options = GraphCutOptions(smoothness_mm=smoothness_mm)
        found = segment_nodule(hu, centre, 14.0, spacing_mm=(1, 1, 1), options=options)
        faces.append(sum(np.diff(found.astype(int), axis=a).astype(bool).sum() for a in range(3)))
    assert faces[1] < faces[0]


def test_boundary_weights_then_per_mm_across_and_less_over_an_edge():
    hu = np.array([[0.0, 0.0, 400.0], [0.0, 0.0, 400.0]])
    down, right = boundary_weights(hu, np.array([2.0, 0.5]), smoothness_mm=3.0)
    assert down.tolist() == [[1.5, 1.5, 1.5]]
    assert right[:, 0].tolist() == [6.0, 6.0]
    assert right[:, 1].tolist() == pytest.approx([6 * np.exp(-7 / 4)] * 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": 1.0}, "inner, outer: must be below and above 1 radius"),
        ({"outer": 0.9}, "inner, outer"),
        ({"smoothness_mm": 0.0}, "must be above 0"),
        ({"blur_hu": float("nan")}, "must be above 0"),
    ],
    ids=["inner", "outer", "smoothness", "blur"],
)
def test_options_when_they_make_no_sense_then_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GraphCutOptions(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centre": (40, 5)}, r"centre: must lie inside the image of \(20, 20\) voxels"),
        ({"centre": (5, 5, 5)}, "must have 2 or 3 axes, all the same; got 2, 3 and 2"),
        ({"diameter_mm": 0}, "diameter_mm, spacing_mm: must be above 0"),
        ({"spacing_mm": (1, 0)}, "diameter_mm, spacing_mm: must be above 0"),
        ({"diameter_mm": 60}, "60 mm leave no background"),
    ],
    ids=["centre", "axes", "diameter", "spacing", "too large"],
)
def test_nodule_when_it_does_not_fit_the_image_then_refused(change, message):
    asked = {"centre": (10, 10), "diameter_mm": 5.0, "spacing_mm": (1, 1), **change}
    with pytest.raises(ValueError, match=message):
        segment_nodule(np.zeros((20, 20)), **asked)
