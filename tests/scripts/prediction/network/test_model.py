"""A bundle's networks as predict builds them: weights, flips, the second stage."""

import shutil
from dataclasses import replace

import pytest
import torch
from monai.data import MetaTensor

from custom_nets.encoders import ENCODERS
from custom_nets.narrowing import can_be_narrowed
from custom_nets.unet import TransferUNet
from scripts.prediction.network.model import Model, flipped_axes
from tests.bundles.model_files import write_model
from tests.custom_nets.tiny import TinyEncoder
from tests.scripts.prediction.network.second_stages import write_reducer
from tests.scripts.prediction.studies import one_convolution

pytestmark = pytest.mark.usefixtures("_at_the_root")


def test_several_checkpoints_then_the_mean_of_their_probabilities(lung_options, tmp_path):
    image = MetaTensor(torch.rand(3, 6, 5, 4), affine=torch.eye(4))
    files = [one_convolution(tmp_path, n, [(k, 2.0)])[1] for n, k in (("a", 0.0), ("b", -2.0))]
    each = [Model(replace(lung_options, checkpoints=(f,))).probabilities(image) for f in files]
    both = Model(replace(lung_options, checkpoints=tuple(files))).probabilities(image)
    torch.testing.assert_close(both.as_tensor(), (each[0] + each[1]).as_tensor() / 2)
    assert not torch.equal(each[0].as_tensor(), each[1].as_tensor())


def test_flips_then_the_mean_over_the_flipped_passes(lung_options, tmp_path):
    overlay, weights = tmp_path / "wide.json", tmp_path / "wide.pt"
    overlay.write_text(
        '{"network_def": {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, '
        '"kernel_size": 3, "padding": 1}}'
    )
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 1, 3, padding=1)
    write_model(weights, network, lung_options.bundle / "configs")
    options = replace(lung_options, config_files=(str(overlay),), checkpoints=(str(weights),))
    image = MetaTensor(torch.rand(3, 6, 5, 4), affine=torch.eye(4))
    plain = Model(options)
    flipped = Model(replace(options, flips=("x",))).probabilities(image)
    turned = MetaTensor(image.as_tensor().flip(1), affine=image.affine)
    expected = (plain.probabilities(image) + plain.probabilities(turned).flip(1)) / 2
    torch.testing.assert_close(flipped.as_tensor(), expected.as_tensor())
    assert not torch.allclose(flipped.as_tensor(), plain.probabilities(image).as_tensor())


@pytest.mark.parametrize(
    ("id_", "value", "narrowed"),
    [("fold_norms", True, True), ("fold_norms", False, False), ("refining", [{}], False)],
)
def test_bundle_that_crops_then_its_decoder_computes_near_the_image_only(
    lung_options, tmp_path, id_, value, narrowed
):
    network = TransferUNet("resnet18", decoder_channels=(16, 8, 8, 8, 8)).eval()
    write_model(tmp_path / "unet.pt", network, lung_options.bundle / "configs")
    options = replace(lung_options, config_files=(), checkpoints=(str(tmp_path / "unet.pt"),))
    model = Model(options)
    model.parser[id_], model.parser["precision"] = value, "float32"
    image = torch.zeros(3, 160, 128, 2)
    image[:, 70:100, 40:60] = torch.rand(3, 30, 20, 2)
    found = model.probabilities(MetaTensor(image, affine=torch.eye(4)))[0].as_tensor()
    with torch.no_grad():
        cropped = network(image[:, 32:160, :96].movedim(-1, 0)).sigmoid()[:, 0].movedim(0, -1)
    near = (slice(62, 108), slice(32, 68))
    torch.testing.assert_close(found[near], cropped[30:76, 32:68], atol=1e-5, rtol=0)
    empty = torch.ones_like(found, dtype=torch.bool)
    empty[near] = False
    assert (float(found[empty].max()) < 1e-8) is narrowed
    assert can_be_narrowed(model.networks[0]) is not narrowed  # a narrowed one is another class


def test_graphics_card_then_the_decoder_whole(lung_options, tmp_path, monkeypatch):
    network = TransferUNet("resnet18", decoder_channels=(16, 8, 8, 8, 8)).eval()
    write_model(tmp_path / "unet.pt", network, lung_options.bundle / "configs")
    options = replace(lung_options, config_files=(), checkpoints=(str(tmp_path / "unet.pt"),))
    model = Model(options)
    monkeypatch.setattr(model, "device", torch.device("cuda"))
    assert can_be_narrowed(model.networks[0])


def test_flipped_axes_then_those_of_the_world_not_of_the_array():
    turned = torch.tensor([[0, -1.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    image = MetaTensor(torch.zeros(1, 2, 2, 2), affine=turned)
    assert flipped_axes(image, ("x", "y")) == [[], [2], [1], [2, 1]]
    assert flipped_axes(image, ()) == [[]]


def test_second_stage_then_of_the_lesions_of_the_bundle(
    lung_options, liver_options, tmp_path, monkeypatch
):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    write_reducer(tmp_path / "reducer.pt", 0.5)
    write_reducer(tmp_path / "other.pt", 0.5, class_names=["metastasis"])
    own = Model(replace(lung_options, reduce=str(tmp_path / "reducer.pt")))
    assert own.reducer.threshold == 0.5
    assert own.config_sha256 == Model(lung_options).config_sha256
    assert Model(lung_options).reducer is None
    with pytest.raises(ValueError, match="tells a metastasis from other candidates, this bundle"):
        _ = Model(replace(lung_options, reduce=str(tmp_path / "other.pt"))).reducer
    with pytest.raises(ValueError, match="reduce: the config of this bundle has no id `reducer`"):
        Model(replace(liver_options, reduce=str(tmp_path / "reducer.pt")))


def test_missing_weights_then_said_where(lung_options, tmp_path):
    options = replace(lung_options, bundle=tmp_path / "copy", checkpoints=())
    shutil.copytree(lung_options.bundle, options.bundle)
    with pytest.raises(FileNotFoundError, match="no trained network at .*copy/models/model.pt"):
        _ = Model(options).checkpoints


def test_same_weights_twice_then_refused(lung_options):
    options = replace(lung_options, checkpoints=lung_options.checkpoints * 2)
    with pytest.raises(ValueError, match="hold the same weights; name each network once"):
        _ = Model(options).networks


def test_weights_of_the_bundle_itself_then_taken(lung_options, tmp_path):
    bundle = tmp_path / "copy"
    shutil.copytree(lung_options.bundle, bundle)
    (bundle / "models").mkdir()
    shutil.copy(lung_options.checkpoints[0], bundle / "models" / "model.pt")
    model = Model(replace(lung_options, bundle=bundle, checkpoints=()))
    assert [checkpoint.name for checkpoint in model.checkpoints] == ["model.pt"]
    assert len(model.networks) == 1
