"""A bundle declares its data set once, in its metadata."""

import json

import pytest

from scripts.bundle.data_set import DeclaredDataSet, declared_data_set


def bundle(folder, **content):
    (folder / "configs").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("name", "data_set"),
    [("lung_nodule_ct_segmentation", "luna16"), ("liver_ct_segmentation", "ircadb")],
)
def test_shipped_bundle_then_its_data_set(name, data_set):
    assert declared_data_set(f"bundles/{name}") == DeclaredDataSet(data_set)


def test_options_of_prepare_then_read_and_written_alike(tmp_path):
    entry = {"name": "folder", "kind": "instances"}
    declared = declared_data_set(bundle(tmp_path, data_set=entry))
    assert declared == DeclaredDataSet("folder", {"kind": "instances"})
    assert declared.as_json() == entry


@pytest.mark.parametrize("entry", [None, "folder", {"kind": "classes"}])
def test_metadata_without_the_name_of_a_data_set_then_refused(tmp_path, entry):
    with pytest.raises(ValueError, match="data_set must name the data set"):
        declared_data_set(bundle(tmp_path, data_set=entry))
