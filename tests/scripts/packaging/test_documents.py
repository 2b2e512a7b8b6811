import yaml

from scripts.packaging.documents import large_files, overlay_names, readme


def test_readme_then_name_version_weights_and_overlays():
    metadata = {"version": "0.4.0", "intended_use": "Research only."}
    text = readme("lung_bundle", metadata, weights="`model.pt`", overlays=["a.json", "b.json"])
    assert text.startswith("# lung_bundle, packaged\n\nVersion 0.4.0. Research only.")
    assert "- Weights: `model.pt`" in text
    assert "`a.json`, `b.json`" in text
    assert "{name}" not in text
    assert text.count("/path/to/lung_bundle") == 2


def test_readme_without_overlays_then_says_so():
    assert "configs: nothing" in readme("b", {"version": "1"}, weights="", overlays=[])


def test_overlays_then_no_folder_outside_the_project(tmp_path):
    inside = tmp_path / "configs" / "a.json"
    names = overlay_names([inside, "configs/b.json", "/home/me/c.json"], root=tmp_path)
    assert names == ["configs/a.json", "configs/b.json", "c.json"]


def test_large_files_then_yaml_as_monai_reads_it():
    text = large_files("models/model.pt", url='https://a.org/"m".pt?x=#1', sha256="00")
    assert yaml.safe_load(text)["large_files"] == [
        {
            "path": "models/model.pt",
            "url": 'https://a.org/"m".pt?x=#1',
            "hash_val": "00",
            "hash_type": "sha256",
        }
    ]
