"""From model.pt, a folder or a package to its weights, bundle and preparation."""

import zipfile
from pathlib import Path

import pytest

from scripts.bundle.model_file import ModelFile
from scripts.release.trained_model import bundle_of, model_file, preparation_of

pytestmark = pytest.mark.usefixtures("_at_root")
LUNG, LIVER = (Path(f"bundles/{n}_ct_segmentation") for n in ("lung_nodule", "liver"))


def model_with(settings=None, **data):
    return ModelFile(Path("model.pt"), {}, settings, {"data": data})


@pytest.mark.parametrize("inside", ["model.pt", "models/model.pt"])
def test_folder_then_its_weights(tmp_path, inside):
    (tmp_path / inside).parent.mkdir(exist_ok=True)
    (tmp_path / inside).touch()
    assert model_file(tmp_path, tmp_path) == tmp_path / inside


def test_zip_of_a_package_then_only_its_weights_are_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "lung.zip", "w") as archive:
        archive.writestr("lung/models/model.pt", b"weights")
        archive.writestr("lung/scripts/evil.py", "raise SystemExit")
    out = tmp_path / "out"
    out.mkdir()
    assert model_file(tmp_path / "lung.zip", out).read_bytes() == b"weights"
    assert [path.name for path in out.rglob("*")] == ["model.pt"]


def test_zip_without_weights_then_said_where_they_are(tmp_path):
    with zipfile.ZipFile(tmp_path / "lung.zip", "w") as archive:
        archive.writestr("lung/large_files.yml", "")
    with pytest.raises(FileNotFoundError, match="download the weights"):
        model_file(tmp_path / "lung.zip", tmp_path)


def test_nothing_there_then_the_places_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no trained network at .*model.pt or .*models"):
        model_file(tmp_path, tmp_path)


def test_bundle_then_the_one_with_the_classes_of_the_model():
    assert bundle_of(model_with({"class_names": ["background", "nodule"]}), None) == LUNG
    organs = ["background", "liver", "bone", "kidney"]
    assert bundle_of(model_with({"class_names": organs}), None) == LIVER
    assert bundle_of(model_with({"class_names": organs}), str(LUNG)) == LUNG


def test_bundle_when_none_has_the_classes_then_asked_for():
    with pytest.raises(ValueError, match=r"the classes \['a'\], as none in .*--bundle"):
        bundle_of(model_with({"class_names": ["a"]}), None)
    with pytest.raises(FileNotFoundError, match="holds no configs/evaluate.json"):
        bundle_of(model_with(), "bundles")


def test_preparation_then_as_recorded_and_only_options_of_the_data_set():
    recorded = {"name": "luna16", "label": "readers", "min_readers": 3, "slices": "central"}
    how = preparation_of(model_with(data_set={**recorded, "tumour": True}), LUNG, None)
    assert (how.data_set, how.assumed) == ("luna16", ())
    assert how.options == {"label": "readers", "min_readers": 3, "slices": "central"}


@pytest.mark.parametrize(
    ("labels", "data_set", "options"),
    [
        (["votes"], "lidc_nodules", {"slices": "all"}),
        (["readers"], "luna16", {"slices": "all", "label": "readers"}),
    ],
)
def test_older_file_then_data_set_by_its_labels_and_said(labels, data_set, options):
    how = preparation_of(model_with(labels=labels), LUNG, None)
    assert (how.data_set, how.options) == (data_set, options)
    assert "does not say how its scans were prepared" in how.assumed[0]


def test_older_file_with_labels_of_no_data_set_then_refused():
    with pytest.raises(ValueError, match="kind spheres are those of none; give --data_set"):
        preparation_of(model_with(labels=["spheres"]), LUNG, None)


def test_data_set_of_any_labels_then_those_of_the_bundle():
    nodules = model_with(data_set={"name": "luna16", "label": "ball", "slices": "central"})
    how = preparation_of(nodules, LUNG, "folder")
    assert (how.data_set, how.options) == ("folder", {"kind": "instances", "slices": "central"})
    assert preparation_of(model_with(labels=["classes"]), LIVER, "folder").options == {
        "kind": "classes",
        "slices": "all",
    }
