"""The base of mechanisms: a stage that does not use one is as if there were none."""

from __future__ import annotations

from scripts.training.fine_tuning.mechanism import Mechanism
from scripts.training.fine_tuning.stage_options import Stage


def test_mechanism_when_nothing_is_overridden_then_nothing_happens_and_no_state() -> None:
    mechanism, stage = Mechanism(), Stage("x", ("all",), 1, None, 0.1)
    before = dict(vars(mechanism))
    mechanism.begin(stage)
    mechanism.before_step()
    mechanism.after_step()
    mechanism.epoch_ended(1)
    mechanism.load_state_dict(mechanism.state_dict())
    mechanism.restore(stage)
    assert vars(mechanism) == before
    assert mechanism.state_dict() == {}
