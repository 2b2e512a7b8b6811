import pytest
import torch
import torch.nn.functional as F

from custom_nets.definition import build_network, head_of
from custom_nets.survey.multi_scale_cnn import MultiScaleCNN
from tests.custom_nets.baselines.baseline_contract import BaselineContract
from tests.custom_nets.training import moved_shares, snapshot, train

NORM = ("running_mean", "running_var", "weight", "bias")


class TestMultiScaleCNN(BaselineContract):
    input_shape = (2, 3, 22, 29)
    output_shape = (2, 1, 22, 29)
    wrong_shapes = [(1, 1, 16, 16), (1, 3, 16, 16, 16), (3, 16, 16)]

    def build(self, out_channels=1, **options):
        small = {"widths": (4, 5, 6), "joined": 7}
        return MultiScaleCNN(out_channels=out_channels, **{**small, **options})

    def test_logits_then_those_of_the_layers_written_out(self, network, batch):
        train(network, [torch.rand(2, 3, 16, 16) for _ in range(3)])  # for statistics of their own
        state = network.state_dict()

        def convolved(x, name, padding):
            x = F.conv2d(x, state[f"{name}.0.weight"], padding=padding)
            norm = [state[f"{name}.1.{part}"] for part in NORM]
            return F.relu(F.batch_norm(x, *norm, training=False))

        padded = F.pad(batch, [0, 3, 0, 2], mode="replicate")
        columns = []
        for number, kernel in enumerate((3, 5, 7)):
            x = padded
            for block in (1, 2, 3):
                name = f"block{block}.columns.{number}"
                assert state[f"{name}.0.weight"].shape[-2:] == (kernel, kernel)
                x = convolved(x, name, kernel // 2)
                x = F.max_pool2d(x, 2, 2) if block < 3 else x
            columns.append(x)
        x = convolved(torch.cat(columns, 1), "decoder.0", 0)
        x = F.conv2d(x, state["decoder.1.weight"], state["decoder.1.bias"])
        assert x.shape[-2:] == (6, 8)
        for step in (2, 3):
            bordered = F.pad(x, [1, 1, 1, 1], mode="replicate")
            x = F.conv_transpose2d(bordered, state[f"decoder.{step}.weight"], stride=2, padding=3)
        with torch.no_grad():
            found = network.eval()(batch)
        torch.testing.assert_close(found, x[..., :22, :29], rtol=0, atol=1e-5)

    def test_column_then_sees_only_its_own_maps_until_they_are_joined(self, network, batch):
        found = []
        network.decoder.register_forward_pre_hook(lambda _module, args: found.append(args[0]))
        with torch.no_grad():
            network.eval()(batch)
            network.block1.columns[1][0].weight.neg_()
            network(batch)
        changed = (found[0] != found[1]).flatten(2).any(2).any(0)
        assert changed[6:12].any()
        assert not changed[:6].any()
        assert not changed[12:].any()


def test_parameters_then_the_sum_of_the_layers():
    kernels = sum(k * k for k in (3, 5, 7)) * (3 * 32 + 32 * 48 + 48 * 64)
    norms = 3 * 2 * (32 + 48 + 64)
    merged = 3 * 64 * 256 + 2 * 256 + 256 * 1 + 1
    enlarged = 2 * 4 * 4
    network = MultiScaleCNN()
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == kernels + norms + merged + enlarged == 441249


@pytest.mark.parametrize(
    ("released", "moved"),
    [
        (["decoder"], {"decoder"}),
        (["decoder", "block3"], {"decoder", "block3"}),
        (["conv1"], {"block1"}),
        (["all"], {"block1", "block2", "block3", "decoder"}),
    ],
    ids=["decoder", "decoder and block3", "one layer", "all"],
)
def test_parts_when_released_then_train_alone(released, moved):
    torch.manual_seed(0)
    network = MultiScaleCNN(in_channels=1, widths=(4, 4, 4), joined=8)
    network.set_trainable(released)
    before = snapshot(network)
    train(network, [torch.rand(1, 1, 16, 16) for _ in range(2)])
    shares = moved_shares(network, before)
    assert {block for block, share in shares.items() if share} == moved
    assert all(shares[block] == 1 for block in moved)


def test_definition_then_rebuilds_the_network_and_its_head_is_known():
    network = MultiScaleCNN(in_channels=1, kernels=(3, 9), widths=(2, 3, 4), joined=5)
    again = build_network(network.definition)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in network.state_dict().items()
    }
    assert set(head_of(network)) == {
        *("decoder.1.weight", "decoder.1.bias"),
        *("decoder.2.weight", "decoder.3.weight"),
    }


@pytest.mark.parametrize(
    "change",
    [
        {"kernels": ()},
        {"kernels": (3, 4)},
        {"kernels": (-1,)},
        {"widths": (32, 48)},
        {"widths": (32, 0, 8)},
        {"joined": 0},
        {"in_channels": 0},
        {"out_channels": 0},
    ],
    ids=str,
)
def test_numbers_when_they_make_no_network_then_refused(change):
    with pytest.raises(ValueError, match="kernels must be odd.*at least 1; got"):
        MultiScaleCNN(**change)
