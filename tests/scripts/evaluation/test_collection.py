from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from scripts.evaluation.collection import CollectingHandler, SeriesCollection
from scripts.evaluation.kinds import Instances
from scripts.storage.locks import LOCK, InUseError
from tests.scripts.evaluation.scans import SIZE, make_case, make_item
from tests.scripts.storage.holding import held_by_another


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        pytest.param({"pred": torch.full((1, SIZE, SIZE), 0.4)}, "pred: must be 0 or 1", id="soft"),
        pytest.param({"pred": torch.full((1, SIZE, SIZE), -1.0)}, "pred: must be", id="negative"),
        pytest.param(
            {"instances": torch.full((1, SIZE, SIZE), 0.5)},
            "instances: must be whole",
            id="blurred",
        ),
        pytest.param({"pred": torch.zeros(1, 8, 8)}, "must have one shape", id="other size"),
        pytest.param({"case": 9}, r"case: must be 0..0, got 9", id="unknown case"),
        pytest.param(
            {"pred": torch.zeros(1, 4, 4, 4), "instances": torch.zeros(1, 4, 4, 4)},
            "must have its affine",
            id="volume without affine",
        ),
    ],
)
def test_output_that_cannot_be_measured_is_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SeriesCollection([make_case(0)]).add([{**make_item(0), **changes}])


def test_output_without_instances_names_what_is_missing() -> None:
    item = make_item(0)
    del item["instances"]
    with pytest.raises(ValueError, match=r"must have \['instances'\], have \['case', 'pred'\]"):
        SeriesCollection([make_case(0)]).add([item])


def test_output_that_is_not_decollated_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a list of dictionaries, got dict"):
        SeriesCollection([make_case(0)]).add(make_item(0))


def test_slice_case_without_its_place_is_refused() -> None:
    case = make_case(0)
    del case["slice"]
    with pytest.raises(ValueError, match=r"entry 0 is a slice and must have \['slice'\]"):
        SeriesCollection([case]).add([make_item(0)])


class Nothing(CollectingHandler):
    """Collects, and writes nothing."""

    def finish(self, engine: Any, series: Any) -> None:
        del engine, series


def test_folder_of_results_when_another_process_writes_into_it_then_refused(tmp_path: Path) -> None:
    engine = Engine(lambda *_: None)
    Nothing([make_case(0)], tmp_path, Instances()).attach(engine)
    Nothing([make_case(0)], tmp_path, Instances()).attach(engine)
    with held_by_another(tmp_path / LOCK), pytest.raises(InUseError, match="is writing into"):
        engine.run([0])


def test_folder_of_results_then_locked_while_the_evaluation_runs(tmp_path: Path) -> None:
    seen = []
    engine = Engine(lambda *_: seen.append((tmp_path / LOCK).is_file()))
    handlers = [Nothing([make_case(0)], tmp_path, Instances()) for _ in range(2)]
    for handler in handlers:
        handler._collect = lambda *_: None  # type: ignore[method-assign]
        handler.collection.series = lambda: []  # type: ignore[method-assign,return-value]
        handler.attach(engine)
    engine.run([0])
    assert seen == [True]
    assert not (tmp_path / LOCK).exists()
