"""Seconds of steps, of parts and of the command's start."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from scripts.prediction.stopwatch import Stopwatch, parts_of, seconds_since_start


def test_steps_of_one_name_then_added_to_those_timed_before():
    ticks = iter([0, 2, 10, 13, 20, 21])
    watch = Stopwatch({"read": 0.5}, clock=lambda: next(ticks))
    for name in ("read", "network"):
        with watch.step(name):
            pass
    with pytest.raises(ValueError, match="stops"), watch.step("read"):
        raise ValueError("stops")
    assert watch.seconds == {"read": 3.5, "network": 3}


def test_step_inside_another_then_taken_out_of_it():
    watch = Stopwatch({"network": 9.0, "members": 2.5})
    watch.take_out("network", "members")
    watch.take_out("network", "refining")
    assert watch.seconds == {"network": 6.5, "members": 2.5}


def test_parts_then_every_second_in_one_of_them():
    steps = ("start", "list", "read", "preprocess", "network", "postprocess", "candidates")
    steps += ("members", "second stage", "measure", "write mask", "write seg")
    seconds = {name: float(2**k) for k, name in enumerate(steps)}
    parts = parts_of(seconds)
    assert list(parts) == ["start", "reading", "field", "network", "postprocessing", "writing"]
    assert sum(parts.values()) == sum(seconds.values())
    assert parts["reading"] == 2 + 4
    assert parts["writing"] == 512 + 1024 + 2048


def test_start_when_the_process_is_a_command_then_its_age(monkeypatch):
    assert seconds_since_start() == 0
    own = SimpleNamespace(name="scripts.__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", own, raising=False)
    first = seconds_since_start()
    time.sleep(0.05)
    assert 0.02 < seconds_since_start() - first < 5
    assert first > 0
