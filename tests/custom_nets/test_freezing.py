from __future__ import annotations

import copy
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from custom_nets.freezing import Freezable, FreezableBatchNorm2d
from custom_nets.unet import TransferUNet
from tests.custom_nets.training import adam, moved_shares, snapshot, train

BLOCKS = ("block1", "block2", "block3", "block4", "block5", "decoder")
scripted = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture
def network(tiny: str) -> TransferUNet:
    torch.manual_seed(0)
    return TransferUNet(tiny, in_channels=1, decoder_channels=(4, 4, 4, 4, 4))


def batches(count: int = 3) -> list[Tensor]:
    return list(torch.rand(count, 2, 1, 64, 64, generator=torch.Generator().manual_seed(1)))


def released(network: TransferUNet, before: dict[str, Tensor]) -> set[str]:
    """Names of the parts that moved as a whole; a part that moved in parts fails the test."""
    shares = moved_shares(network, before)
    assert set(shares.values()) <= {0, 1}, shares
    return {name for name, share in shares.items() if share == 1}


def test_names_are_the_blocks_the_decoder_and_the_numbered_layers(network: TransferUNet) -> None:
    assert network.block_names == BLOCKS
    assert network.layer_names == tuple(f"conv{i}" for i in range(1, 11))
    assert network.trainable == ("all",)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["decoder"], {"decoder"}),
        (["block5", "decoder"], {"block5", "decoder"}),
        (["block1", "decoder"], {"block1", "decoder"}),
        (["block3"], {"block3"}),
        (["encoder"], set(BLOCKS) - {"decoder"}),
        (["all"], set(BLOCKS)),
        (["conv9", "conv10"], {"block5"}),
    ],
    ids=lambda value: "+".join(sorted(value)) if value else "nothing",
)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_moves_what_is_named_and_leaves_the_rest_bit_equal(
    network: TransferUNet, names: list[str], expected: set[str], optimizer: str
) -> None:
    network.set_trainable(names)
    assert network.trainable == tuple(names)
    before = snapshot(network)
    groups = network.parameter_groups()
    chosen = {
        "adam": torch.optim.Adam(groups, lr=1e-3, weight_decay=0.1),
        "sgd": torch.optim.SGD(groups, lr=1e-2, momentum=0.9, weight_decay=0.1),
    }
    train(network, batches(), optimizer=chosen[optimizer])
    assert released(network, before) == expected


def test_one_layer_moves_alone_with_its_norm(network: TransferUNet) -> None:
    network.set_trainable(["conv4"])
    before = snapshot(network)
    train(network, batches())
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert moved == {
        "encoder.blocks.1.3.weight",
        *(f"encoder.blocks.1.4.{name}" for name in norm),
    }


@pytest.mark.parametrize("names", [["all"], ["block4", "block5", "decoder"]])
def test_kept_statistics_hold_still_in_the_encoder_while_its_weights_move(
    network: TransferUNet, names: list[str]
) -> None:
    network.keep_statistics()
    network.set_trainable(names)
    before = snapshot(network)
    train(network, batches())
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    statistics = {k for k in before if k.endswith(("running_mean", "running_var", "tracked"))}
    assert moved & statistics == {k for k in statistics if k.startswith("decoder.")}
    assert {k for k in before if k.startswith("encoder.blocks.4.")} - statistics <= moved


def test_kept_statistics_hold_still_in_norms_converted_for_several_devices(
    network: TransferUNet,
) -> None:
    network.keep_statistics()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network).train()
    assert not any(
        norm.training for norm in converted.encoder.modules() if isinstance(norm, nn.SyncBatchNorm)
    )
    assert converted.decoder.training


def test_norms_of_the_encoder_move_alone_with_their_statistics(network: TransferUNet) -> None:
    network.set_trainable(["norms"])
    before = snapshot(network)
    train(network, batches())
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    norms = {
        f"encoder.{name}.{key}"
        for name, module in network.encoder.named_modules()
        if isinstance(module, FreezableBatchNorm2d)
        for key in module.state_dict()
    }
    assert len(norms) == 50
    assert moved == norms


def test_norms_with_kept_statistics_move_without_them(network: TransferUNet) -> None:
    network.keep_statistics()
    network.set_trainable(["norms", "decoder"])
    before = snapshot(network)
    train(network, batches())
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert {k.rpartition(".")[2] for k in moved if k.startswith("encoder.")} == {"weight", "bias"}


def test_norms_of_a_released_block_move_with_it(network: TransferUNet) -> None:
    network.set_trainable(["norms", "block5"])
    assert network.encoder.blocks[4][0].weight.requires_grad
    assert not network.encoder.blocks[3][0].weight.requires_grad


def test_norms_of_an_encoder_without_are_refused() -> None:
    plain = TransferUNet("vgg16", in_channels=1, decoder_channels=(4, 4, 4, 4, 4))
    assert not plain.has_norms
    with pytest.raises(ValueError, match="'norms' releases the encoder's norm layers, and this"):
        plain.set_trainable(["decoder", "norms"])
    assert plain.trainable == ("all",)


def test_a_frozen_norm_of_a_layer_that_trains_keeps_its_statistics_after_conversion(
    network: TransferUNet,
) -> None:
    network.set_trainable(["decoder"])
    network.encoder.blocks[1][0].weight.requires_grad_(True)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network).train()
    norms = [m for m in converted.encoder.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert len(norms) == 10
    assert not any(norm.training for norm in norms)


def test_layer_groups_hold_the_parameters_of_the_blocks_in_their_order(
    network: TransferUNet,
) -> None:
    groups = network.layer_groups()
    assert [group["name"] for group in groups] == [*network.layer_names, "decoder"]
    for block in network.parameter_groups():
        own = [p for group in groups if group["block"] == block["name"] for p in group["params"]]
        assert [id(p) for p in own] == [id(p) for p in block["params"]]


def test_an_optimiser_with_momentum_and_old_gradients_does_not_move_what_was_frozen_later(
    network: TransferUNet,
) -> None:
    optimizer = adam(network)
    train(network, batches(), optimizer=optimizer)
    network(batches()[0]).mean().backward()
    network.set_trainable(["decoder"])
    before = snapshot(network)
    optimizer.step()
    train(network, batches(), optimizer=optimizer)
    assert released(network, before) == {"decoder"}


def test_releasing_and_freezing_again_and_again_follows_the_last_call(
    network: TransferUNet,
) -> None:
    optimizer = adam(network)
    for names in (["block5", "decoder"], ["all"], ["block1"], [*BLOCKS], ["decoder"], ["encoder"]):
        network.set_trainable(names)
        before = snapshot(network)
        train(network, batches(), optimizer=optimizer)
        expected = {"all": set(BLOCKS), "encoder": set(BLOCKS) - {"decoder"}}
        assert released(network, before) == expected.get(names[0], set(names))


def test_freezing_everything_leaves_a_network_that_only_infers(network: TransferUNet) -> None:
    network.set_trainable([])
    before = snapshot(network)
    assert not network.train()(batches()[0]).requires_grad
    assert released(network, before) == set()


def test_no_graph_is_built_through_a_frozen_prefix(network: TransferUNet) -> None:
    network.train().set_trainable(["block4", "decoder"])
    features = network.encoder(batches()[0])
    assert [feature.grad_fn is None for feature in features] == [True, True, True, False, False]


def test_freezing_keeps_the_mode_and_the_keys(network: TransferUNet) -> None:
    keys = list(network.state_dict())
    network.eval().set_trainable(["decoder"])
    assert not any(module.training for module in network.modules())
    network.train().set_trainable(["all"])
    assert all(module.training for module in network.modules())
    assert list(network.state_dict()) == keys


def test_the_frozen_network_infers_as_in_eval_mode(network: TransferUNet) -> None:
    train(network, batches())
    network.set_trainable([])
    image = batches()[0]
    assert torch.equal(network.train()(image), network.eval()(image))


def test_a_state_dict_round_trip_changes_no_freezing(network: TransferUNet, tiny: str) -> None:
    train(network, batches())
    other = TransferUNet(tiny, in_channels=1, decoder_channels=(4, 4, 4, 4, 4))
    other.set_trainable(["block5", "decoder"])
    other.load_state_dict(network.state_dict())
    before = snapshot(other)
    train(other, batches())
    assert released(other, before) == {"block5", "decoder"}


def test_a_copy_is_frozen_as_its_original_and_on_its_own(network: TransferUNet) -> None:
    network.set_trainable(["decoder"])
    twin = copy.deepcopy(network)
    network.set_trainable(["all"])
    before = snapshot(twin)
    train(twin, batches())
    assert released(twin, before) == {"decoder"}


def test_norms_converted_for_several_devices_stay_still(network: TransferUNet) -> None:
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    converted.set_trainable(["block5"])
    converted.train()
    norms = [m for m in converted.modules() if isinstance(m, nn.SyncBatchNorm)]
    assert [norm.training for norm in norms] == [False] * 8 + [True] * 2 + [False] * 10


def test_freezing_the_encoder_alone_holds_in_the_network(network: TransferUNet) -> None:
    network.encoder.set_trainable(["block5"])
    before = snapshot(network)
    train(network, batches())
    assert released(network, before) == {"block5", "decoder"}
    network.set_trainable(["all"])
    before = snapshot(network)
    train(network, batches())
    assert released(network, before) == set(BLOCKS)


@scripted
def test_an_exported_network_in_training_mode_keeps_frozen_statistics(
    network: TransferUNet,
) -> None:
    network.set_trainable(["block5", "decoder"])
    buffer = BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    buffer.seek(0)
    exported = torch.jit.load(buffer)
    before = {key: tensor.clone() for key, tensor in exported.state_dict().items()}
    exported.train()
    exported(batches()[0]).mean().backward()
    moved = {k for k, v in exported.state_dict().items() if not torch.equal(v, before[k])}
    assert moved
    assert all(key.startswith(("encoder.blocks.4", "decoder")) for key in moved)
    assert all(
        parameter.grad is None
        for name, parameter in exported.named_parameters()
        if not name.startswith(("encoder.blocks.4", "decoder"))
    )


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of one process, over a file: no port is opened."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_stages_under_data_parallel_training_move_only_what_is_released(
    network: TransferUNet,
) -> None:
    parallel = DistributedDataParallel(network, find_unused_parameters=True)
    optimizer = adam(network)
    for names in (["decoder"], ["block5", "decoder"], ["block1", "decoder"]):
        network.set_trainable(names)
        before = snapshot(network)
        train(network, batches(), optimizer=optimizer, through=parallel)
        assert released(network, before) == set(names)


@pytest.mark.parametrize("names", [["block6"], ["decoder", "Block5"], ["conv11"], ["conv0"]])
def test_unknown_names_are_refused_with_the_valid_ones(
    network: TransferUNet, names: list[str]
) -> None:
    network.set_trainable(["block5"])
    message = r"among all, encoder, block1, .*conv1, .*conv10, norms; got \['(?!decoder).*'\]"
    with pytest.raises(ValueError, match=message):
        network.set_trainable(names)
    assert network.trainable == ("block5",)


def test_a_bare_string_is_refused(network: TransferUNet) -> None:
    with pytest.raises(ValueError, match=r"list of names; got 'decoder', write \['decoder'\]"):
        network.set_trainable("decoder")


def test_groups_hold_every_parameter_once_in_a_fixed_order(network: TransferUNet) -> None:
    expected = {id(parameter) for parameter in network.parameters()}
    for names in (["all"], ["decoder"], []):
        network.set_trainable(names)
        groups = network.parameter_groups()
        assert [group["name"] for group in groups] == list(BLOCKS)
        found = [id(parameter) for group in groups for parameter in group["params"]]
        assert len(found) == len(set(found))
        assert set(found) == expected


def test_a_parameter_that_no_part_holds_is_refused() -> None:
    class Incomplete(Freezable):
        def __init__(self, paths: list[str]) -> None:
            super().__init__()
            self.kernel, self.other = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
            self.name_parts({"block1": {"conv1": paths}})

    with pytest.raises(ValueError, match=r"\['other.weight', 'other.bias'\] are in no part"):
        Incomplete(["kernel"])
    with pytest.raises(ValueError, match="and 2 are in two"):
        Incomplete(["kernel", "kernel", "other"])


def test_many_parameters_that_no_part_holds_then_five_are_named() -> None:
    class Bare(Freezable):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Conv2d(1, 1, 1, bias=False) for _ in range(9))
            self.name_parts({"block1": {"conv1": ["layers.0"]}})

    with pytest.raises(ValueError, match=r"but \['layers\.1\.[^]]*layers\.5\.weight'\] are in"):
        Bare()


def test_the_norm_equals_torch_s_while_it_is_free() -> None:
    ours, theirs = FreezableBatchNorm2d(3, eps=1e-3, momentum=0.3), nn.BatchNorm2d(3, 1e-3, 0.3)
    for mode in (True, False):
        image = torch.rand(2, 3, 4, 4)
        assert torch.equal(ours.train(mode)(image), theirs.train(mode)(image))
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], tensor)


def test_batch_norm_with_a_momentum_of_zero_then_its_statistics_stay():
    norm = FreezableBatchNorm2d(2, momentum=0.0).train()
    norm(torch.full((3, 2, 4, 4), 5.0) + torch.arange(4.0))
    assert norm.running_mean.tolist() == [0, 0]
    assert norm.running_var.tolist() == [1, 1]
