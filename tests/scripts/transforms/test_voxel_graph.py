import numpy as np
import pytest
from skimage.segmentation import random_walker

from scripts.transforms import voxel_graph as module
from scripts.transforms.voxel_graph import largest_step, similarity, solve, voxel_graph

BETA, GAMMA = 30.0, 0.1


def scene(shape, labels=1, seed=0):
    """Random intensities, and probabilities of one or more labels that leave some to the rest."""
    rng = np.random.default_rng(seed)
    maps = rng.random((labels, *shape)).astype(np.float32)
    return rng.random(shape), maps / (labels + 0.5)


def dense(image, unknown, maps, spacing_mm, gamma):
    """The equations written out voxel by voxel: area / distance, and the volume for the prior."""
    area = [np.prod(spacing_mm) / mm for mm in spacing_mm]
    matrix = np.zeros((image.size, image.size))
    number = np.arange(image.size).reshape(image.shape)
    steps = [
        (voxel, axis, tuple(n + (a == axis) for a, n in enumerate(voxel)))
        for voxel in np.ndindex(image.shape)
        for axis in range(image.ndim)
        if voxel[axis] + 1 < image.shape[axis]
    ]
    largest = max(abs(image[one] - image[other]) for one, _, other in steps)
    for one, axis, other in steps:
        alike = np.exp(-BETA * ((image[one] - image[other]) / largest) ** 2) + 1e-6
        weight = alike * area[axis] / spacing_mm[axis]
        i, j = number[one], number[other]
        matrix[i, i] += weight
        matrix[j, j] += weight
        matrix[i, j] -= weight
        matrix[j, i] -= weight
    rows, flat = unknown.ravel(), maps.reshape(len(maps), -1).astype(float)
    volume = np.prod(spacing_mm)
    left = matrix[rows][:, rows] + gamma * volume * np.eye(rows.sum())
    right = gamma * volume * flat[:, rows].T - matrix[rows][:, ~rows] @ flat[:, ~rows].T
    return np.linalg.solve(left, right).T


def solved(image, unknown, maps, spacing_mm, gamma=GAMMA):
    graph = voxel_graph(image, unknown, spacing_mm, beta=BETA, largest=largest_step(image))
    return solve(graph, maps, gamma=gamma)


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [((12,), (1.0,)), ((7, 6), (0.7, 0.7)), ((5, 4, 6), (0.7, 0.8, 2.5))],
    ids=["line", "slice", "volume"],
)
@pytest.mark.parametrize("labels", [1, 3])
def test_solution_then_that_of_the_equations_written_out(shape, spacing_mm, labels):
    image, maps = scene(shape, labels)
    unknown = np.random.default_rng(1).random(shape) < 0.7
    found = solved(image, unknown, maps, spacing_mm)
    np.testing.assert_allclose(found, dense(image, unknown, maps, spacing_mm, GAMMA), atol=1e-5)


def test_solution_when_every_voxel_is_unknown_then_that_of_the_equations_written_out():
    image, maps = scene((5, 4, 3))
    everywhere = np.ones(image.shape, bool)
    found = solved(image, everywhere, maps, (1, 1, 1))
    np.testing.assert_allclose(found, dense(image, everywhere, maps, (1, 1, 1), GAMMA), atol=1e-5)


def test_line_of_equal_intensities_between_two_seeds_then_linear():
    maps = np.array([[1.0, 0, 0, 0, 0]], np.float32)
    unknown = np.array([False, True, True, True, False])
    found = solved(np.zeros(5), unknown, maps, (2.0,), gamma=0)
    np.testing.assert_allclose(found, [[0.75, 0.5, 0.25]], atol=1e-6)


@pytest.mark.parametrize("shape", [(14, 12), (6, 7, 5)], ids=["slice", "volume"])
def test_solution_with_hard_seeds_and_no_prior_then_that_of_scikit_image(shape, monkeypatch):
    monkeypatch.setattr(module, "LEAST_SIMILARITY", 1e-10)  # of scikit-image
    image = np.random.default_rng(3).random(shape)
    seeds, rest = np.zeros(shape, int), (1,) * (len(shape) - 2)
    for label, corner in enumerate(((1, 1), (-2, -2), (1, -2)), start=1):
        seeds[corner + rest] = label
    beta, free = 3.0, seeds == 0
    theirs = beta / largest_step(image) ** 2 * 10 * image.std()
    expected = random_walker(image, seeds, beta=theirs, mode="bf", return_full_prob=True)
    known = np.stack([seeds == label for label in (1, 2, 3)]).astype(np.float32)
    graph = voxel_graph(image, free, (1,) * len(shape), beta=beta, largest=largest_step(image))
    found = solve(graph, known, gamma=0, tolerance=1e-9)
    np.testing.assert_allclose(found, expected[:, free], atol=1e-6)


def test_thick_slices_then_weaker_edges_between_them_as_their_areas_and_distances_say():
    image, everywhere = np.zeros((2, 2, 2)), np.ones((2, 2, 2), bool)
    graph = voxel_graph(image, everywhere, (2.0, 2.0, 0.5), beta=BETA, largest=0.0)
    weights = graph.upper.toarray()
    in_slice, along = 0.25 * (1 + 1e-6), 4.0 * (1 + 1e-6)
    assert weights[0, 1] == pytest.approx(along)
    assert weights[0, 2] == pytest.approx(in_slice)
    np.testing.assert_allclose(graph.degrees, 2 * in_slice + along)


def test_finer_grid_then_the_same_solution_in_the_patient():
    def middle(spacing):
        n = round(20 / spacing)
        prior = (np.arange(n) * spacing < 10)[None].astype(np.float32)
        found = solved(np.zeros(n), np.ones(n, bool), prior, (spacing,))
        return found[0, round(n * 0.6)]

    assert middle(0.1) == pytest.approx(middle(0.05), abs=5e-3)
    assert 0.02 < middle(0.1) < 0.4


def test_similarity_then_falls_with_the_step_and_is_one_without_any():
    steps = np.array([0.0, 0.1, 0.2])
    alike = similarity(steps, beta=BETA, largest=0.2) - 1e-6
    np.testing.assert_allclose(alike, np.exp([0, -BETA / 4, -BETA]))
    np.testing.assert_allclose(similarity(np.zeros(2), beta=BETA, largest=0.0), 1 + 1e-6)


def test_largest_step_then_along_any_axis():
    image = np.zeros((3, 4, 5), np.float32)
    for voxel in ((1, 0, 0), (0, 2, 0), (0, 0, 4)):
        one = image.copy()
        one[voxel] = -2
        assert largest_step(one) == 2
    assert largest_step(image) == 0


def test_iterations_when_they_do_not_converge_then_said(monkeypatch):
    monkeypatch.setattr(module, "cg", lambda _m, right, **_o: (right, 7))
    image, maps = scene((4, 4))
    with pytest.raises(ArithmeticError, match="7 iterations over 16 voxels did not reach 1e-06"):
        solved(image, np.ones((4, 4), bool), maps, (1, 1))
