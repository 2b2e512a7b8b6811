"""Bundles as in MONAI's model zoo: clean but for what a reader has to decide."""

import pytest

from scripts.audit.audit import audit_paths
from scripts.audit.findings import at_or_above
from tests.scripts.audit.model_zoo import write_pancreas, write_spleen


@pytest.mark.parametrize(
    ("written", "places"),
    [
        (write_spleen, [("configs/inference.json", "dataset_dir"), ("large_files.yml", "line 3")]),
        (
            write_pancreas,
            [("configs/train.json", "bundle_root"), ("configs/train.json", "dataset_dir")],
        ),
    ],
    ids=["inference", "training"],
)
def test_bundle_of_the_model_zoo_then_its_addresses_only(tmp_path, written, places):
    found = at_or_above(audit_paths([str(written(tmp_path / "bundle"))]), "problem")
    assert sorted((f.file, f.place) for f in found) == places


def test_folders_as_they_are_here_then_clean(tmp_path):
    folder = write_pancreas(tmp_path / "bundle")
    scans = tmp_path / "scans"
    (scans / "imagesTr").mkdir(parents=True)
    config = folder / "configs" / "train.json"
    text = config.read_text().replace("/workspace/pancreas_ct", str(folder.resolve()))
    config.write_text(text.replace("/workspace/data/Task07_Pancreas", str(scans)))
    (found,) = at_or_above(audit_paths([str(folder)]), "problem")
    assert found.place == "dataset_dir"  # no scan in it yet
    (scans / "imagesTr" / "a.nii.gz").touch()
    assert at_or_above(audit_paths([str(folder)]), "problem") == []
