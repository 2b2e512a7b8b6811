"""What an adaptation begins with: weights and their bundle, or a package, zipped or not."""

import zipfile

import pytest

from scripts.packaging.package_command import package
from scripts.prediction.predict_options import Options
from scripts.retraining.adapt.adapted_model import AdaptedModel
from scripts.retraining.adapt.sequence_tuning import Tuning
from scripts.retraining.adapt.start import is_package, opened_start
from tests.scripts.prediction.studies import LIVER
from tests.scripts.retraining.adaptable import bundle_options, step, tiny_unet

CONFIG = "configs/inference.json"


def zip_of(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"b_segmentation/{name}", content)
    return path


def test_package_then_the_same_network_and_bundle_zipped_or_not(monkeypatch, tmp_path):
    monkeypatch.chdir(LIVER.parents[1])
    weights = bundle_options(LIVER, tmp_path, tiny_unet(monkeypatch, 4)).checkpoints[0]
    packed = tmp_path / "packed.zip"
    package(str(LIVER), str(packed), ckpt_path=weights)
    zipfile.ZipFile(packed).extractall(tmp_path)
    tuning = Tuning(step("deep", ("all",), 1, 0.1), step("shallow", ("decoder",), 1, 0.1))
    found = []
    for model, bundle in ((weights, LIVER), (packed, None), (tmp_path / LIVER.name, None)):
        with opened_start(str(model), bundle and str(bundle)) as (folder, file):
            adapted = AdaptedModel(Options(folder, checkpoints=(str(file),), device="cpu"), tuning)
            adapted.check_parts()
            found.append((adapted.members_identity, adapted.class_names, folder.name))
    assert found[0] == found[1] == found[2]
    with opened_start(weights, str(packed)) as (folder, file):
        assert (folder.name, str(file)) == (LIVER.name, weights)
    with opened_start(str(tmp_path / LIVER.name / "models" / "model.pt"), None) as (folder, _):
        assert folder == tmp_path / LIVER.name


@pytest.mark.parametrize(
    ("model", "bundle", "told"),
    [
        ("full.zip", "bundles/x", "bundle: .*full.zip has configs of its own; leave --bundle out"),
        ("full.zip", None, "model: .*full.zip holds no models/model.pt that could be tuned"),
        ("none.zip", None, "bundle: .*none.zip holds no configs/inference.json"),
        ("folder", None, "model: .*folder holds no configs/inference.json"),
        ("alone.pt", None, "bundle: must be given, as .*alone.pt does not lie in the models"),
        ("absent.zip", None, "model: no such file: .*absent.zip"),
        ("absent.pt", None, "model: .*absent.pt"),
        ("", "bundles/x", "model: must be a file of trained weights or a package, got none"),
    ],
)
def test_start_without_what_it_needs_then_refused(tmp_path, model, bundle, told):
    zip_of(tmp_path / "full.zip", **{CONFIG: "{}", "models/exports.json": "{}"})
    zip_of(tmp_path / "none.zip", **{"docs/README.md": ""})
    (tmp_path / "alone.pt").touch()
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises((ValueError, FileNotFoundError), match=told),
        opened_start(model and str(tmp_path / model), bundle),
    ):
        pass


def test_path_then_a_package_if_it_is_a_folder_or_a_zip(tmp_path):
    assert is_package(str(tmp_path))
    assert is_package("b.ZIP")
    assert not is_package("model.pt")
    assert not is_package("")
