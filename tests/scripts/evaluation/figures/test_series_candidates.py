import numpy as np
import pytest
from scipy import ndimage

from scripts.evaluation.figures.series_candidates import (
    excluded_points,
    nodule_points,
    series_candidates,
)
from scripts.evaluation.packed_slices import PackedConfidence
from scripts.evaluation.series import Sphere
from scripts.volumes.geometry import index_to_world
from tests.scripts.evaluation.scans import make_series

AFFINE = np.array([[1.0, 0, 0, -60], [0, 1.0, 0, -40], [0, 0, 2.0, 300], [0, 0, 0, 1]])


def scan(probability, *, threshold=0.5, fainter=0.1, **changes):
    """A series whose network gave these probabilities."""
    mask = probability >= threshold
    known = [PackedConfidence.pack(m, p, fainter) for m, p in zip(mask, probability, strict=True)]
    facts = {"prediction": mask, "confidence": known, "affine_lps": AFFINE, **changes}
    return make_series(probability.shape, **facts)


def noise(seed, shape=(7, 24, 24), smooth=1.2):
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), smooth)
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_candidates_then_those_of_the_whole_volume_at_once(seed):
    probability = noise(seed)
    series = scan(probability, threshold=0.75, fainter=0.68)
    corners = np.ones((3, 3, 3))
    shown, count = ndimage.label(probability >= 0.75, corners)
    every, others = ndimage.label(probability >= 0.68, corners)
    wanted = [(shown == k) for k in range(1, count + 1)]
    wanted += [
        (every == k) for k in range(1, others + 1) if not (probability[every == k] >= 0.75).any()
    ]
    assert len(wanted) > count > 0
    found = series_candidates(series)
    assert len(found) == len(wanted)
    for candidate, part in zip(found, wanted, strict=True):
        middle = np.argwhere(part).mean(axis=0)[::-1]
        assert candidate.centre_lps_mm == pytest.approx(index_to_world(middle, AFFINE))
        assert candidate.probability == probability[part].max()
        assert candidate.series_uid == "1.2.3"


def test_slices_with_a_gap_then_components_do_not_join_over_it():
    probability = np.zeros((2, 8, 8), np.float32)
    probability[:, 4, 4] = 0.75, 0.25
    apart = scan(probability, slices=np.array([3, 6]))
    places = [one.centre_lps_mm[2] for one in series_candidates(apart)]
    assert places == [306.0, 312.0]
    (joined,) = series_candidates(scan(probability, slices=np.array([3, 4])))
    assert joined.probability == 0.75


def test_findings_then_in_mm_of_the_patient_and_without_affine_from_the_first_voxel():
    series = scan(np.zeros((4, 8, 8), np.float32), nodules={1: Sphere(9.0, (1.0, 2.0, 3.0))})
    series.excluded = (Sphere(10.0, (0.0, 4.0, 5.0)),)
    series.instances[1, 2, 3] = 1
    assert nodule_points(series) == [(-57.0, -38.0, 302.0, 9.0)]
    assert excluded_points(series) == [(-55.0, -36.0, 300.0, 10.0)]
    series.affine_lps = None
    assert nodule_points(series) == [(3.0, 2.0, 2.0, 9.0)]


def test_masks_only_then_refused():
    with pytest.raises(ValueError, match="must be evaluated with probabilities"):
        series_candidates(make_series())
