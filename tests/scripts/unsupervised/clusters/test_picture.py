import numpy as np
import pytest
from matplotlib import image as images

from scripts.unsupervised.clusters.picture import shown_slices, write_clusters


def test_slices_of_a_region_then_divide_its_volume():
    region = np.zeros((20, 4, 4), bool)
    region[10:19] = True
    assert shown_slices(region) == [11, 14, 17]
    region[10:19, 1:] = False
    region[18] = True
    assert shown_slices(region, 2)[-1] >= 14


def test_slices_of_one_slice_then_that_one():
    region = np.zeros((5, 4, 4), bool)
    region[3] = True
    assert shown_slices(region) == [3]


@pytest.mark.parametrize("columns", [1, 3])
def test_picture_then_ct_and_a_coloured_column_for_each(tmp_path, columns):
    hu = np.zeros((4, 30, 30), np.int16)
    labels = np.full(hu.shape, 2, np.uint8)
    labelled = {f"method {k}": labels for k in range(columns)}
    file = tmp_path / "clusters.png"
    write_clusters(*(hu, labelled, hu == 0, file), spacing_mm=(1, 1, 1), window_hu=(-100.0, 100.0))
    picture = images.imread(file)[..., :3]
    middle = picture[picture.shape[0] // 2]
    coloured = np.ptp(middle, axis=-1) > 0.1
    share = coloured.mean()
    assert share == pytest.approx(columns / (columns + 1), abs=0.12)
