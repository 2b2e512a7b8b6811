from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scripts.training.fine_tuning.stage_record import (
    Best,
    Epoch,
    Score,
    StageRecord,
    copy_of,
    scalars,
)

WEIGHTS = {"weight": torch.tensor([1.0, 2.0])}


def best(stage: int, epoch: int, metric: float) -> Best:
    return Best(stage, epoch, metric, WEIGHTS)


def test_improve_then_the_stage_has_new_weights_and_one_score() -> None:
    record = StageRecord(stale=3)
    record.improve(best(0, 1, 0.4), {"dice": 0.4, "iou": 0.3})
    record.stale = 2
    record.improve(best(0, 5, 0.6), {"dice": 0.6, "iou": 0.5})
    assert (record.current, record.stale) == (best(0, 5, 0.6), 0)
    assert record.scores == [Score(5, 0.6, {"dice": 0.6, "iou": 0.5})]


def test_improve_when_in_a_later_stage_then_the_scores_before_stay() -> None:
    record = StageRecord()
    record.improve(best(0, 1, 0.4), {})
    record.advance()
    record.improve(best(1, 2, 0.3), {})
    assert [(score.epoch, score.metric) for score in record.scores] == [(1, 0.4), (2, 0.3)]


def test_advance_then_the_next_stage_has_not_begun_and_the_result_stays() -> None:
    record = StageRecord(stage=1, begun=True, stage_epoch=7, stale=2)
    record.current = record.result = best(1, 9, 0.7)
    record.history.append(Epoch(9, 1, 7, 0.2, 1.0, {}))
    record.advance()
    assert record == StageRecord(stage=2, result=best(1, 9, 0.7), history=record.history)
    assert len(record.history) == 1


def test_state_when_saved_and_loaded_then_every_field_is_the_same(tmp_path: Path) -> None:
    record = StageRecord(stage=1, begun=True, stage_epoch=2, stale=1)
    record.result, record.current = best(0, 3, 0.5), best(1, 5, 0.6)
    record.scores = [Score(3, 0.5, {"dice": 0.5}), Score(5, 0.6, {"dice": 0.6})]
    record.history = [Epoch(1, 0, 1, 0.9, 12.5, {}), Epoch(2, 0, 2, 0.8, 11.0, {"dice": 0.5})]
    torch.save(record.state_dict(), tmp_path / "record.pt")
    loaded = StageRecord(stage=9, scores=[Score(1, 0.0, {})])
    loaded.load_state_dict(torch.load(tmp_path / "record.pt", weights_only=True))
    for name in ("stage", "begun", "stage_epoch", "stale", "scores", "history"):
        assert getattr(loaded, name) == getattr(record, name), name
    for now, then in ((loaded.current, record.current), (loaded.result, record.result)):
        assert now is not None
        assert then is not None
        assert (now.stage, now.epoch, now.metric) == (then.stage, then.epoch, then.metric)
        assert torch.equal(now.weights["weight"], then.weights["weight"])


def test_state_when_no_validation_has_run_then_best_and_result_stay_none() -> None:
    loaded = StageRecord(current=best(0, 1, 0.1), result=best(0, 1, 0.1))
    loaded.load_state_dict(StageRecord().state_dict())
    assert loaded == StageRecord()


def test_copy_then_later_training_does_not_change_it() -> None:
    network = torch.nn.BatchNorm2d(2)
    copied = copy_of(network)
    network(torch.rand(4, 2, 3, 3))
    with torch.no_grad():
        network.weight.add_(1)
    assert copied["weight"].tolist() == [1.0, 1.0]
    assert copied["running_mean"].tolist() == [0.0, 0.0]
    assert copied["num_batches_tracked"].item() == 0
    assert not any(tensor.requires_grad for tensor in copied.values())


def test_scalars_then_are_the_single_numbers_as_floats() -> None:
    metrics = {
        "float": 0.5,
        "count": 3,
        "numpy": np.float32(0.25),
        "array": np.array([[0.75]]),
        "tensor": torch.tensor(1.5),
        "classes": torch.tensor([0.1, 0.2]),
        "text": "0.5",
        "none": None,
    }
    found = scalars(metrics)
    assert found == {"float": 0.5, "count": 3.0, "numpy": 0.25, "array": 0.75, "tensor": 1.5}
    assert {type(value) for value in found.values()} == {float}


def test_state_of_an_earlier_version_then_its_fields_and_nothing_averaged_or_decided() -> None:
    record = StageRecord(result=best(0, 1, 0.4), history=[Epoch(1, 0, 1, 0.2, 1.0, {})])
    record.scores = [Score(1, 0.4, {})]
    state = record.state_dict()
    del state["decisions"], state["result"]["averaged"]
    del state["history"][0]["rates"], state["scores"][0]["averaged"]
    loaded = StageRecord()
    loaded.load_state_dict(state)
    assert loaded == record


def test_decision_then_by_the_margin_and_none_for_the_first_stage() -> None:
    record = StageRecord()
    assert record.decide(best(0, 1, 0.1), 0.5, float.__gt__)
    assert record.decisions == []
    record.result = best(0, 1, 0.5)
    found = [record.decide(best(1, 2, v), 0.1, float.__gt__) for v in (0.61, 0.6, 0.55, 0.3)]
    assert found == [True, False, False, False]
    assert record.decide(best(1, 2, 0.3), 0.1, float.__lt__)
