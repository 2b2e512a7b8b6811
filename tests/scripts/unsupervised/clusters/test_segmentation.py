import functools

import numpy as np
import pytest

from scripts.unsupervised.clusters.jule import JuleOptions
from scripts.unsupervised.clusters.scores import agreement
from scripts.unsupervised.clusters.segmentation import (
    METHODS,
    ClusterOptions,
    by_jule,
    by_k_means,
    by_otsu,
    from_dark_to_bright,
    prepared,
)
from scripts.volumes.volume import Volume
from tests.scripts.unsupervised.textures import three_textures

QUICK = {"region": "all", "patch": 15, "patches": 300}


def options(**changes):
    quick = JuleOptions(periods=2, epochs=4, clusters=40)
    return ClusterOptions(**{"jule": quick, **QUICK, **changes})


def tiny(method, **changes):
    volume, _ = three_textures(shape=(3, 24, 48))
    jule = JuleOptions(periods=2, epochs=1, clusters=9)
    chosen = options(patch=12, patches=60, jule=jule, **changes)
    return method(prepared(volume, chosen), chosen, list)


@functools.cache
def textures_by_jule():
    volume, texture = three_textures()
    chosen = options()
    lines = []
    return by_jule(prepared(volume, chosen), chosen, lines.append), texture, lines


def test_textures_of_equal_histograms_then_only_jule_finds_them():
    labels, texture, _ = textures_by_jule()
    volume, _ = three_textures()
    ready = prepared(volume, options())
    assert agreement(labels, texture).nmi >= 0.6
    for method in (by_k_means, by_otsu):
        assert agreement(method(ready, options()), texture).nmi <= 0.1


def test_textures_when_their_places_are_shuffled_then_no_agreement():
    labels, texture, _ = textures_by_jule()
    blocks = texture[:, ::12, ::12].ravel()
    shuffled = np.random.default_rng(0).permutation(blocks).reshape(texture[:, ::12, ::12].shape)
    assert agreement(labels, shuffled.repeat(12, 1).repeat(12, 2)).nmi < 0.2


def test_same_seed_then_same_labels_and_another_seed_others():
    first, second, other = (tiny(by_jule, clusters=3, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_progress_then_reported():
    _, _, lines = textures_by_jule()
    assert lines[0].startswith("period 1: 300 clusters of 300 patches")
    assert lines[-1] == "features of 2560 patches, 3 pixels apart"


@pytest.mark.parametrize("clusters", [2, 4, 5])
@pytest.mark.parametrize("method", METHODS)
def test_number_of_clusters_then_honoured(method, clusters):
    labels = tiny(METHODS[method], clusters=clusters)
    assert np.unique(labels).tolist() == list(range(1, clusters + 1))


def test_cubes_then_clusters_of_every_voxel_and_not_those_of_slices():
    cubes = tiny(by_jule, dimensions=3)
    assert np.unique(cubes).tolist() == [1, 2, 3]
    assert not np.array_equal(cubes, tiny(by_jule))


def test_window_by_default_then_range_of_the_region_without_its_ends():
    hu = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    ready = prepared(Volume(hu, np.eye(4)), options())
    assert ready.window_hu == pytest.approx((4.995, 994.005))
    assert ready.values.min() == 5
    assert ready.values.max() == 994


def test_window_given_then_values_clipped():
    volume, _ = three_textures()
    ready = prepared(volume, options(window_hu=(0.0, 100.0)))
    assert (ready.values.min(), ready.values.max()) == (0, 100)


def test_equal_values_then_refused():
    with pytest.raises(ValueError, match="window_hu: must be low < high, got 7 to 7"):
        prepared(Volume(np.full((4, 30, 30), 7, np.int16), np.eye(4)), options())


def test_stride_by_default_then_three_or_more_for_large_regions():
    small, large = (Volume(np.zeros(shape, np.int16), np.eye(4)) for shape in ((9, 90, 90),
                    (150, 150, 120)))  # fmt: skip
    strides = [prepared(volume, options(window_hu=(-1.0, 1.0))).stride for volume in (small, large)]
    assert strides == [3, 4]
    assert prepared(large, options(window_hu=(-1.0, 1.0), stride=7)).stride == 7


def test_region_with_few_patches_then_refused_with_their_number():
    volume, _ = three_textures(shape=(1, 15, 15))
    chosen = options(stride=5)
    with pytest.raises(ValueError, match="has 9 patches at a stride of 5, must have at least 30"):
        by_jule(prepared(volume, chosen), chosen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clusters": 1}, "clusters: must be a whole number, 2 to 5, got 1"),
        ({"clusters": 6}, "clusters: must be a whole number, 2 to 5, got 6"),
        ({"region": "liver"}, "region: must be one of body, body_box"),
        ({"dimensions": 4}, "dimensions: must be a whole number, 2 to 3, got 4"),
        ({"patch": 11}, "patch: must be at least 12 pixels, got 11"),
        ({"stride": 0}, "stride: must be a whole number, 1 to 15, got 0"),
        ({"patches": 5}, "patches: must be a whole number, at least 10, got 5"),
        ({"jule": JuleOptions(periods=1)}, "periods: must be a whole number, at least 2, got 1"),
        ({"jule": JuleOptions(epochs=0)}, "epochs: must be a whole number, at least 1, got 0"),
        ({"seed": -1}, "seed: must be a whole number, at least 0, got -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_option_when_invalid_then_refused(change, message):
    with pytest.raises(ValueError, match=message):
        options(**change)


def test_numbers_then_by_mean_intensity():
    labels = np.array([3, 3, 1, 1, 2, 0], np.uint8)
    values = np.array([10, 20, 500, 400, -3, 900])
    assert from_dark_to_bright(labels, values).tolist() == [2, 2, 3, 3, 1, 0]
