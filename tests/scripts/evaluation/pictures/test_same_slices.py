import numpy as np
import torch
from ignite.engine import Engine

from scripts.evaluation.packed_slices import PackedArray
from scripts.evaluation.pictures.chosen_slices import Candidate
from scripts.evaluation.pictures.same_slices import SameSlices, spread_by_size

PACKED = PackedArray.pack(np.zeros((2, 2)))


def candidate(nodule, diameter, dice=0.5):
    return Candidate("1.2", 0, 0, dice, diameter, PACKED, PACKED, (1.0, 1.0), nodule)


def evaluate(folder, columns):
    np.save(folder / "image.npy", np.full((3, 40, 40), -700, np.int16))
    case = {"image": str(folder / "image.npy"), "rows": [0, 1, 2], "slice": 7}
    case |= {"series_uid": "1.2", "patient_id": "a", "spacing_mm": [1.0, 1.0, 2.0]}
    instances, pred = torch.zeros(1, 40, 40), torch.zeros(1, 40, 40)
    instances[0, 2:8, 4:10], instances[0, 20:24, 4:8] = 1, 2
    pred[0, 2:8, 4 : 4 + columns] = 1
    engine = Engine(lambda _, batch: batch)
    SameSlices([case], folder).attach(engine)
    engine.run([[{"pred": pred, "instances": instances, "case": 0}]])
    with np.load(folder / "same_slices.npz") as content:
        return dict(content)


def test_two_networks_then_the_same_slices_with_what_each_predicts(tmp_path):
    good, bad = evaluate(tmp_path, 6), evaluate(tmp_path, 1)
    assert good.keys() == bad.keys()
    assert np.array_equal(good["manual_0"], bad["manual_0"])
    assert good["dice_0"] == 1.0
    assert bad["dice_0"] < 0.5
    assert good["pred_0"].sum() == 36
    assert good["hu_0"].min() == -700


def test_choice_then_by_size_whatever_was_predicted():
    nodules = [candidate(n, mm, dice) for n, mm, dice in ((1, 9, 0.1), (2, 20, 0.0), (3, 5, 1.0))]
    assert [one.nodule for one in spread_by_size(nodules)] == [2, 1, 3]
    assert [one.nodule for one in spread_by_size(nodules[:1])] == [1]
