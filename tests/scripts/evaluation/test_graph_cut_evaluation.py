import json

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.luna16.instances import ball_mask
from scripts.evaluation.figures.confusion import count_voxels
from scripts.evaluation.graph_cut import GraphCutOptions
from scripts.evaluation.graph_cut_evaluation import (
    disc_diameter_mm,
    evaluate_graph_cut,
    segment_volume,
)
from tests.scripts.datasets.prepared import write_prepared

OFFICIAL = "1.3.6.1.4.1.14519.5.2.1.6279.6001.170706757615202213033480003264"


def test_disc_of_a_slice_then_by_its_distance_from_the_centre():
    assert disc_diameter_mm(13, 0) == 13
    assert disc_diameter_mm(13, -6) == pytest.approx(5)
    assert disc_diameter_mm(13, 9) == pytest.approx(13 / 4)


@pytest.fixture(scope="module")
def nodules(tmp_path_factory):
    """A prepared cohort of balls in lung, all in the test partition."""
    folder = tmp_path_factory.mktemp("balls")
    path = write_prepared(folder, size=(40, 48))
    content = json.loads(path.read_text())
    first = content["training"][0]
    affine = np.array(first["affine_lps"])
    centre = affine @ [20.3, 18.6, 61.0, 1.0]
    ball = ball_mask((64, 40, 48), affine, centre[:3], 9.0)[60:64]
    noise = np.random.default_rng(0).normal(0, 60, ball.shape)
    np.save(folder / "scans/a/image.npy", (np.where(ball, 0, -850) + noise).astype(np.int16))
    np.save(folder / "scans/a/label.npy", 7 * ball.astype(np.uint8))
    nodule = {"id": 7, "diameter_mm": 9.0, "centre_lps_mm": centre[:3].tolist()}
    content["test"] = [{**sample, "nodules": [nodule]} for sample in content["training"]]
    path.write_text(json.dumps(content))
    return path


def test_prepared_slices_then_scored_by_the_projects_metrics(nodules, tmp_path, capsys):
    evaluate_graph_cut(str(nodules), str(tmp_path / "out"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["figures"]["dice_per_nodule_mean"]["value"] > 0.9
    assert summary["counts"]["slices"] == 2
    assert "dice_per_nodule_mean" in capsys.readouterr().out
    for name in ("per_nodule", "per_slice", "per_volume"):
        assert (tmp_path / "out" / f"{name}.csv").is_file()


def test_other_smoothness_in_the_same_output_then_refused_unless_asked(nodules, tmp_path):
    out = tmp_path / "out"
    for _ in range(2):  # the same evaluation may be repeated
        evaluate_graph_cut(str(nodules), str(out))
    with pytest.raises(ValueError, match=r"holds a result with another method \(smoothness_mm"):
        evaluate_graph_cut(str(nodules), str(out), smoothness_mm=2.0)
    evaluate_graph_cut(str(nodules), str(out), smoothness_mm=2.0, overwrite="true")
    method = json.loads((out / "summary.json").read_text())["data"]["method"]
    assert (method["name"], method["smoothness_mm"]) == ("graph cut", 2.0)


def test_prepared_volume_then_turned_to_the_annotations_grid(tmp_path):
    affine = np.diag([0.8, 0.8, 2.0, 1.0])
    ball = ball_mask((16, 40, 40), affine, np.array([16.0, 18.0, 14.0]), 10.0)
    noise = np.random.default_rng(0).normal(0, 60, ball.shape)
    arrays = {"image": np.where(ball, 0, -850) + noise, "label": 3 * ball}
    for name, array in arrays.items():
        image = sitk.GetImageFromArray(array.astype(np.int16))
        image.SetSpacing((0.8, 0.8, 2.0))
        sitk.WriteImage(image, str(tmp_path / f"{name}.mhd"))
    nodule = {"centre_lps_mm": [16.0, 18.0, 14.0], "diameter_mm": 10.0}
    case = {name: tmp_path / f"{name}.mhd" for name in arrays}
    predicted, instances = segment_volume({**case, "nodules": [nodule]}, GraphCutOptions())
    assert np.array_equal(instances[0], 3 * ball)
    assert count_voxels((predicted[0] > 0).numpy(), ball).dice > 0.9
    assert predicted.affine[:3, 3].tolist() == [0, 0, 0]
    assert predicted.affine[0, 2] == predicted.affine[1, 1] == -0.8  # RAS from LPS


def test_nodule_outside_its_slice_then_refused_with_the_series_and_slice(nodules, tmp_path):
    content = json.loads(nodules.read_text())
    content["test"][0]["nodules"][0]["centre_lps_mm"][0] += 500
    other = nodules.with_name("moved.json")
    other.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="^a, slice 61: centre: must lie inside the image"):
        evaluate_graph_cut(str(other), str(tmp_path))


def test_section_when_unknown_then_refused(nodules, tmp_path):
    with pytest.raises(ValueError, match="section: must be one of training"):
        evaluate_graph_cut(str(nodules), str(tmp_path), section="tests")


@pytest.mark.real
def test_real_nodules_then_mostly_as_the_readers(real_data):
    folder = real_data / "luna16"
    (votes,) = folder.glob(f"reference_masks/*{OFFICIAL}*")
    rows = [r.split(",") for r in (folder / "annotations.csv").read_text().split() if OFFICIAL in r]
    nodules = [{"centre_lps_mm": [*map(float, r[1:4])], "diameter_mm": float(r[4])} for r in rows]
    case = {"image": folder / "subset0" / f"{OFFICIAL}.mhd", "label": votes, "nodules": nodules}
    found, readers = segment_volume(case, GraphCutOptions())
    assert found.shape == readers.shape
    assert count_voxels((found > 0).numpy(), (readers >= 2).numpy()).dice > 0.7
