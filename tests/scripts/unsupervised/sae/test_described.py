import numpy as np
import pytest

from scripts.unsupervised.sae.autoencoder import (
    Training,
    train_autoencoder,
    training_patches,
    write_autoencoder,
)
from scripts.unsupervised.sae.described import describe
from scripts.unsupervised.sae.patches import PatchShape
from tests.scripts.unsupervised.patch_cohort import write_cohort

QUICK = Training(PatchShape(3, 3), (12, 5), patches=256, epochs=1, fine_tuning=0)


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def test_each_kind_then_its_features_of_the_same_patches(datalist, tmp_path):
    model = train_autoencoder(datalist, QUICK)
    write_autoencoder(tmp_path / "sae.pt", model, datalist)
    drawn = training_patches(datalist, QUICK)
    kinds = {
        name: describe(name, QUICK, datalist, tmp_path / "sae.pt") for name in ("sae", "pca", "raw")
    }
    assert {one.reader for one in kinds.values()} == {drawn.reader}
    found = {name: one.features(drawn.standard) for name, one in kinds.items()}
    assert np.array_equal(found["raw"], drawn.standard)
    assert np.array_equal(found["sae"], model.features(drawn.standard))
    assert found["pca"].shape == found["sae"].shape == (256, 5)
    assert np.abs(np.corrcoef(found["pca"].T) - np.eye(5)).max() < 1e-3  # uncorrelated
    assert found["pca"].var(axis=0)[0] > found["pca"].var(axis=0)[-1]
