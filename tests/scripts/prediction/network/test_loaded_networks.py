"""Several files of weights: they must belong together."""

import shutil

import pytest
import torch

from scripts.prediction.network.loaded_networks import load_networks
from tests.scripts.prediction.studies import LUNG, one_convolution

pytestmark = pytest.mark.usefixtures("_at_the_root")


def changed(path, new, **settings):
    """Copy a file of weights with other settings."""
    content = torch.load(path, weights_only=True)
    content["settings"] |= settings
    content["model"]["bias"] = content["model"]["bias"] + 1
    torch.save(content, new)
    return new


@pytest.fixture
def first(tmp_path):
    return tmp_path / one_convolution(tmp_path, LUNG.name, [(0.0, 1.0)])[1]


def load(*files, threshold=0.5):
    settings = torch.load(files[0], weights_only=True)["settings"]
    network = torch.nn.Conv2d(3, 1, 1)
    return load_networks(network, files, threshold=threshold, settings=settings)


def test_files_then_a_network_each_and_what_it_was_trained_on(first, tmp_path):
    loaded = load(first, changed(first, tmp_path / "b.pt"))
    assert [network.bias.item() for network in loaded.networks] == [0, 1]
    assert len(loaded.trained_on) == len(loaded.sha256) == 2
    assert not any(network.training for network in loaded.networks)
    assert loaded.notes == ()


def test_other_settings_then_refused_by_name_with_both_files(first, tmp_path):
    other = changed(first, tmp_path / "b.pt", window_hu=[-900.0, 100.0])
    with pytest.raises(
        ValueError, match=r"b\.pt was trained with other settings.*window_hu"
    ) as info:
        load(first, other)
    assert f"the config has those of {first}, and all files" in str(info.value)
    with pytest.raises(ValueError, match="other settings") as info:  # as for a single file
        load_networks(
            torch.nn.Conv2d(3, 1, 1), [other], threshold=None, settings={"window_hu": [-1.0, 1.0]}
        )
    assert "all files" not in str(info.value)


def test_same_weights_twice_then_refused(first, tmp_path):
    shutil.copy(first, tmp_path / "copy.pt")
    content = torch.load(first, weights_only=True)
    torch.save({**content, "data": {"samples": 7}}, tmp_path / "told.pt")  # another file of them
    for twin in (first, tmp_path / "copy.pt", tmp_path / "told.pt"):
        with pytest.raises(ValueError, match="hold the same weights; name each network once"):
            load(first, twin)


def test_other_threshold_then_that_of_the_first_is_used_and_a_note_says_so(first, tmp_path):
    other = changed(first, tmp_path / "b.pt", threshold=0.3)
    (note,) = load(first, other).notes
    assert note == f"threshold 0.5 of {first.name} is used; b.pt was trained with 0.3"
    assert load(first, other, threshold=None).notes == ()  # the user's own
