import json
from importlib import metadata

import pytest

from scripts.packaging.metadata import installed, packaged_metadata
from tests.scripts.packaging.packages import LUNG


def test_version_without_changelog_then_refused():
    source = json.loads((LUNG / "configs" / "metadata.json").read_text()) | {"version": "9.9.9"}
    with pytest.raises(ValueError, match="version '9.9.9' must be in the changelog"):
        packaged_metadata(source, modules=[])


def test_classes_of_the_config_then_name_the_channels():
    source = json.loads((LUNG / "configs" / "metadata.json").read_text())
    names = ["background", "liver", "tumour"]
    pred = packaged_metadata(source, modules=[], class_names=names)["network_data_format"]
    assert pred["outputs"]["pred"]["channel_def"] == {"0": names[0], "1": names[1], "2": names[2]}
    assert pred["outputs"]["pred"]["num_channels"] == 3


def test_packages_then_those_named_and_those_imported_each_once():
    source = {"version": "1", "changelog": {"1": "x"}}
    source["required_packages_version"] = {"pytorch-ignite": "0.0"}
    made = packaged_metadata(source, modules=["ignite", "torch", "pydicom", "json"])
    assert made["required_packages_version"] == {
        name: metadata.version(name) for name in ("pytorch-ignite", "pydicom")
    }
    assert source["required_packages_version"] == {"pytorch-ignite": "0.0"}
    assert "+" not in made["pytorch_version"]


def test_package_that_is_not_installed_then_refused():
    with pytest.raises(ValueError, match="requires a-package-of-nobody, which is not installed"):
        installed("a-package-of-nobody")
