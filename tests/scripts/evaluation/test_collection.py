from __future__ import annotations

from typing import Any

import pytest
import torch

from scripts.evaluation.collection import SeriesCollection
from tests.scripts.evaluation.scans import SIZE, make_case, make_item


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
