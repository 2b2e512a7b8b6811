import json
from pathlib import Path

import pytest

from scripts.study.reporting.figures import check_figures

ROOT = Path(__file__).resolve().parents[4]
STUDIES = sorted((ROOT / "configs" / "studies").glob("*.json"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_figures_of_a_shipped_study_then_accepted(file):
    study = json.loads(file.read_text())
    kind = "classes" if study["bundle"].startswith("liver") else "instances"
    assert check_figures(study["figures"], kind, study.get("rows", "methods")) == study["figures"]


@pytest.mark.parametrize(
    ("name", "kind", "rows"),
    [
        ("nodules_detected_share_under_6_mm", "instances", "methods"),  # in summary.json only
        ("hd95_mm_per_volume_mean", "instances", "methods"),
        ("dice_per_nodule", "instances", "stages"),
        ("iou_pooled", "classes", "methods"),
        ("dice_per_nodule_mean", "instances", "validated_stages"),
        (3, "instances", "methods"),
    ],
)
def test_figure_without_cases_then_refused_before_anything_is_trained(name, kind, rows):
    with pytest.raises(ValueError, match=f"figures: Score: no {name!r}.* Valid are"):
        check_figures({"Score": name}, kind, rows)


@pytest.mark.parametrize("figures", [{}, ["dice_pooled"], None])
def test_figures_that_are_no_mapping_then_refused(figures):
    with pytest.raises(ValueError, match="figures: must map headings to names"):
        check_figures(figures, "instances", "methods")
