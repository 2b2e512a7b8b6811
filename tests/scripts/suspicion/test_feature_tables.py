"""Tables of features: computed once, again when something changes."""

from dataclasses import replace

import numpy as np

from scripts.suspicion.feature_tables import (
    Store,
    digest_of,
    network_table,
    predicted_nodules,
    radiomics_rows,
)
from scripts.suspicion.network import Network
from tests.scripts.suspicion.networks import write_unet


def test_store_then_computed_once_for_equal_parts(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return np.arange(3.0)

    for _ in range(2):
        np.testing.assert_array_equal(Store(tmp_path).array(["a", "b"], compute), [0, 1, 2])
    assert len(calls) == 1
    Store(tmp_path).array(["a", "c"], compute)
    assert len(calls) == 2


def test_digest_then_of_voxels_outline_and_spacing(nodules):
    one = nodules[0]
    hu = one.hu.copy()
    hu[0, 0, 0] += 1
    changed = [
        replace(one, hu=hu),
        one.with_mask(np.roll(one.mask, 1, axis=0)),
        replace(one, affine_lps=one.affine_lps * [1, 1, 2, 1]),
    ]
    assert len({digest_of([each]) for each in [one, *changed]}) == 4
    assert digest_of([replace(one, ratings=(1, 1, 1))]) == digest_of([one])


def test_radiomics_then_in_order_and_none_for_a_tiny_one(nodules, rows):
    tiny = np.zeros_like(nodules[1].mask)
    tiny[5, 5, 5] = True
    found = radiomics_rows([nodules[0], nodules[1].with_mask(tiny)])
    assert found == [rows[0], None]


def test_network_table_then_of_the_network_with_these_weights(nodules, tiny_encoder, tmp_path):
    network = Network.of_model(write_unet(tmp_path / "m.pt", tiny_encoder))
    table = network_table(network, nodules[:2], Store(tmp_path))
    again = network_table(replace(network, network=None), nodules[:2], Store(tmp_path))
    np.testing.assert_array_equal(table, again)
    np.testing.assert_allclose(table[1], network.features(nodules[1]), rtol=1e-5, atol=1e-6)


def test_predicted_outlines_then_kept_bit_by_bit(nodules, tiny_encoder, tmp_path):
    network = Network.of_model(write_unet(tmp_path / "m.pt", tiny_encoder))
    chosen = [(network, nodule) for nodule in nodules[:2]]
    for _ in range(2):
        for nodule, outlined in zip(
            nodules[:2], predicted_nodules(chosen, Store(tmp_path)), strict=True
        ):
            np.testing.assert_array_equal(outlined.mask, network.segmented(nodule))
            assert outlined.id == nodule.id
