import json

import pytest
import SimpleITK as sitk

from scripts.demo.demo import LIVER, LUNG, organ_table, stage_table, unseen_series
from scripts.phantom.abdomen.ircadb import make_cohort
from scripts.volumes.readers import read_image
from tests.bundles.config_files import ROOT

DEMOS = pytest.mark.parametrize("demo", [LUNG, LIVER], ids=["lung", "liver"])


@DEMOS
def test_steps_then_each_reads_what_an_earlier_one_wrote(demo, tmp_path):
    steps = [*demo.data_steps(tmp_path, 4, seed=3), *demo.workflow_steps(tmp_path, seed=3)]
    make, prepare, *workflows = [" ".join(step.command) for step in steps]
    assert make.endswith(f"--patients 4 --output {tmp_path}/phantoms --seed 3")
    assert f"--source {tmp_path}/phantoms --output {tmp_path}/prepared" in prepare
    assert all(f"--dataset_dir {tmp_path}/prepared --seed 3" in line for line in workflows)
    assert f"--output_dir {tmp_path}/training " in workflows[-2]
    assert f"--ckpt_path {tmp_path}/training/model.pt" in workflows[-1]
    assert not any("{" in line for line in (make, prepare, *workflows))


def test_lung_steps_then_fine_tuning_starts_from_the_pretrained_encoder(tmp_path):
    pretraining, training, _ = LUNG.workflow_steps(tmp_path, seed=0)
    assert f"{tmp_path}/pretraining" in pretraining.command
    assert f"{tmp_path}/pretraining/encoder.pt" in training.command


@DEMOS
def test_workflow_then_its_configs_exist(demo, tmp_path):
    for step in demo.workflow_steps(tmp_path, seed=0):
        files = step.command[step.command.index("--config_file") + 1]
        for name in json.loads(files.replace("'", '"')):
            assert (ROOT / name).is_file(), name


def test_stage_table_then_the_best_stage_is_marked(tmp_path):
    for name in ("training", "evaluation"):
        (tmp_path / name).mkdir()
    (tmp_path / "training" / "stages.csv").write_text(
        "name,val_sensitivity_pooled,val_specificity_pooled,val_dice_per_slice,val_iou_per_slice,"
        "best\nA: block5,0.5,0.99,0.4,0.3,False\n"
        "B: block4,0.9,0.999,0.81,0.7,True\n"
    )
    figures = {
        "dice_per_nodule_mean": {"value": 0.8123, "n": 5},
        "nodules_detected_share": {"value": 0.6, "n": 5},
        "false_positives_per_scan_mean": {"value": 1.25, "n": 3},
    }
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps({"figures": figures}))
    lines = stage_table(tmp_path, seed=7)
    marked = [line for line in lines if line.endswith("<- best")]
    assert len(marked) == 1
    assert marked[0].startswith("B: block4")
    found = "60% of 5 nodules detected, 1.25 false positives per scan, Dice per nodule 0.812"
    assert lines[-1].endswith(f"(seed 7): {found}")


def test_organ_table_then_every_organ_with_its_number_and_worst_patient(tmp_path):
    (tmp_path / "evaluation").mkdir()
    entry = {"value": 0.912, "n": 2}
    figures = {
        f"iou_{organ}_{kind}": entry
        for organ in ("liver", "bone")
        for kind in ("per_volume_mean", "pooled")
    }
    (tmp_path / "evaluation" / "summary.json").write_text(json.dumps({"figures": figures}))
    rows = ["liver,True,0.95", "liver,True,0.85", "bone,True,0.5", "kidney,False,"]
    text = "\n".join(["name,known,iou", *rows])
    (tmp_path / "evaluation" / "per_class.csv").write_text(text)
    lines = organ_table(tmp_path, seed=7)
    assert "seed 7" in lines[1]
    liver, bone, kidney = lines[2:5]
    assert liver.split() == ["liver", "0.912", "0.912", "0.850", "2"]
    assert bone.split()[3] == "0.500"
    assert "not annotated in these patients" in kidney


def write_datalist(folder, volume):
    """A datalist with one volume, which is tested."""
    (folder / "prepared").mkdir(exist_ok=True)
    for file in ("image", "label"):
        sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkUInt8), folder / "prepared" / volume[file])
    volumes = {"training": [], "validation": [], "test": [volume]}
    lists = {"training": [], "validation": [], "test": [], "volumes": volumes}
    (folder / "prepared" / "datalist.json").write_text(json.dumps(lists))


def test_inference_of_the_lung_demo_then_the_volume_of_a_test_patient(tmp_path):
    write_datalist(tmp_path, {"image": "7.mhd", "label": "7.nii.gz", "patient_id": "7"})
    step = LUNG.inference_step(tmp_path)
    assert step.title.endswith("7.mhd")
    assert f"--dataset_dir {tmp_path}/prepared/7.mhd" in " ".join(step.command)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six patients: zips, zips in a zip (the fourth), folders in folders (the fifth)."""
    folder = tmp_path_factory.mktemp("demo")
    make_cohort(str(folder / "phantoms"), patients=6, size=64, slices=24)
    return folder


@pytest.mark.parametrize("name", ["3Dircadb1.2", "3Dircadb1.4", "3Dircadb1.5"])
def test_unseen_series_when_packed_in_any_way_then_its_images_lie_unpacked(cohort, name):
    volume = {"image": "image.nii.gz", "label": "label.nii.gz", "patient_id": name}
    write_datalist(cohort, volume)
    folder = unseen_series(cohort)
    assert folder == cohort / "unseen" / name
    assert read_image(folder).GetSize() == (64, 64, 24)
