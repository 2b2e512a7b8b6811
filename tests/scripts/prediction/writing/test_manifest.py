"""manifest.json: by what a study is known as finished, and what it says of the model."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.prediction.network.model import Model
from scripts.prediction.predict_options import Options
from scripts.prediction.writing.manifest import (
    MADE_BY,
    command_of,
    facts_of,
    fingerprint,
    is_finished,
    is_ours,
    read_manifest,
)

pytestmark = pytest.mark.usefixtures("_at_the_root")


@pytest.fixture
def finished(tmp_path):
    """A study's folder under the fingerprint ``mark``."""
    (tmp_path / "mask.nii.gz").write_bytes(b"12345")
    content = {
        "made_by": MADE_BY,
        "fingerprint": "mark",
        "warnings": [],
        "segments": [],
        "files": [{"name": "mask.nii.gz", "sha256": hashlib.sha256(b"12345").hexdigest()}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    return tmp_path


def test_folder_then_finished_under_its_own_fingerprint_only(finished):
    assert is_finished(finished, {"mark"})
    assert not is_finished(finished, {"another"})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "mask.nii.gz").unlink(),
        lambda folder: (folder / "mask.nii.gz").write_bytes(b"1234"),
        lambda folder: (folder / "mask.nii.gz").write_bytes(b"54321"),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
    ],
    ids=["product gone", "product cut", "product replaced", "manifest gone", "manifest cut"],
)
def test_folder_when_something_is_missing_then_not_finished(finished, spoil):
    spoil(finished)
    assert not is_finished(finished, {"mark"})


@pytest.mark.parametrize("content", ["[]", '{"made_by": "another"}', "{}"])
def test_manifest_of_another_program_then_none(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    assert read_manifest(tmp_path) is None


def test_fingerprint_when_anything_that_decides_the_result_changes_then_another(
    lung_options, liver_options, tmp_path
):
    (tmp_path / "agreement.json").write_text("{}")
    flips = {"flips": ("x",)}
    other_version = Model(lung_options)
    other_version.parser["_meta_"] = {**other_version.metadata, "version": "99"}
    marks = [
        fingerprint(Model(lung_options), "source"),
        fingerprint(other_version, "source"),
        fingerprint(Model(lung_options), "another source"),
        fingerprint(Model(replace(lung_options, **flips)), "source"),
        fingerprint(
            Model(replace(lung_options, **flips, agreement=tmp_path / "agreement.json")), "source"
        ),
        fingerprint(Model(replace(lung_options, products=("mask",))), "source"),
        fingerprint(Model(replace(lung_options, threshold=0.4)), "source"),
        fingerprint(Model(replace(lung_options, candidate_threshold=0.4)), "source"),
        fingerprint(Model(replace(lung_options, geometry="resample")), "source"),
        fingerprint(Model(replace(lung_options, seg="labelmap")), "source"),
        fingerprint(Model(replace(lung_options, dicom_lesions=7)), "source"),
        fingerprint(Model(liver_options), "source"),
    ]
    assert len(set(marks)) == len(marks)
    assert fingerprint(Model(replace(lung_options, progress=True)), "source") == marks[0]


def test_facts_then_the_hash_of_each_file_of_weights(lung_options):
    (weights,) = lung_options.checkpoints
    digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    one = facts_of(Model(lung_options), ("thick slices",))
    assert one["weights_sha256"] == digest
    assert one["warnings"] == ["thick slices"]
    assert one["looked_for"] == ["nodule"]
    two = facts_of(Model(replace(lung_options, checkpoints=(weights, weights))), ())
    assert two["weights_sha256"] == [digest, digest]


def test_command_then_without_paths_and_with_what_was_chosen():
    options = Options(
        Path("/home/quixotic/bundle"),
        checkpoints=("/home/quixotic/a.pt",),
        threshold=0.4,
        candidate_threshold=0.05,
        agreement=Path("/home/quixotic/agreement.json"),
    )
    command = command_of(options)
    assert "quixotic" not in command
    thresholds = "--threshold 0.4 --candidate_threshold 0.05 --agreement agreement.json"
    assert command.endswith(f"--source SOURCE --output OUTPUT --ckpt_path a.pt {thresholds}")


@pytest.mark.parametrize(
    "changes",
    [{"files": None}, {"files": [{}]}, {"files": []}, {"warnings": "none"}, {"segments": None}],
    ids=str,
)
def test_manifest_damaged_by_hand_then_made_anew(finished, changes):
    manifest = finished / "manifest.json"
    assert is_ours(finished)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))
    assert not is_finished(finished, {"mark"})
    assert is_ours(finished)


@pytest.mark.parametrize("content", ['{"made_by": "python', "[" * 100_000, "", "[]"])
def test_manifest_damaged_then_ours_only_beside_nothing_but_products(finished, content):
    (finished / "manifest.json").write_text(content)
    assert not is_finished(finished, {"mark"})
    assert is_ours(finished)
    (finished / "thesis.txt").touch()
    assert not is_ours(finished)


def test_fingerprint_without_dicom_objects_then_not_of_their_options(lung_options):
    plain = replace(lung_options, products=("mask", "statistics"))
    others = replace(plain, seg="labelmap", dicom_lesions=7)
    assert fingerprint(Model(plain), "source") == fingerprint(Model(others), "source")
