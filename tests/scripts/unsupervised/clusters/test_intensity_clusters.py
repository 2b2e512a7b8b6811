import numpy as np
import pytest
from skimage.filters import threshold_multiotsu
from sklearn.cluster import KMeans

from scripts.unsupervised.clusters.intensity_clusters import k_means_by_intensity, otsu_classes

METHODS = (k_means_by_intensity, otsu_classes)


def three_tissues(seed=0):
    rng = np.random.default_rng(seed)
    means = np.repeat([-800, -50, 60], [3000, 2000, 5000])
    return np.rint(rng.normal(means, 15)).astype(np.int32), np.repeat([1, 2, 3], [3000, 2000, 5000])


@pytest.mark.parametrize("method", METHODS)
def test_tissues_apart_then_found_from_dark_to_bright(method):
    values, tissue = three_tissues()
    assert (method(values, 3) == tissue).mean() > 0.99


def test_k_means_then_as_of_every_single_voxel():
    values, _ = three_tissues()
    found = KMeans(3, n_init=10, random_state=0).fit(values[:, None].astype(float))
    order = np.argsort(np.argsort(found.cluster_centers_[:, 0]))
    assert (k_means_by_intensity(values, 3) == order[found.labels_] + 1).mean() > 0.999


def test_otsu_then_as_of_scikit_image():
    values, _ = three_tissues()
    thresholds = threshold_multiotsu(values.astype(float), 3, nbins=128)
    assert np.array_equal(otsu_classes(values, 3), np.digitize(values, thresholds) + 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("clusters", [2, 3, 4, 5])
def test_number_of_clusters_then_honoured(method, clusters):
    values, _ = three_tissues()
    assert np.unique(method(values, clusters)).tolist() == list(range(1, clusters + 1))


@pytest.mark.parametrize("method", METHODS)
def test_fewer_values_than_clusters_then_refused(method):
    with pytest.raises(ValueError, match="different intensities, got 3 for 2"):
        method(np.array([5, 5, 7, 7]), 3)
