"""``evaluate members``: calibration on scans that no member knows, and the flag on others."""

import csv
import dataclasses
import json
import zipfile

import nibabel
import numpy as np
import pytest
import torch

from scripts.bundle.training_scans import hashed_case
from scripts.prediction.members.evaluate_members_command import evaluate_members
from scripts.prediction.members.limit import read_limit
from scripts.prediction.network.model import Model
from scripts.prediction.predict_options import Options
from scripts.volumes.formats.nifti import nifti_of
from tests.scripts.prediction.studies import LUNG, bright_chest, one_convolution, write_nifti

pytestmark = pytest.mark.usefixtures("_at_the_root")
FAINT_HU = 250  # above the first network's 190 HU, below the second one's 300


def member(folder, name, offset, **partitions):
    """Overlay and weights of a network that says which scans it knows, by salted hashes."""
    overlay, weights = one_convolution(folder, name, ((offset, 100.0),))
    content = torch.load(weights, weights_only=True)
    known = {key: [hashed_case(uid, name) for uid in uids] for key, uids in partitions.items()}
    content["data"] = {**content.get("data", {}), **known, "salt": name}
    torch.save(content, weights)
    return overlay, weights


def volume(folder, uid, *, faint):
    """An annotated chest; the largest nodule is faint or all are bright."""
    drawn = bright_chest()
    if faint:
        largest = int(np.argmax(np.bincount(drawn.mask.ravel())[1:])) + 1
        drawn.hu[drawn.mask == largest] = FAINT_HU
    write_nifti(folder / f"{uid}.nii.gz", drawn)
    label = nifti_of(drawn.mask.astype(np.uint8), drawn.affine)
    nibabel.save(label, folder / f"{uid}_label.nii.gz")
    return {
        **{"image": f"{uid}.nii.gz", "label": f"{uid}_label.nii.gz", "series_uid": uid},
        **{"patient_id": f"P{uid}", "spacing_mm": [4.0, 4.0, 6.0], "label_kind": "masks"},
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A datalist with volumes v1, v2 and v3 for validation, t1 for test, and two members."""
    tmp_path = tmp_path_factory.mktemp("prepared")
    sections = {
        "training": [],
        "validation": [volume(tmp_path, f"v{k}", faint=False) for k in (1, 2, 3)],
        "test": [volume(tmp_path, "t1", faint=True)],
    }
    content = {"name": "luna16", "kind": "instances", "volumes": sections}
    content |= {name: [] for name in sections}
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({**content, "classes": {"0": "background", "1": "nodule"}}))
    common = {"validation_cases": ["v1", "v2", "v3"], "test_cases": ["t1"]}
    overlay, first = member(tmp_path, "first", -85.0, cases=["z"], **common)
    _, second = member(tmp_path, "second", -93.0, cases=["z", "v3"], **common)
    options = {"ckpt_path": f"{first},{second}", "config_file": overlay, "device": "cpu"}
    return path, {**options, "engine": "torch", "threshold": 0.4}


def test_validation_then_test_then_the_scan_with_less_agreement_is_flagged(
    prepared, tmp_path, capsys
):
    path, options = prepared
    evaluate_members(str(path), str(tmp_path / "val"), section="validation", **options)
    shown = capsys.readouterr().out
    assert (
        "left out of the calibration: 1 of 3 scans, of patients that a member was trained on"
        in shown
    )
    limit = read_limit(tmp_path / "val" / "agreement.json")
    assert (limit.limit, limit.cases, limit.rate) == (1.0, 2, pytest.approx(1 / 3, abs=1e-4))
    evaluate_members(
        str(path),
        str(tmp_path / "test"),
        agreement=str(tmp_path / "val" / "agreement.json"),
        **options,
    )
    summary = json.loads((tmp_path / "test" / "summary.json").read_text())
    assert summary["agreement"]["limit"]["flagged_scans"] == 1
    assert summary["figures"]["aurc"]["n"] == 1
    assert len(summary["data"]["model_sha256"]) == 2
    with (tmp_path / "test" / "agreement.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["series_uid"] == "t1"
    assert row["flagged"] == "True"
    assert float(row["mean_pairwise_dice"]) < 0.95 < float(row["dice"])
    with pytest.raises(ValueError, match=r"another method \(threshold, agreement\); give another"):
        evaluate_members(str(path), str(tmp_path / "test"), **{**options, "threshold": 0.6})
    assert (tmp_path / "test" / "risk_coverage.png").is_file()
    assert not (tmp_path / "test" / "agreement.json").exists()
    checked = Options(
        LUNG,
        config_files=(options["config_file"],),
        checkpoints=tuple(options["ckpt_path"].split(",")),
        threshold=0.4,
        device="cpu",
        engine="torch",
        agreement=tmp_path / "val" / "agreement.json",
    )
    assert Model(checked).agreement_limit == limit
    with pytest.raises(ValueError, match="calibrated with other flips"):
        _ = Model(dataclasses.replace(checked, flips=("x",))).agreement_limit
    alone = dataclasses.replace(checked, checkpoints=checked.checkpoints[:1])
    with pytest.raises(ValueError, match="agreement: is that of several members"):
        _ = Model(alone).agreement_limit


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"section": "training"}, "section: must be"),
        ({"flagged_share": 1.0}, "flagged_share: must be a probability between 0 and 1"),
        ({"single": True}, "a single network has no other to agree with"),
    ],
    ids=["training", "share", "single"],
)
def test_option_that_makes_no_sense_then_refused(prepared, tmp_path, change, reason):
    path, options = prepared
    change = dict(change)
    if change.pop("single", False):
        change["ckpt_path"] = options["ckpt_path"].partition(",")[0]
    with pytest.raises(ValueError, match=reason):
        evaluate_members(str(path), str(tmp_path / "out"), **{**options, **change})


def test_bundle_in_a_zip_then_read_as_predict_does(prepared, tmp_path):
    path, options = prepared
    packed = tmp_path / "b.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("b/configs/inference.json", json.dumps({"bundle_root": "."}))
    with pytest.raises(ValueError, match=rf"{packed}/configs/inference.json has no id preproc"):
        evaluate_members(str(path), str(tmp_path / "out"), **options, bundle=str(packed))


def test_scan_that_cannot_be_predicted_then_named_and_the_others_are_evaluated(
    prepared, tmp_path, capsys
):
    path, options = prepared
    content = json.loads(path.read_text())
    bad = dict(content["volumes"]["test"][0], series_uid="t2", image="t2.nii.gz")
    drawn = bright_chest()
    drawn.hu[:] = 40
    write_nifti(path.with_name("t2.nii.gz"), drawn)
    content["volumes"]["test"].append(bad)
    path = path.with_name("with_t2.json")
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit) as stopped:
        evaluate_members(str(path), str(tmp_path / "out"), **options)
    assert stopped.value.code == 1
    assert "failed: t2: source: values must be HU" in capsys.readouterr().out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["counts"]["series"] == 1
    assert summary["agreement"]["limit"] is None
