import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.unsupervised.clusters.cluster_evaluate_command import evaluate_clusters
from scripts.unsupervised.clusters.jule import JuleOptions
from scripts.unsupervised.clusters.segmentation import METHODS, ClusterOptions, prepared
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.readers import read_volume

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def volume(seed, bright=300):
    """A dark third, a middle one and a bright one, in a volume of noise; classes 0, 1, 2."""
    label = np.repeat([0, 1, 2], 10)[None, None].repeat(4, 0).repeat(30, 1).astype(np.uint8)
    noise = np.random.default_rng(seed).normal(0, 5, label.shape)
    return (np.array([-200, 0, bright])[label] + noise).astype(np.int16), label


def write_data(folder, *, kind="classes", labels=None):
    """Two prepared volumes of two patients in the test section."""
    entries = []
    for number in range(2):
        hu, label = volume(number)
        label = label if labels is None else labels(label)
        nifti_of(hu, AFFINE).to_filename(folder / f"{number}_image.nii.gz")
        nifti_of(label, AFFINE).to_filename(folder / f"{number}_label.nii.gz")
        entry = {"image": f"{number}_image.nii.gz", "label": f"{number}_label.nii.gz"}
        entries.append({**entry, "series_uid": f"1.{number}", "patient_id": f"P{number}"})
    parts = {"training": [], "validation": [], "test": []}
    classes = {"0": "background", "1": "liver", "2": "liver tumour"} if kind == "classes" else {}
    content = {"name": "made", "kind": kind, "classes": classes, **parts}
    content["volumes"] = {**parts, "test": entries}
    (folder / "datalist.json").write_text(json.dumps(content))
    return str(folder / "datalist.json")


def evaluate(folder, **options):
    datalist = options.pop("datalist", None) or write_data(folder)
    usual = {"output": str(folder / "out"), "region": "all", "method": "k_means"}
    evaluate_clusters(datalist, **usual | options)
    return json.loads((folder / "out/summary.json").read_text())


@pytest.mark.parametrize("method", ["k_means", "otsu"])
def test_classes_of_different_intensity_then_found_after_matching(tmp_path, method):
    summary = evaluate(tmp_path, method=method)
    figures = summary["figures"]
    assert figures["nmi_per_volume_mean"]["value"] > 0.99
    assert figures["dice_liver_tumour_after_matching_per_volume_mean"]["value"] > 0.99
    assert figures["accuracy_after_matching_per_volume_mean"]["n"] == 2
    assert summary["counts"]["patients"] == 2
    assert summary["settings"]["method"] == method
    with open(tmp_path / "out/per_volume.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["series_uid"] for row in rows] == ["1.0", "1.1"]
    assert rows[0]["cluster_of_class"] == "rest:1 liver:2 liver_tumour:3"


def test_figures_then_none_named_as_those_of_a_method_that_names_its_classes(tmp_path):
    figures = evaluate(tmp_path, method="otsu")["figures"]
    assert all(name.startswith("nmi") or "after_matching" in name for name in figures)


def test_fewer_clusters_than_classes_then_one_class_without(tmp_path):
    figures = evaluate(tmp_path, method="k_means", clusters=2)["figures"]
    dice = [
        figures[f"dice_{name}_after_matching_per_volume_mean"]["value"]
        for name in ("rest", "liver", "liver_tumour")
    ]
    assert sorted(dice)[0] == 0
    assert figures["nmi_per_volume_mean"]["value"] < 0.9


def test_nodules_then_one_class_whatever_their_numbers(tmp_path):
    datalist = write_data(tmp_path, kind="instances", labels=lambda label: label * 3)
    figures = evaluate(tmp_path, datalist=datalist, method="k_means", clusters=2)["figures"]
    assert "dice_nodule_after_matching_per_volume_mean" in figures
    assert figures["nmi_per_volume_mean"]["value"] < 1


def test_other_method_in_the_same_output_then_refused_unless_asked(tmp_path):
    for _ in range(2):  # the same evaluation may be repeated
        evaluate(tmp_path, method="k_means")
    with pytest.raises(ValueError, match=r"holds a result with another method \(method\)"):
        evaluate(tmp_path, method="otsu")
    with pytest.raises(ValueError, match=r"another method \(clusters, seed\); give another folder"):
        evaluate(tmp_path, clusters=2, seed=1)
    assert evaluate(tmp_path, method="otsu", overwrite=True)["settings"]["method"] == "otsu"


def test_jule_then_settings_of_patches_recorded(tmp_path):
    small = {"patch": 12, "stride": 2, "patches": 60, "periods": 2, "epochs": 1}
    summary = evaluate(tmp_path, method="jule", **small)
    assert small.items() <= summary["settings"].items()
    assert 0 <= summary["figures"]["nmi_per_volume_mean"]["value"] <= 1


def test_labels_when_exchanged_then_same_clusters_and_other_figures(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir(), second.mkdir()
    exchanged = write_data(second, labels=lambda label: label.swapaxes(1, 2).copy())
    one = evaluate(first, method="k_means")
    other = evaluate(second, datalist=exchanged, method="k_means")
    assert one["figures"]["nmi_per_volume_mean"]["value"] > 0.99
    assert other["figures"]["nmi_per_volume_mean"]["value"] < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"section": "volumes/test"}, "section: must be one of training, validation, test"),
        ({"method": "som"}, "method: must be one of jule, k_means, otsu"),
        ({"clusters": 9}, "clusters: must be a whole number, 2 to 5, got 9"),
        ({"region": "lung"}, "1.0: hu_zyx: no lungs"),
    ],
)
def test_option_when_invalid_then_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(tmp_path, **options)


def test_hu_with_fractions_then_the_values_that_cluster_divides(tmp_path, monkeypatch):
    datalist, divided = write_data(tmp_path), []
    for file in tmp_path.glob("*_image.nii.gz"):
        image = nibabel.load(file)
        hu = image.get_fdata() + np.linspace(-0.9, 0.9, 30)[:, None, None]
        nibabel.save(nibabel.Nifti1Image(hu.astype(np.float32), image.affine), file)
    whole = METHODS["k_means"]
    monkeypatch.setitem(
        METHODS, "k_means", lambda ready, *more: divided.append(ready) or whole(ready, *more)
    )
    evaluate(tmp_path, datalist=datalist)
    image = read_volume(tmp_path / "0_image.nii.gz").in_lps()
    options = ClusterOptions(region="all", jule=JuleOptions(periods=5, epochs=2))
    np.testing.assert_array_equal(divided[0].values, prepared(image, options).values)


def test_labels_of_images_then_not_needed_to_be_in_lps(tmp_path):
    datalist = Path(write_data(tmp_path))
    for file in tmp_path.glob("*.nii.gz"):
        image = nibabel.load(file)
        nibabel.save(image.as_reoriented(np.array([[0, -1], [1, 1], [2, -1]])), file)
    figures = evaluate(tmp_path, datalist=str(datalist))["figures"]
    assert figures["nmi_per_volume_mean"]["value"] == pytest.approx(1)
