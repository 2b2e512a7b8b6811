import json

import pytest

from scripts.demo.liver import (
    data_steps,
    inference_step,
    summarise,
    training_steps,
    unpack_unseen,
)
from scripts.phantom.abdomen.ircadb import make_cohort
from scripts.volumes.readers import read_image


def test_steps_then_each_reads_what_an_earlier_one_wrote(tmp_path):
    steps = [*data_steps(tmp_path, 4, seed=3), *training_steps(tmp_path, seed=3)]
    text = [" ".join(step.command) for step in steps]
    assert f"--source {tmp_path}/phantoms" in text[1]
    assert f"--dataset_dir {tmp_path}/prepared" in text[2]
    assert f"--ckpt_path {tmp_path}/training/model.pt" in text[3]
    assert all("--seed 3" in line for line in text)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six patients: zips, zips in a zip (the fourth), folders in folders (the fifth)."""
    folder = tmp_path_factory.mktemp("demo")
    make_cohort(str(folder / "phantoms"), patients=6, size=64, slices=24)
    return folder


@pytest.mark.parametrize("name", ["3Dircadb1.2", "3Dircadb1.4", "3Dircadb1.5"])
def test_unseen_patient_then_its_images_lie_unpacked_however_they_came(cohort, name):
    volume = {"image": "image.nii.gz", "label": "label.nii.gz", "patient_id": name}
    volumes = {"training": [], "validation": [], "test": [volume]}
    (cohort / "prepared").mkdir(exist_ok=True)
    for file in ("image", "label"):
        (cohort / "prepared" / volume[file]).touch()
    lists = {"training": [], "validation": [], "test": [], "volumes": volumes}
    (cohort / "prepared" / "datalist.json").write_text(json.dumps(lists))
    folder = unpack_unseen(cohort)
    assert read_image(folder).GetSize() == (64, 64, 24)
    command = " ".join(inference_step(cohort, folder).command)
    assert f"--dataset_dir {cohort}/unseen/{name}" in command


def test_summary_then_every_organ_with_its_number_and_worst_patient(tmp_path):
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
    lines = summarise(tmp_path, seed=7)
    assert "seed 7" in lines[1]
    liver, bone, kidney = lines[2:5]
    assert liver.split() == ["liver", "0.912", "0.912", "0.850", "2"]
    assert bone.split()[3] == "0.500"
    assert "outlined in none of them" in kidney
