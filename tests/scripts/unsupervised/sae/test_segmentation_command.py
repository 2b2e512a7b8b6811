import json
import subprocess
import sys

import numpy as np
import pytest

from scripts.preparation.prepare_command import prepare
from scripts.unsupervised.sae.segmentation_command import Labelling, segment
from scripts.unsupervised.sae.training_command import train
from tests.scripts.unsupervised.patch_cohort import write_cohort

QUICK = {"widths": "24,8", "patch_size": 3, "patches": 512, "epochs": 2}


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def dice(folder):
    return summary_of(folder)["figures"]["dice_per_nodule_mean"]["value"]


@pytest.fixture(scope="module")
def balls(tmp_path_factory):
    return str(write_cohort(tmp_path_factory.mktemp("balls")))


@pytest.mark.parametrize("features", ["sae", "raw", "pca"])
@pytest.mark.parametrize("method", ["patch_matching", "classifier"])
def test_nodules_then_found_by_each_method_and_each_kind_of_features(
    balls, tmp_path, method, features
):
    segment(balls, str(tmp_path), method=method, features=features, **QUICK)
    assert dice(tmp_path) > 0.8
    summary = summary_of(tmp_path)
    assert summary["counts"]["nodules"] == 1
    assert summary["settings"]["method"] == method
    assert (tmp_path / "sae.pt").is_file() == (features == "sae")
    assert ("model_sha256" in summary["data"]) == (features == "sae")


def test_other_labelling_in_the_same_output_then_refused_unless_asked(balls, tmp_path):
    for _ in range(2):  # the same evaluation may be repeated
        segment(balls, str(tmp_path), features="raw", **QUICK)
    with pytest.raises(ValueError, match=r"holds a result with another method \(training\)"):
        segment(balls, str(tmp_path), features="raw", **{**QUICK, "patch_size": 5})
    with pytest.raises(ValueError, match=r"another method \(features, training\); give another"):
        segment(balls, str(tmp_path), features="sae", **QUICK)
    assert not (tmp_path / "sae.pt").exists()
    segment(balls, str(tmp_path), features="raw", method="classifier", overwrite=True, **QUICK)
    assert summary_of(tmp_path)["settings"]["method"] == "classifier"


def test_auto_encoder_that_was_exchanged_then_another_evaluation(balls, tmp_path):
    for seed in (0, 1):
        train(balls, str(tmp_path / f"{seed}.pt"), seed=seed, **QUICK)
    out = str(tmp_path / "out")
    segment(balls, out, autoencoder=str(tmp_path / "0.pt"))
    with pytest.raises(ValueError, match="holds a result with another model_sha256; give"):
        segment(balls, out, autoencoder=str(tmp_path / "1.pt"))


def test_patches_of_one_slice_then_each_slice_is_evaluated_where_it_lies(tmp_path):
    path = write_cohort(tmp_path)
    content = json.loads(path.read_text())
    (sample,) = content["test"]
    content["test"] += [{**sample, "slice": sample["slice"] + 5, "nodules": []}]
    path.write_text(json.dumps(content))
    file = tmp_path / "sae.pt"
    train(str(path), str(file), patch_slices=1, **QUICK)
    segment(str(path), str(tmp_path / "out"), autoencoder=str(file))
    summary = summary_of(tmp_path / "out")
    assert summary["counts"]["slices"] == 2
    with (tmp_path / "out" / "per_slice.csv").open() as table:
        assert [line.split(",")[2] for line in table] == ["slice", "30", "35"]


def test_labels_shuffled_among_the_training_voxels_then_not_found(tmp_path):
    path = write_cohort(tmp_path)
    random = np.random.default_rng(0)
    for file in tmp_path.glob("scans/*/label.npy"):
        if file.parent.name in ("s0", "s1", "s2", "s3"):
            np.save(file, random.permutation(np.load(file).ravel()).reshape(3, 40, 44))
    segment(str(path), str(tmp_path / "out"), features="raw", **QUICK)
    assert dice(tmp_path / "out") < 0.2


def test_label_of_the_test_patient_then_for_the_figures_only(balls, tmp_path, monkeypatch):
    predicted = []
    monkeypatch.setattr(
        "scripts.unsupervised.sae.segmentation_command.as_output",
        lambda found, label, stack: predicted.append(found.copy()) or _tensors(found, label),
    )
    segment(balls, str(tmp_path / "a"), features="raw", **QUICK)
    other = write_cohort(tmp_path / "cohort")
    file = tmp_path / "cohort/scans/s5/label.npy"
    np.save(file, np.roll(np.load(file), 9, axis=1))
    segment(str(other), str(tmp_path / "b"), features="raw", **QUICK)
    assert np.array_equal(*predicted)
    assert dice(tmp_path / "a") > 0.8 > dice(tmp_path / "b")


def _tensors(found, label):
    import torch

    return torch.from_numpy(found), torch.from_numpy(label)


def test_organs_then_classes_of_the_body_by_the_classifier(tmp_path):
    path = write_cohort(tmp_path, kind="classes")
    segment(str(path), str(tmp_path / "out"), method="classifier", **QUICK)
    figures = summary_of(tmp_path / "out")["figures"]
    assert figures["dice_liver_per_volume_mean"]["value"] > 0.8
    assert figures["dice_bone_per_volume_mean"]["value"] > 0.8


def test_organs_then_also_by_patch_matching(tmp_path):
    path = write_cohort(tmp_path, kind="classes")
    segment(str(path), str(tmp_path / "out"), features="pca", candidates=16, **QUICK)
    assert summary_of(tmp_path / "out")["figures"]["dice_liver_per_volume_mean"]["value"] > 0.7


def test_second_run_then_its_auto_encoder_used_again(balls, tmp_path, capsys):
    segment(balls, str(tmp_path), **QUICK)
    file = tmp_path / "sae.pt"
    before, first = file.read_bytes(), (tmp_path / "per_nodule.csv").read_text()
    segment(balls, str(tmp_path), **QUICK)
    assert file.read_bytes() == before
    assert (tmp_path / "per_nodule.csv").read_text() == first
    assert "already trained" in capsys.readouterr().out


def test_other_settings_than_those_of_the_file_in_the_output_then_refused(balls, tmp_path):
    segment(balls, str(tmp_path), **QUICK)
    before = (tmp_path / "sae.pt").read_bytes()
    with pytest.raises(ValueError, match="output: .*sae.pt was trained with other settings"):
        segment(balls, str(tmp_path), **{**QUICK, "epochs": 1})
    assert (tmp_path / "sae.pt").read_bytes() == before


def test_whole_volumes_then_the_nodule_in_all_its_slices(tmp_path):
    path = write_cohort(tmp_path)
    options = {"features": "raw", "section": "volumes/test", **QUICK}
    segment(str(path), str(tmp_path / "out"), **options)
    assert dice(tmp_path / "out") > 0.7
    assert summary_of(tmp_path / "out")["counts"]["slices"] == 3


def test_given_file_then_the_same_result_as_in_one_go(balls, tmp_path):
    segment(balls, str(tmp_path / "one"), **QUICK)
    train(balls, str(tmp_path / "sae.pt"), **QUICK)
    segment(balls, str(tmp_path / "two"), autoencoder=str(tmp_path / "sae.pt"))
    assert not (tmp_path / "two" / "sae.pt").exists()
    tables = [(tmp_path / name / "per_nodule.csv").read_text() for name in ("one", "two")]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"autoencoder": "a.pt", "features": "pca"}, "autoencoder: features pca need none"),
        ({"autoencoder": "a.pt", "widths": "9,4"}, "widths: a.pt has its own"),
        ({"autoencoder": "a.pt"}, "autoencoder: no file a.pt"),
        ({"section": "training"}, "section: must be one of test, validation"),
        ({"method": "vote"}, "method: must be one of"),
        ({"features": "hog"}, "features: must be one of"),
        ({"examples": 1}, "examples: "),
        ({"penalty": 2, "features": "raw"}, "penalty: "),
    ],
)
def test_options_that_do_not_fit_then_refused(balls, tmp_path, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        segment(balls, str(tmp_path / "out"), **options)


def test_nodule_outside_its_slice_then_refused_with_series_and_slice(tmp_path):
    path = write_cohort(tmp_path)
    content = json.loads(path.read_text())
    content["test"][0]["nodules"][0]["centre_lps_mm"][0] += 500
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="^s5, slice 30: nodules: the centre of nodule 3"):
        segment(str(path), str(tmp_path / "out"), features="raw", **QUICK)


def test_settings_then_recorded_as_far_as_they_count():
    matching, classifier = (
        Labelling(method).record() for method in ("patch_matching", "classifier")
    )
    assert matching["candidates"] == 32
    assert "candidates" not in classifier


def test_command_line_then_segments_without_a_warning(balls, tmp_path):
    command = [sys.executable, "-m", "scripts", "sae", "segment", "--datalist", balls]
    options = ["--widths", "12,5", "--patch_size", "3", "--patches", "256", "--epochs", "1"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out"), *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "dice_per_nodule_mean" in done.stdout
    assert "arning" not in done.stderr


@pytest.mark.real
def test_real_nodules_then_as_the_readers_by_examples_of_other_patients(real_data, tmp_path):
    source = real_data / "lidc_nodules"
    rows = [row.split(",") for row in (source / "index.csv").read_text().split()]
    firsts = {row[1]: ",".join(row) for row in reversed(rows[1:80])}  # a nodule a patient
    chosen = [firsts[patient] for patient in sorted(firsts)][:20]
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops/index.csv").write_text("\n".join([",".join(rows[0]), *chosen]) + "\n")
    for name in ("image", "votes"):
        (tmp_path / "crops" / name).symlink_to(source / name)
    options = {"source": str(tmp_path / "crops"), "output": str(tmp_path / "data")}
    prepare("lidc_nodules", **options, slices="all", shares="3:1:1")
    datalist = str(tmp_path / "data" / "datalist.json")
    segment(datalist, str(tmp_path / "out"), features="pca", patch_size=5, patches=2000)
    assert dice(tmp_path / "out") > 0.7
