"""The names in labels, looked at before any CT is read."""

from __future__ import annotations

from scripts.datasets.folder.case_table import Case
from scripts.datasets.folder.labels import NameRules
from scripts.datasets.folder.named_labels import NamedLabels, missing_parts, named_labels
from tests.scripts.datasets.segments.written import GRID, nodule_contours, write_rtstruct


def test_masks_that_no_case_has_side_by_side_then_names_of_one_thing():
    kidneys = frozenset({"left", "right"})
    names = {
        "a": {"liver": frozenset({"liver"}), "kidney": kidneys},
        "b": {"liver": frozenset({"Leber"}), "kidney": frozenset({"right"})},
        "c": {"liver": frozenset({"Leber"})},
    }
    assert missing_parts(names) == {"b": {"kidney": ("left",)}}


def test_check_of_names_when_a_file_is_damaged_then_that_case_is_a_problem(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"cut")
    case = Case("a", tmp_path, tmp_path / "x.dcm")
    labels, (problem,) = named_labels([case], NameRules({1: "lesion"}, {}))
    assert labels == {}
    assert problem.scan_id == "a"
    assert "x.dcm: must be a label map" in problem.reason


def test_files_then_only_their_names_are_kept(case):
    folder, images = case
    rois = {"left": nodule_contours(GRID), "right": nodule_contours(GRID)}
    write_rtstruct(folder / "x.dcm", images, rois)
    write_rtstruct(folder / "y.dcm", images, {"LEFT": []})
    cases = [Case(name, folder / "ct", folder / f"{name}.dcm") for name in ("x", "y")]
    labels, problems = named_labels(cases, NameRules({1: "both"}, {"both": ["left", "right"]}))
    assert problems == []
    assert labels == {"x": NamedLabels({}), "y": NamedLabels({"both": ("right",)})}
