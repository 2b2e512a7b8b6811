from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from tests.scripts.evaluation.reports import read_rows, read_summary, report_of, run


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1)])
def test_volume_in_any_orientation_has_the_same_figures(
    tmp_path: Path, flip: tuple[int, int, int]
) -> None:
    shape = (20, 24, 6)
    pred, instances = np.zeros((2, 1, *shape), np.float32)
    instances[0, 4:10, 6:12, 2:4] = 1
    pred[0, 4:10, 6:10, 2:4] = 1
    axes = [axis + 1 for axis in range(3) if flip[axis] < 0]
    affine = torch.diag(torch.tensor([0.5 * flip[0], 0.7 * flip[1], 2.0 * flip[2], 1.0]))
    tensors = [
        MetaTensor(np.flip(array, axes).copy(), affine=affine) for array in (pred, instances)
    ]
    case = {"series_uid": "1.2", "patient_id": "a"}
    item = {"pred": tensors[0], "instances": tensors[1], "case": 0}
    metrics = run(report_of([case], tmp_path), [item])
    assert metrics["dice_per_nodule_mean"] == pytest.approx(0.8)
    assert metrics["hd95_mm_per_nodule_mean"] == pytest.approx(1.4)  # two columns of 0.7 mm
    (volume,) = read_rows(tmp_path / "per_volume.csv")
    assert (volume["whole_volume"], volume["slices_in_volume"]) == ("True", "6")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)], ids=str)
def test_listed_centres_are_in_place_in_a_volume_of_any_orientation(
    tmp_path: Path, flip: tuple[int, int, int], order: tuple[int, int, int]
) -> None:
    pred, instances = np.zeros((2, 1, 20, 24, 8), np.float32)
    instances[0, 4:10, 6:12, 2:4] = pred[0, 4:10, 6:12, 2:4] = 1
    pred[0, 14:16, 18:20, 6] = pred[0, 2, 2, 0] = 1  # an excluded finding, a false positive
    affine = np.diag([0.5 * flip[0], 0.7 * flip[1], 2.0 * flip[2], 1.0])
    affine[:3, 3] = (10, -20, 30)
    listed = [affine @ [6.5, 8.5, 2.5, 1], affine @ [14.5, 18.5, 6, 1]]
    nodule, excluded = (
        {"id": 1, "diameter_mm": 4.0, "centre_lps_mm": [-x, -y, z]} for x, y, z, _ in listed
    )
    turned = torch.from_numpy(affine[:, [*order, 3]])
    axes = [0, *(axis + 1 for axis in order)]
    tensors = [MetaTensor(a.transpose(axes).copy(), affine=turned) for a in (pred, instances)]
    case = {"series_uid": "1.2", "patient_id": "a", "nodules": [nodule], "excluded": [excluded]}
    item = {"pred": tensors[0], "instances": tensors[1], "case": 0}
    run(report_of([case], tmp_path), [item])
    (volume,) = read_rows(tmp_path / "per_volume.csv")
    counted = ("nodules_detected", "candidates", "false_positives", "candidates_on_excluded")
    assert [volume[name] for name in counted] == ["1", "3", "1", "1"]
    entry = read_summary(tmp_path)["figures"]["false_positives_per_scan_mean"]
    assert (entry["value"], entry["candidates_on_excluded"]) == (1, 1)


def test_volume_limited_to_slices_has_the_figures_of_those_slices(tmp_path: Path) -> None:
    pred, instances = torch.zeros(2, 1, 20, 24, 8)
    instances[0, 4:10, 6:12, 2:5] = pred[0, 4:10, 6:12, 3] = 1
    pred[0, 15, 20, 6] = 1
    affine = torch.diag(torch.tensor([-1.0, -1, 2, 1]))
    tensors = [MetaTensor(array, affine=affine) for array in (pred, instances)]
    cases = [{"series_uid": "1.2", "patient_id": "a"}]
    item = {"pred": tensors[0], "instances": tensors[1], "case": 0}
    samples = [{"series_uid": "1.2", "slice": 3}, {"series_uid": "1.9", "slice": 0}]
    metrics = run(report_of(cases, tmp_path, slices=samples), [item])
    assert metrics["dice_per_nodule_mean"] == 1
    assert metrics["false_positives_per_scan_mean"] == 0
    assert [row["slice"] for row in read_rows(tmp_path / "per_slice.csv")] == ["3"]
    metrics = run(report_of(cases, tmp_path / "whole"), [item])
    assert metrics["dice_per_nodule_mean"] == pytest.approx(0.5)
    assert metrics["false_positives_per_scan_mean"] == 1


@pytest.mark.parametrize(("case", "nodules"), [({}, 3), ({"nodules": []}, 1)])
def test_binary_mask_of_a_volume_is_numbered_where_no_nodules_are_listed(
    tmp_path: Path, case: dict[str, Any], nodules: int
) -> None:
    instances = torch.zeros(1, 20, 24, 8)
    instances[0, 2:6, 2:6, 1:3] = instances[0, 2:6, 12:16, 1:3] = instances[0, 15, 20, 6] = 1
    tensor = MetaTensor(instances, affine=torch.eye(4))
    item = {"pred": tensor, "instances": tensor, "case": 0}
    run(report_of([{"series_uid": "1.2", "patient_id": "a", **case}], tmp_path), [item])
    assert len(read_rows(tmp_path / "per_nodule.csv")) == nodules
