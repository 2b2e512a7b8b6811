"""The report of whole scans: headline, FROC, candidates; and why there is none."""

import csv
import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from scripts.datasets.candidates import read_candidates
from scripts.evaluation.kinds import Instances
from scripts.evaluation.report import EvaluationReport

SHAPE = (24, 24, 12)  # x, y, z
RAS = torch.diag(torch.tensor([-1.0, -1.0, 2.0, 1.0]))  # LPS of 1, 1 and 2 mm
NODULE, EXCLUDED, NOTHING, FAINT = (5, 5, 3), (18, 5, 8), (5, 18, 8), (18, 18, 3)


def cases(**more):
    nodule = {"id": 1, "diameter_mm": 6.0, "centre_lps_mm": [*NODULE[:2], 2.0 * NODULE[2]]}
    finding = {"diameter_mm": 6.0, "centre_lps_mm": [*EXCLUDED[:2], 2.0 * EXCLUDED[2]]}
    return [
        {
            **{"case": k, "series_uid": f"1.2.{k}", "patient_id": f"P{k}", "label_kind": "ball"},
            **{"nodules": [nodule], "excluded": [finding] if k == 0 else [], **more},
        }
        for k in range(2)
    ]


def item(case, probabilities, **others):
    """A volume with one voxel of each probability."""
    given = torch.zeros((1, *SHAPE))
    for place, value in probabilities.items():
        given[(0, *place)] = value
    instances = torch.zeros((1, *SHAPE))
    instances[(0, *NODULE)] = 1
    pred = (given >= 0.5).float()
    tensors = {"pred": pred, "probability": given, "instances": instances}
    made = {name: MetaTensor(one, affine=RAS) for name, one in tensors.items()}
    return {**made, "case": torch.tensor(case), **others}


FOUND = ({NODULE: 0.75, EXCLUDED: 0.9, FAINT: 0.25}, {NODULE: 0.25, NOTHING: 0.625})


def run(folder, listed, items):
    engine = Engine(lambda _, batch: batch)
    EvaluationReport(listed, folder, kind=Instances()).attach(engine)
    engine.run([[one] for one in items])
    return json.loads((folder / "summary.json").read_text())


def test_whole_scans_then_score_tables_picture_and_headline(tmp_path):
    summary = run(tmp_path, cases(), [item(k, found) for k, found in enumerate(FOUND)])
    # by probability: a false positive at 0.625, hits at 0.75 and 0.25, a false one at 0.25
    with (tmp_path / "froc.csv").open() as file:
        points = {row["false_positives_per_scan"]: row for row in csv.DictReader(file)}
    assert [float(point["sensitivity"]) for point in points.values()] == pytest.approx(
        [0.5, 0.5, 0.5, 1, 1, 1, 1]
    )
    assert points["0.5"]["probability"] == "0.625"
    assert summary["froc"]["cpm"] == pytest.approx(5.5 / 7)
    assert summary["froc"]["counts"]["candidates_on_excluded"] == 1
    assert (tmp_path / "froc.png").is_file()
    written = {
        (c.series_uid, c.centre_lps_mm, c.probability)
        for c in read_candidates(tmp_path / "candidates.csv")
    }
    assert ("1.2.1", (5.0, 5.0, 6.0), 0.25) in written
    assert len(written) == 5
    assert summary["headline"] == (
        "Dice per nodule 0.500 (95 % 0.000 - 1.000), 50.0 % of 2 nodules detected, "
        "0.50 false positives per scan, CPM 0.786"
    )


def test_crops_then_no_score_and_the_headline_says_why(tmp_path):
    items = [item(k, found) for k, found in enumerate(FOUND)]
    summary = run(tmp_path, cases(crop=True), items)
    assert summary["froc"]["not_computed"].startswith("crops around nodules, not scans")
    assert "false positives per scan unknown (crops" in summary["headline"]
    assert not (tmp_path / "froc.csv").exists()


def test_masks_without_probabilities_then_no_score(tmp_path):
    items = [item(k, found) for k, found in enumerate(FOUND)]
    for one in items:
        del one["probability"]
    summary = run(tmp_path, cases(), items)
    assert "keeps no `probability`" in summary["froc"]["not_computed"]


def test_some_slices_of_a_scan_then_no_score_and_the_headline_says_how_many(tmp_path):
    listed = [
        {**case, "slice": 3, "spacing_mm": [1.0, 1.0, 2.0], "affine_lps": np.eye(4).tolist()}
        for case in cases()
    ]
    items = [item(k, found) for k, found in enumerate(FOUND)]
    names = ("pred", "probability", "instances")
    flat = [{**one, **{n: one[n].as_tensor()[..., 3] for n in names}} for one in items]
    summary = run(tmp_path, listed, flat)
    assert "2 of 2 scans were not evaluated as a whole" in summary["froc"]["not_computed"]
    assert "per scan on 1.0 evaluated slices per scan, not on whole scans" in summary["headline"]


def test_probabilities_of_another_shape_then_refused(tmp_path):
    wrong = item(0, FOUND[0], probability=torch.zeros(1, 4, 4, 4))
    with pytest.raises(ValueError, match="probability: must have the shape of pred"):
        run(tmp_path, cases(), [wrong])


def test_candidate_threshold_that_is_no_probability_then_refused():
    with pytest.raises(ValueError, match="candidate_threshold: must be between 0 and 1"):
        Instances(candidate_threshold=1.0)
