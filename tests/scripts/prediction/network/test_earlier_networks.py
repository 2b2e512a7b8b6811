import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from scripts.bundle.held_models import holding
from scripts.bundle.model_file import content_of, read_model, settings_of
from scripts.prediction.network.earlier_networks import EarlierNetworksd
from tests.scripts.retraining.patients import constant_network

SETTINGS = {"window_hu": [-150, 250], "class_names": ["background", "liver", "bone", "kidney"]}


@pytest.fixture
def models(tmp_path):
    """Networks of two rounds: of two windows; of these and the four maps of the first."""
    files = []
    for number, channels in ((1, 2), (2, 6)):
        network = constant_network(float(number), volumes=True, channels=channels)
        own = {**SETTINGS, "in_channels": channels, "input_kind": f"round {number}"}
        file = tmp_path / f"{number}.pt"
        torch.save(content_of(network.state_dict(), settings_of(network, own), {}), file)
        files.append(file)
    return files


def transform(models, **settings):
    asked = {**SETTINGS, "in_channels": 6, "input_kind": "round 3", **settings}
    return EarlierNetworksd("image", models, SimpleInferer(), settings=asked)


def image():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    return MetaTensor(torch.rand(2, 8, 8, 8), affine=affine, applied_operations=[{"id": 1}])


@pytest.mark.parametrize("rounds", [1, 2])
def test_image_then_with_the_maps_of_the_last_network(models, rounds):
    before = image()
    after = transform(models[:rounds])({"image": before})["image"]
    assert tuple(after.shape) == (6, 8, 8, 8)
    assert torch.equal(after[:2].as_tensor(), before.as_tensor())
    expected = torch.softmax(torch.tensor([0, 0, 0, float(rounds)]), dim=0)
    torch.testing.assert_close(after[2:, 3, 4, 5].as_tensor(), expected)
    assert torch.equal(after.affine, before.affine)
    assert after.applied_operations == before.applied_operations


def test_network_that_needs_an_earlier_one_then_refused(models):
    with pytest.raises(ValueError, match=r"input must be \(B, 6, H, W, D\); got \[1, 2"):
        transform(models[1:])({"image": image()})


def test_network_of_another_window_then_refused(models):
    with pytest.raises(ValueError, match=r"window_hu: the file has \[-150, 250\], the config has"):
        transform(models, window_hu=[-1000, 400])({"image": image()})


@pytest.mark.parametrize("none", [[], "model.pt"], ids=["none", "no list"])
def test_no_networks_then_refused_with_where_to_find_them(none):
    with pytest.raises(ValueError, match="earlier_models: must "):
        transform(none)


def test_no_networks_then_those_that_the_model_file_holds(models, tmp_path):
    asked = {"settings": {**SETTINGS, "in_channels": 6, "input_kind": "round 3"}}
    holder = tmp_path / "second.pt"
    torch.save({"model": {"a": torch.zeros(1)}, "settings": {}}, holder)
    with pytest.raises(ValueError, match=r"second.pt does not hold; .* prediction.json"):
        EarlierNetworksd("image", [], SimpleInferer(), holder=holder, **asked)
    held = holding([read_model(model) for model in models])
    torch.save({"model": {"a": torch.zeros(1)}, "settings": {}, **held}, holder)
    made = EarlierNetworksd("image", [], SimpleInferer(), holder=holder, **asked)
    before = image()
    found = made({"image": before})["image"]
    expected = transform(models)({"image": before})["image"]
    assert torch.equal(found.as_tensor(), expected.as_tensor())
    EarlierNetworksd("image", models, SimpleInferer(), holder=holder, **asked)
    with pytest.raises(ValueError, match=r"second.pt was trained on the maps of other networks"):
        EarlierNetworksd("image", models[:1], SimpleInferer(), holder=holder, **asked)
    later = EarlierNetworksd("image", [], SimpleInferer(), holder=tmp_path / "none.pt", **asked)
    with pytest.raises(FileNotFoundError, match=r"no trained network at .*none\.pt"):
        later({"image": before})


def test_network_that_is_not_there_then_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no trained network at"):
        transform([tmp_path / "none.pt"])({"image": image()})
