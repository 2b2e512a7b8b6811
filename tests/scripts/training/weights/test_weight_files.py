"""Files of weights that handlers read and write."""

import pytest
import torch
from ignite.engine import Engine

from custom_nets.encoders import make_encoder
from custom_nets.freezing import FreezableBatchNorm2d
from custom_nets.unet import TransferUNet
from scripts.training.weights.encoder_weights import EncoderWeights
from scripts.training.weights.kept_statistics import KeptStatistics
from scripts.training.weights.starting_weights import StartingWeights
from scripts.training.weights.trained_weights import TrainedWeights

WIDTHS = (8, 8, 8, 8, 8)


def network(encoder="resnet34"):
    return TransferUNet(encoder, in_channels=1, decoder_channels=WIDTHS)


def run(handler, epochs=1):
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    engine.run([0], max_epochs=epochs)


def test_trained_weights_then_in_the_network_when_the_engine_starts(tmp_path):
    trained, fresh = network(), network()
    torch.save({"model": trained.state_dict(), "stage": "D"}, tmp_path / "model.pt")
    run(TrainedWeights(fresh, tmp_path / "model.pt"))
    for key, value in trained.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[key]), key


def test_trained_weights_when_folded_then_same_logits_and_a_second_start_is_harmless(tmp_path):
    trained, fresh = network().eval(), network()
    torch.save({"model": trained.state_dict()}, tmp_path / "model.pt")
    handler = TrainedWeights(fresh, tmp_path / "model.pt", fold_norms=True)
    run(handler)
    run(handler)
    assert not any(isinstance(module, FreezableBatchNorm2d) for module in fresh.modules())
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(fresh(image), trained(image), atol=1e-4)


def test_trained_weights_when_network_is_not_ours_then_loaded_and_nothing_folded(tmp_path):
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    torch.save({"model": theirs.state_dict()}, tmp_path / "model.pt")
    run(TrainedWeights(theirs, tmp_path / "model.pt", fold_norms=True))
    assert isinstance(theirs[1], torch.nn.BatchNorm2d)


def test_trained_weights_when_missing_then_stops_and_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no trained network at .*model.pt; run training"):
        run(TrainedWeights(network(), tmp_path / "model.pt"))


def test_trained_weights_of_another_network_then_refused_before_anything_is_copied(tmp_path):
    fresh = network()
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    torch.save({"model": network("vgg16").state_dict()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"holds another network than the config describes"):
        run(TrainedWeights(fresh, tmp_path / "model.pt"))
    assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items())


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_text("hello"), "without running code"),
        (lambda path: path.write_bytes(b""), "EOFError"),
        (lambda path: torch.save(torch.nn.Identity(), path), "UnpicklingError"),
        (lambda path: torch.save(torch.ones(2), path), "got a Tensor"),
        (lambda path: torch.save({"epoch": 3}, path), "'epoch' is no tensor"),
    ],
    ids=["text", "empty", "whole module", "one tensor", "no weights"],
)
def test_trained_weights_when_the_file_is_something_else_then_refused(tmp_path, write, reason):
    write(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=rf"ckpt_path: .*model.pt holds no weights .*{reason}"):
        run(TrainedWeights(network(), tmp_path / "model.pt"))


def test_starting_weights_then_training_starts_from_the_whole_network(tmp_path):
    trained, fresh = network(), network()
    torch.save({"model": trained.state_dict()}, tmp_path / "model.pt")
    run(StartingWeights(fresh, tmp_path / "model.pt"))
    for key, value in trained.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[key]), key


def test_starting_weights_when_unusable_then_the_argument_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"start_from: .*no trained network at"):
        run(StartingWeights(network(), tmp_path / "model.pt"))
    torch.save({"model": network("vgg16").state_dict()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"start_from: .*holds another network"):
        run(StartingWeights(network(), tmp_path / "model.pt"))


def test_encoder_weights_then_taken_by_an_encoder_like_a_download(tmp_path):
    pretrained = network()
    run(EncoderWeights(pretrained, tmp_path / "deep" / "encoder.pt"), epochs=2)
    assert torch.load(tmp_path / "deep" / "encoder.pt", weights_only=True)["epoch"] == 2
    taken = make_encoder("resnet34", in_channels=1, weights=str(tmp_path / "deep" / "encoder.pt"))
    for key, value in pretrained.encoder.state_dict().items():
        assert torch.equal(value, taken.state_dict()[key]), key


def test_kept_statistics_then_the_encoder_s_hold_still_once_training_starts():
    trained = network().train()
    run(KeptStatistics(trained))
    before = {key: value.clone() for key, value in trained.encoder.state_dict().items()}
    trained(torch.rand(2, 1, 64, 64))
    assert all(
        torch.equal(value, before[key]) for key, value in trained.encoder.state_dict().items()
    )
