import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer

from custom_nets.encoders import make_encoder
from custom_nets.fcn import TransferFCN
from scripts.bundle.model_file import settings_of
from scripts.bundle.record import sha256_of
from scripts.training.engine_events import kept
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


def test_file_then_its_content_is_compared_when_the_run_is_resumed(tmp_path):
    hashes = []
    for trained in (network(), network()):
        engine = Engine(lambda engine, batch: None)
        path = write(tmp_path / "model.pt", trained)
        StartingWeights(network(), path, settings=SETTINGS).attach(engine)
        engine.run([0])
        hashes.append(kept(engine).settings["start_from"])
    assert hashes[0] != hashes[1] == sha256_of(path)


def test_mean_of_other_training_images_then_taken_with_the_weights(tmp_path):
    trained, fresh = network(normalise=0.25), network(normalise=0.5)
    run(StartingWeights(fresh, write(tmp_path / "model.pt", trained), settings=SETTINGS))
    assert fresh.normalise.mean.item() == 0.25
    assert fresh.definition["normalise"] == 0.25


def test_file_when_unusable_then_the_option_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"start_from: no trained network at .*; give the"):
        run(StartingWeights(network(), tmp_path / "model.pt"))
    write(tmp_path / "model.pt", network(norm="group"))
    with pytest.raises(ValueError, match=r"start_from: .*network_def::norm: the file has 'group'"):
        run(StartingWeights(network(), tmp_path / "model.pt"))


def test_network_from_before_norms_on_skips_then_starts_if_its_encoder_has_norms(tmp_path):
    trained, fresh = network(), network(skip_norm="auto")
    run(StartingWeights(fresh, write(tmp_path / "model.pt", trained), settings=SETTINGS))
    assert_equal(trained, fresh)
    with torch.device("meta"):
        older, asked = network("vgg11"), network("vgg11", skip_norm="auto")
    settings = settings_of(older, SETTINGS)
    torch.save({"model": {"a": torch.ones(1)}, "settings": settings}, tmp_path / "vgg.pt")
    with pytest.raises(ValueError, match=r"without norms on the skips, pass --skip_norm none"):
        run(StartingWeights(asked, tmp_path / "vgg.pt", settings=SETTINGS))


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


def test_one_class_more_then_all_but_the_head_on_request_only(tmp_path, caplog):
    trained, wider = network(out_channels=3), network(out_channels=4)
    names = {**SETTINGS, "class_names": ["background", "liver", "bone"]}
    asked = {**SETTINGS, "class_names": ["background", "liver", "bone", "tumour"]}
    path = write(tmp_path / "model.pt", trained, names)
    with pytest.raises(ValueError, match=r"out_channels: the file has 3.*pass --fresh_head true"):
        run(StartingWeights(wider, path, settings=asked))
    before = {key: tensor.clone() for key, tensor in wider.state_dict().items()}
    with caplog.at_level("INFO"):
        run(StartingWeights(wider, path, settings=asked, fresh_head="true"))
    head = {name for name, tensor in trained.state_dict().items() if tensor.shape[:1] == (3,)}
    said = ", ".join(sorted(head, reverse=True))
    assert f"fresh_head: with their random values stay {said}" in caplog.text
    for key, tensor in wider.state_dict().items():
        assert torch.equal(tensor, before[key] if key in head else trained.state_dict()[key]), key


def test_other_classes_of_the_same_number_then_their_head_is_fresh_too(tmp_path):
    trained, other = network(out_channels=2), network(out_channels=2)
    path = write(tmp_path / "model.pt", trained, {**SETTINGS, "class_names": ["a", "b"]})
    run(
        StartingWeights(
            other, path, settings={**SETTINGS, "class_names": ["a", "c"]}, fresh_head=True
        )
    )
    same = [
        torch.equal(tensor, other.state_dict()[key]) for key, tensor in trained.state_dict().items()
    ]
    assert same.count(False) == 1  # the bias of both begins at zero


def test_fresh_head_then_other_differences_are_refused_as_ever(tmp_path):
    write(tmp_path / "model.pt", network(norm="group"))
    with pytest.raises(ValueError, match="norm: the file has 'group'"):
        run(StartingWeights(network(out_channels=2), tmp_path / "model.pt", fresh_head=True))


ORGANS = {**SETTINGS, "window_hu": [-150, 250], "class_names": ["background", "liver", "bone"]}
NODULES = {**SETTINGS, "lung_masking": True, "class_names": ["background", "nodule"]}


def test_network_of_another_domain_then_all_but_its_head_on_request_only(tmp_path, caplog):
    trained, other = network(out_channels=3), network(out_channels=1)
    path = write(tmp_path / "organs.pt", trained, ORGANS)
    with pytest.raises(ValueError, match=r"window_hu: the file has \[-150, 250\].*--other_domain"):
        run(StartingWeights(other, path, settings=NODULES, fresh_head=True))
    before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    with caplog.at_level("INFO"):
        run(StartingWeights(other, path, settings=NODULES, other_domain="true"))
    head = {"decoder.head.weight", "decoder.head.bias"}
    for key, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[key] if key in head else trained.state_dict()[key]), key
    assert "their random values stay decoder.head.weight, decoder.head.bias" in caplog.text
    assert "other_domain: window_hu: [-150, 250] there, [-1000, 400] here" in caplog.text
    assert "lung_masking: None there, True here" in caplog.text


@pytest.mark.parametrize(("there", "here"), [(0.25, None), (None, 0.25), ("half", 0.5)])
def test_network_of_another_domain_then_its_input_is_normalised_as_there(tmp_path, there, here):
    trained, other = network(normalise=there, out_channels=3), network(normalise=here)
    path = write(tmp_path / "organs.pt", trained, ORGANS)
    run(StartingWeights(other, path, settings=NODULES, other_domain=True))
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(other.normalise(image), trained.normalise(image))
    assert other.definition["normalise"] == there
    again = network(normalise=here)
    run(StartingWeights(again, path, settings=NODULES, other_domain=True))
    again.load_state_dict(other.state_dict())  # as a resumed run does


def test_network_of_another_domain_with_another_encoder_then_refused_with_both(tmp_path):
    path = write(tmp_path / "organs.pt", network("resnet34", out_channels=3), ORGANS)
    told = "encoder: the file has 'resnet34', the config has 'tiny'"
    with pytest.raises(ValueError, match=told):
        run(StartingWeights(network(), path, settings=NODULES, other_domain=True))


def test_other_kind_of_normalisation_then_refused_as_it_is_not_among_the_weights(tmp_path):
    write(tmp_path / "model.pt", network(normalise="half"))
    with pytest.raises(ValueError, match="normalise: the file has 'half', the config has 'none'"):
        run(StartingWeights(network(normalise="none"), tmp_path / "model.pt"))


def test_encoder_that_diverged_then_its_file_is_not_written(tmp_path):
    pretrained = network("resnet34")
    pretrained.encoder.conv1.weight.data[0] = float("nan")
    with pytest.raises(ValueError, match="epoch 1: the encoder holds .*not fin.*: conv1.weight"):
        run(EncoderWeights(pretrained, tmp_path / "encoder.pt"))
    assert not (tmp_path / "encoder.pt").exists()


def test_pretraining_whose_loss_is_not_finite_then_stops_at_the_batch(tmp_path):
    pretrained = network()
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[{"image": torch.rand(2, 1, 64, 64), "label": torch.zeros(1)}] * 2,
        network=pretrained,
        optimizer=torch.optim.SGD(pretrained.parameters(), 0.1),
        loss_function=lambda logits, label: logits.mean() * float("nan"),
        train_handlers=[EncoderWeights(pretrained, tmp_path / "encoder.pt")],
    )
    with pytest.raises(ValueError, match=r"loss: is nan in epoch 1, iteration 1 \(batch 1 of 2\)"):
        trainer.run()
