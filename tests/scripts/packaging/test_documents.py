import yaml

from scripts.packaging.documents import Facts, LargeFile, large_files, overlay_names, readme

METADATA = {
    "version": "0.4.0",
    "name": "Lung nodules",
    "intended_use": "Research only.",
    "data_source": "LUNA16",
    "references": ["A. 2020."],
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "channel_def": {"0": "slice"}}},
        "outputs": {"pred": {"num_channels": 1, "channel_def": {"0": "nodule"}}},
    },
}
HEADINGS = ("# Model Overview", "## Data", "## Training configuration", "## Performance")
HEADINGS += ("## MONAI Bundle Commands", "# References", "# License")


def test_readme_then_the_zoos_headings_in_their_order():
    text = readme("lung_bundle", METADATA, Facts(weights="`model.pt`"))
    found = [line for line in text.splitlines() if line.startswith(("# ", "## "))]
    assert tuple(found) == HEADINGS


def test_readme_then_name_version_weights_record_and_overlays():
    record = {
        "strategy": {"name": "bsft", "stages": []},
        "epoch": 8,
        "settings": {"window_hu": [-1000, 400]},
    }
    facts = Facts(weights="`model.pt`", record=record, overlays=["a.json", "b.json"])
    text = readme("lung_bundle", METADATA, facts)
    assert text.startswith("# Model Overview\n\n**Lung nodules**, version 0.4.0.")
    assert "Research only." in text
    assert "- Weights: `model.pt`" in text
    assert "`a.json`, `b.json`" in text
    assert "- Strategy: bsft\n- Epoch: 8\n- Window in HU" in text
    assert "Stage" not in text
    assert "- Output: 1 channels (0 nodule)" in text
    assert "Not measured for these weights" in text
    assert "{name}" not in text
    assert text.count("/path/to/lung_bundle") == 2
    assert "leaves out" not in text


def test_readme_without_overlays_or_record_then_says_so():
    text = readme("b", {"version": "1"}, Facts(weights=""))
    assert "configs: nothing" in text
    assert "- Not recorded in the model file" in text


def test_readme_of_a_plain_package_then_what_it_leaves_out_and_no_command_of_ours():
    text = readme("b", METADATA, Facts(weights="", left_out=["the page."]))
    assert "What it leaves out:\n\n- the page." in text
    assert "python -m scripts" not in text
    assert "torch.export.load" in text


def test_readme_with_measured_figures_then_listed():
    text = readme("b", {**METADATA, "eval_metrics": {"dice": 0.8}}, Facts(weights=""))
    assert "## Performance\n\n- dice: 0.8" in text


def test_overlays_then_no_folder_outside_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = tmp_path / "configs" / "a.json"
    names = overlay_names([inside, "configs/b.json", "/home/me/c.json"])
    assert names == ["configs/a.json", "configs/b.json", "c.json"]


def test_large_files_then_yaml_as_monai_reads_it():
    text = large_files([LargeFile("models/model.pt", 'https://a.org/"m".pt?x=#1', "00")] * 2)
    assert (
        yaml.safe_load(text)["large_files"]
        == [
            {
                "path": "models/model.pt",
                "url": 'https://a.org/"m".pt?x=#1',
                "hash_val": "00",
                "hash_type": "sha256",
            }
        ]
        * 2
    )
