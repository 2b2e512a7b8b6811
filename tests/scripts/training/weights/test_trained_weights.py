import pytest
import torch
from monai.engines import SupervisedEvaluator

from custom_nets.freezing import FreezableBatchNorm2d
from scripts.training.inferers import AutocastInferer, SlicewiseInferer
from scripts.training.weights.trained_weights import TrainedWeights
from tests.scripts.training.weights.model_files import SETTINGS, assert_equal, network, run, write


def test_weights_then_in_the_network_when_the_engine_starts(tmp_path):
    trained, fresh = network(), network()
    run(TrainedWeights(fresh, write(tmp_path / "model.pt", trained), settings=SETTINGS))
    assert_equal(trained, fresh)


def test_weights_when_folded_then_same_logits_and_a_second_start_is_harmless(tmp_path):
    trained, fresh = network().eval(), network()
    handler = TrainedWeights(fresh, write(tmp_path / "model.pt", trained), fold_norms=True)
    run(handler)
    run(handler)
    assert not any(isinstance(module, FreezableBatchNorm2d) for module in fresh.modules())
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(fresh(image), trained(image), atol=1e-4)


def test_network_that_is_not_ours_then_loaded_and_nothing_folded(tmp_path):
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    run(TrainedWeights(theirs, write(tmp_path / "model.pt", theirs), fold_norms=True))
    assert isinstance(theirs[1], torch.nn.BatchNorm2d)


def test_file_when_missing_then_stops_and_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no trained network at .*model.pt; run training"):
        run(TrainedWeights(network(), tmp_path / "model.pt"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"norm": "group"}, "network_def::norm: the file has 'group', the config has 'instance'"),
        ({"encoder": "resnet34"}, "network_def::encoder: the file has 'resnet34', the config has"),
    ],
    ids=["norm", "encoder"],
)
def test_other_network_then_refused_by_name_before_anything_is_copied(tmp_path, options, named):
    fresh = network(norm="instance")
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    write(tmp_path / "model.pt", network(**{"norm": "instance", **options}))
    with pytest.raises(ValueError, match=named):
        run(TrainedWeights(fresh, tmp_path / "model.pt"))
    assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items())


def test_other_window_then_refused_by_name(tmp_path):
    trained = network()
    write(tmp_path / "model.pt", trained)
    asked = {**SETTINGS, "window_hu": [-500, 100]}
    with pytest.raises(ValueError, match=r"window_hu: the file has \[-1000, 400\], the config has"):
        run(TrainedWeights(trained, tmp_path / "model.pt", settings=asked))


def test_file_that_says_nothing_then_refused_unless_accepted_with_a_warning(tmp_path, caplog):
    trained, fresh = network(), network()
    torch.save({"model": trained.state_dict()}, tmp_path / "model.pt")
    options = {"settings": SETTINGS}
    with pytest.raises(ValueError, match="does not say how it was trained, .*unchecked_model true"):
        run(TrainedWeights(fresh, tmp_path / "model.pt", **options))
    run(TrainedWeights(fresh, tmp_path / "model.pt", **options, unchecked_model="true"))
    assert "not checked: network_def, input_kind, window_hu, threshold" in caplog.text
    assert_equal(trained, fresh)


def test_unchecked_file_of_another_network_then_refused_by_its_tensors(tmp_path):
    torch.save(network("resnet34").state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"holds another network than the config describes"):
        run(TrainedWeights(network(), tmp_path / "model.pt", unchecked_model=True))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("hello"), "without running code"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (
            lambda path: torch.save(torch.nn.Identity(), path),
            "type torch.nn.modules.linear.Ident",
        ),
        (lambda path: torch.save(torch.ones(2), path), "got a Tensor"),
        (lambda path: torch.save({"epoch": 3}, path), "it holds no tensors"),
    ],
    ids=["text", "empty", "whole module", "one tensor", "no weights"],
)
def test_file_that_is_something_else_then_refused(tmp_path, make, reason):
    make(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=rf"ckpt_path: .*model.pt holds no weights .*{reason}"):
        run(TrainedWeights(network(), tmp_path / "model.pt"))


def test_weights_of_another_network_then_the_tensors_of_both_sides_counted(tmp_path):
    trained = network()
    content = torch.load(write(tmp_path / "model.pt", trained), weights_only=True)
    names = list(content["model"])
    del content["model"][names[0]]
    content["model"][names[1]] = torch.zeros(7)
    content["model"] |= {"a": torch.zeros(1), "b": torch.zeros(1), "c": torch.zeros(1)}
    torch.save(content, tmp_path / "model.pt")
    counts = (
        f"of the {len(names)} tensors of the network 1 are missing and 1 have another shape, "
        "the file has 3 that the network has not, first"
    )
    with pytest.raises(ValueError, match=counts):
        run(TrainedWeights(network(), tmp_path / "model.pt", settings=SETTINGS))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "net.model."])
def test_weights_written_under_a_wrapper_then_loaded_and_the_prefix_said(tmp_path, prefix, caplog):
    trained, fresh = network(), network()
    content = torch.load(write(tmp_path / "model.pt", trained), weights_only=True)
    content["model"] = {f"{prefix}{key}": t for key, t in content["model"].items()}
    torch.save(content, tmp_path / "model.pt")
    with caplog.at_level("INFO"):
        handler = TrainedWeights(fresh, tmp_path / "model.pt", settings=SETTINGS)
        run(handler)
    assert_equal(trained, fresh)
    assert f"without the prefix {prefix}" in caplog.text
    assert handler.notes == [f"model.pt: its tensors were loaded without the prefix {prefix}"]


def test_checkpoint_of_another_tool_then_its_weights_are_found(tmp_path, caplog):
    trained, fresh = network(), network()
    state = {f"module.{key}": tensor for key, tensor in trained.state_dict().items()}
    torch.save({"state_dict": state, "optimizer": {"m": torch.ones(1)}}, tmp_path / "theirs.pt")
    run(TrainedWeights(fresh, tmp_path / "theirs.pt", unchecked_model=True))
    assert_equal(trained, fresh)


@pytest.mark.parametrize("nested", [False, True])
def test_bare_weights_of_a_network_with_another_norm_then_refused(tmp_path, nested):
    state = network(norm="group").state_dict()
    torch.save({"state_dict": state} if nested else state, tmp_path / "bare.pt")
    handler = TrainedWeights(
        network(norm="instance"), tmp_path / "bare.pt", settings=SETTINGS, unchecked_model=True
    )
    with pytest.raises(ValueError, match=r"bare.pt.*another network: .*norm"):
        run(handler)


def test_weights_that_are_not_numbers_then_refused_by_the_tensors_name(tmp_path):
    trained = network()
    name = next(iter(trained.state_dict()))
    trained.state_dict()[name][0] = float("nan")
    with pytest.raises(ValueError, match=rf"ckpt_path: .*not finite in 1 of .*: {name}"):
        run(TrainedWeights(network(), write(tmp_path / "model.pt", trained)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_evaluator_whose_logits_are_not_finite_then_stops(tmp_path, dtype):
    trained = network(out_channels=2)
    handler = TrainedWeights(trained, write(tmp_path / "model.pt", trained), settings=SETTINGS)
    huge = torch.full((1, 1, 32, 32), float("inf"))
    engine = SupervisedEvaluator(
        device="cpu",
        val_data_loader=[{"image": huge, "label": huge}],
        network=trained,
        inferer=AutocastInferer(SlicewiseInferer(), dtype=dtype),
        val_handlers=[handler],
    )
    with pytest.raises(ValueError, match="logits: .* values are not finite"):
        engine.run()
