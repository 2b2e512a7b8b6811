import pytest
import torch
from ignite.engine import Engine

from custom_nets.encoders import make_encoder
from custom_nets.fcn import TransferFCN
from scripts.training.weights.starting_weights import (
    CoarserWeights,
    EncoderWeights,
    StartingWeights,
)
from tests.scripts.training.weights.model_files import SETTINGS, assert_equal, network, run, write


def test_whole_network_then_where_training_starts(tmp_path):
    trained, fresh = network(), network()
    run(StartingWeights(fresh, write(tmp_path / "model.pt", trained), settings=SETTINGS))
    assert_equal(trained, fresh)


def test_mean_of_other_training_images_then_taken_with_the_weights(tmp_path):
    trained, fresh = network(normalise=0.25), network(normalise=0.5)
    run(StartingWeights(fresh, write(tmp_path / "model.pt", trained), settings=SETTINGS))
    assert fresh.normalise.mean.item() == 0.25
    assert fresh.definition["normalise"] == 0.25


def test_file_when_unusable_then_the_option_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"start_from: no trained network at"):
        run(StartingWeights(network(), tmp_path / "model.pt"))
    write(tmp_path / "model.pt", network(norm="group"))
    with pytest.raises(ValueError, match=r"start_from: .*network_def::norm: the file has 'group'"):
        run(StartingWeights(network(), tmp_path / "model.pt"))


def test_other_window_then_refused(tmp_path):
    write(tmp_path / "model.pt", network())
    asked = {**SETTINGS, "window_hu": [-150, 250]}
    with pytest.raises(ValueError, match=r"start_from: .*window_hu: the file has"):
        run(StartingWeights(network(), tmp_path / "model.pt", settings=asked))


@pytest.mark.parametrize(
    "strides", [(32, 16), (16, 8), (8, 4), (32, 4)], ids="{0[0]}s to {0[1]}s".format
)
def test_finer_network_then_starts_as_the_coarser_function(tmp_path, strides):
    coarser, finer = (TransferFCN("tiny", stride=stride).eval() for stride in strides)
    for step in coarser.decoder.steps:
        if step.score is not None:  # as trained: at zero, leaving it out would go unnoticed
            torch.nn.init.normal_(step.score.weight)
    write(tmp_path / "model.pt", coarser)
    image = torch.rand(1, 3, 64, 64)
    assert not torch.equal(finer(image), coarser(image))
    run(CoarserWeights(finer, tmp_path / "model.pt"))
    torch.testing.assert_close(finer(image), coarser(image))


@pytest.mark.parametrize("strides", [(8, 8), (4, 8)], ids="{0[0]}s to {0[1]}s".format)
def test_network_that_is_no_coarser_then_refused(tmp_path, strides):
    other, finer = (TransferFCN("tiny", stride=stride) for stride in strides)
    write(tmp_path / "model.pt", other)
    with pytest.raises(ValueError, match="coarser_weights: .*coarser than FCN-8s"):
        CoarserWeights(finer, tmp_path / "model.pt")(Engine(lambda *_: None))


def test_coarser_network_of_another_kind_then_refused(tmp_path):
    with pytest.raises(ValueError, match="only an FCN can start from a coarser one"):
        CoarserWeights(network(), tmp_path / "model.pt")


def test_encoder_then_taken_by_an_encoder_like_a_download(tmp_path):
    pretrained = network("resnet34")
    run(EncoderWeights(pretrained, tmp_path / "deep" / "encoder.pt"), epochs=2)
    assert torch.load(tmp_path / "deep" / "encoder.pt", weights_only=True)["epoch"] == 2
    taken = make_encoder("resnet34", in_channels=1, weights=str(tmp_path / "deep" / "encoder.pt"))
    assert_equal(pretrained.encoder, taken)
