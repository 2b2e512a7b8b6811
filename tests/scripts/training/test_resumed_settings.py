from __future__ import annotations

import logging
from pathlib import Path

import pytest

from scripts.training.resumed_settings import (
    accept_by_name,
    differing_settings,
    list_differences,
)

FILE = Path("checkpoint_00001.pt")


def test_settings_then_only_those_that_differ_by_name() -> None:
    saved = {"seed": 0, "loss": {"class": "A"}, "epoch_length": 4}
    assert differing_settings(saved, {**saved, "seed": 1}) == {"seed": ["seed: 0 then, 1 now"]}


def test_interval_of_validations_when_an_earlier_version_did_not_record_it_then_as_now() -> None:
    assert differing_settings({"seed": 0}, {"seed": 0, "val_interval": 2}) == {}
    assert differing_settings({"val_interval": 1}, {"val_interval": 2})


def test_accepted_name_then_its_texts_and_another_refused() -> None:
    differences = {"seed": ["seed: 0 then, 1 now"]}
    assert accept_by_name(FILE, differences, ["seed"]) == ["seed: 0 then, 1 now"]
    with pytest.raises(ValueError, match=r"seed: 0 then, 1 now; .*--accepted_changes seed$"):
        accept_by_name(FILE, differences, ["loss"])


def test_iterations_when_they_follow_from_an_accepted_change_then_accepted_too() -> None:
    length = {"epoch_length": ["epoch_length: 4 then, 2 now"]}
    assert len(accept_by_name(FILE, {**length, "batch": ["batch: 2 then, 4 now"]}, ["batch"])) == 2
    with pytest.raises(ValueError, match="epoch_length: 4 then, 2 now"):
        accept_by_name(FILE, length, ["batch"])


def test_shape_of_the_network_when_accepted_then_refused_all_the_same() -> None:
    differences = {"network tensors": ["network tensors.w: [1] then, [2] now"]}
    with pytest.raises(ValueError, match="with these a checkpoint cannot be loaded"):
        accept_by_name(FILE, differences, ["network tensors"])


def test_number_of_processes_then_logged_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="scripts.training.resumed_settings"):
        assert accept_by_name(FILE, {"num_workers": ["num_workers: 0 then, 1 now"]}, []) == []
    assert "other random numbers than in one run: num_workers: 0 then, 1 now" in caplog.text


def test_differences_when_lists_differ_in_length_then_both_are_shown_cut_short() -> None:
    assert list_differences({"a": [1]}, {"a": [1] * 50}) == [
        f"a: [1] then, {repr([1] * 50)[:57]}... now"
    ]
