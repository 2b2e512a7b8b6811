"""A released zip: what the zoo asks for, and the figures of its evaluation when it runs."""

import json
import zipfile

import pytest
import yaml

from scripts.__main__ import main
from scripts.bundle.model_file import read_model
from scripts.bundle.record import sha256_of
from scripts.release.release_command import release
from tests.scripts.packaging.packages import LUNG, ROOT, SCHEMA, say_elsewhere

pytestmark = pytest.mark.usefixtures("_at_root")


@pytest.fixture(scope="module")
def released(once, trained, evaluated):
    """A folder with the zip, and the bundle unpacked from it."""

    def build(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            release(
                str(LUNG),
                str(folder / "lung.zip"),
                run=str(trained / "training"),
                evaluation=str(evaluated),
                config_file="configs/runtime/small.json",
            )
        zipfile.ZipFile(folder / "lung.zip").extractall(folder)

    return once("released", build)


@pytest.fixture
def bundle(released):
    return released / LUNG.name


def test_metadata_then_the_figures_of_the_evaluation(bundle, evaluated):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    summary = json.loads((evaluated / "summary.json").read_text())
    dice = summary["figures"]["dice_per_nodule_mean"]
    metrics = metadata["eval_metrics"]
    assert metrics["dice_per_nodule_mean"] == dice["value"]
    assert metrics["dice_per_nodule_mean_interval_95"] == dice["interval_95"]
    assert metrics["test_patients"] == summary["counts"]["patients"]
    assert "U-Net with the encoder resnet18" in metadata["name"]
    assert "encoder weights of the file encoder.pt" in metadata["description"]
    assert metadata["data_source"].startswith("LUNA16")


def test_card_then_headline_and_the_bundles_own_documentation_apart(bundle, evaluated):
    card = (bundle / "docs" / "README.md").read_text()
    assert "**Dice per nodule: " in card
    assert "masks: instance masks given by the user" in card
    assert "`configs/runtime/small.json`" in card
    assert "are of other networks" in (bundle / "docs" / "bundle.md").read_text()[:400]


def test_zip_then_no_folder_of_this_machine_and_no_name_of_a_case(released, cohort, evaluated):
    uids = [path.stem for path in (cohort / "phantoms").glob("subset*/*.mhd")]
    with zipfile.ZipFile(released / "lung.zip") as archive:
        for name in archive.namelist():
            content = archive.read(name)
            for secret in (str(ROOT), str(evaluated), *uids):
                assert secret.encode() not in content, (name, secret)


def test_cases_then_in_the_package_as_hashes(bundle, trained):
    hashes = json.loads((bundle / "docs" / "evidence.json").read_text())["case_hashes"]
    data = read_model(bundle / "models" / "model.pt").record["data"]
    for name in ("salt", "cases", "validation_cases", "test_cases"):
        assert hashes[name]
        assert hashes[name] == data[name]
    assert data == read_model(trained / "training" / "model.pt").record["data"]


def test_zip_under_the_strict_policy_then_allowed(released, capsys):
    main(["audit", "--policy", "strict", "--config", str(released / "lung.zip")])
    assert capsys.readouterr().out == f"allowed: {released / 'lung.zip'}\n"


def test_released_bundle_elsewhere_then_verified_and_the_same_figures(
    bundle, cohort, evaluated, tmp_path
):
    metadata = ["--meta_file", bundle / "configs" / "metadata.json"]
    words = ["run", "--config_file", bundle / "configs" / "evaluate.json", "--dataset_dir"]
    words += [cohort / "prepared", "--output_dir", tmp_path / "again"]
    verify = ["verify_metadata", *metadata, "--filepath", SCHEMA]
    printed = say_elsewhere(bundle, [words, verify], folder=tmp_path)
    assert "metadata is verified with no error" in printed
    first, again = (
        json.loads((folder / "summary.json").read_text())
        for folder in (evaluated, tmp_path / "again")
    )
    assert again["cases"] == first["cases"]
    dice = [each["figures"]["dice_per_nodule_mean"]["value"] for each in (first, again)]
    assert dice[0] == pytest.approx(dice[1])


def test_weights_elsewhere_then_address_and_hash_in_large_files(trained, evaluated, tmp_path):
    url = "https://example.org/lung.pt"
    files = {"run": str(trained / "training"), "evaluation": str(evaluated)}
    release(str(LUNG), str(tmp_path / "lung.zip"), model_url=url, **files)
    with zipfile.ZipFile(tmp_path / "lung.zip") as archive:
        names = archive.namelist()
        (entry,) = yaml.safe_load(archive.read(f"{LUNG.name}/large_files.yml"))["large_files"]
    assert f"{LUNG.name}/models/model.pt" not in names
    assert entry["url"] == url
    assert entry["hash_type"] == "sha256"
    assert entry["hash_val"] == sha256_of(tmp_path / "lung_model.pt")


def test_evaluation_of_the_validation_then_no_zip(trained, evaluated, tmp_path):
    summary = json.loads((evaluated / "summary.json").read_text())
    summary["data"]["section"] = "validation"
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match="of the partition validation"):
        release(
            str(LUNG),
            str(tmp_path / "lung.zip"),
            run=str(trained / "training"),
            evaluation=str(tmp_path),
        )
    assert not (tmp_path / "lung.zip").exists()
