"""Tests that every encoder inherits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from custom_nets.encoders.encoder import BLOCK_NAMES, Encoder, OneLayer
from custom_nets.encoders.weights import load_encoder_weights
from tests.custom_nets.encoders import reference
from tests.custom_nets.training import moved_shares, snapshot, train
from tests.custom_nets.undrawn import undrawn_weights

scripted = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def check_figures(feature: Tensor, expected: dict[str, Any]) -> None:
    """Compare a map with its figures."""
    assert list(feature.shape) == expected["shape"]
    values = torch.tensor(expected["values"])
    found = reference.sample(feature, len(values))
    torch.testing.assert_close(found, values, rtol=1e-4, atol=2e-6 + 1e-6 * expected["std"])
    double = feature.double()
    assert double.mean().item() == pytest.approx(expected["mean"], rel=1e-4)
    assert double.std().item() == pytest.approx(expected["std"], rel=1e-4)


def check_layers(encoder: Encoder, count: int) -> None:
    """Compare the layers with the convolutions, and units that are one layer, that run."""
    ran: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in encoder.modules():
        if isinstance(module, OneLayer):
            inside |= set(module.modules()) - {module}
        if isinstance(module, OneLayer | nn.Conv2d) and module not in inside:
            module.register_forward_hook(lambda m, _args, _out: ran.append(m))
    encoder.to("meta")(torch.rand(1, 3, 32, 32, device="meta"))  # no map's values are asked for
    listed = [
        encoder.get_submodule(paths[0])
        for block in encoder.parts.values()
        for paths in block.values()
    ]
    assert listed == ran
    assert encoder.layer_names == tuple(f"conv{i}" for i in range(1, count + 1))


class ReferenceContract:
    """The tests that tell one depth of a family from another.

    Set ``encoder_type`` and ``layers``; ``parity`` are the options of the published network.
    """

    encoder_type: type[Encoder]
    layers: int
    parity: dict[str, Any] = {}

    @pytest.fixture
    def encoder(self) -> Encoder:
        torch.manual_seed(0)
        return self.encoder_type(3).eval()

    @pytest.fixture
    def undrawn(self) -> Encoder:
        with undrawn_weights():
            return self.encoder_type(3).eval()

    def test_keys_and_shapes_are_those_of_the_published_file(self, undrawn: Encoder) -> None:
        found = {key: list(tensor.shape) for key, tensor in undrawn.state_dict().items()}
        expected = reference.figures(undrawn.name)["keys"]
        if isinstance(expected, str):
            assert reference.fingerprint(found) == expected
            return
        assert found == expected
        assert list(found) == list(expected)

    def test_filled_features_are_those_of_the_reference(self) -> None:
        encoder = reference.filled(lambda: self.encoder_type(3, **self.parity))
        figures = reference.figures(encoder.name)
        with torch.no_grad():
            maps = encoder(reference.image(figures.get("input_size", 64)))
        for name, feature in zip(BLOCK_NAMES, maps, strict=True):
            check_figures(feature, figures["blocks"][name])

    def test_layers_are_the_convolutions_in_the_order_they_run(self, undrawn: Encoder) -> None:
        check_layers(undrawn, self.layers)


class EncoderContract(ReferenceContract):
    """All tests; set what `ReferenceContract` asks for."""

    @pytest.fixture
    def grey(self) -> Encoder:
        torch.manual_seed(0)
        return self.encoder_type(1)

    @pytest.mark.parametrize("in_channels", [1, 3])
    def test_maps_of_any_multiple_of_32_have_the_stated_channels_and_strides(
        self, in_channels: int
    ) -> None:
        with undrawn_weights():
            encoder = self.encoder_type(in_channels).eval().to("meta")
        maps = encoder(torch.rand(1, in_channels, 64, 96, device="meta"))
        expected = [
            (1, channels, 64 // stride, 96 // stride)
            for channels, stride in zip(encoder.block_channels, encoder.block_strides, strict=True)
        ]
        assert [tuple(feature.shape) for feature in maps] == expected

    def test_odd_sizes_are_taken(self, encoder: Encoder) -> None:
        with torch.no_grad():
            maps = encoder(torch.rand(1, 3, 75, 77))
        assert [feature.shape[1] for feature in maps] == list(encoder.block_channels)
        assert all(feature.isfinite().all() for feature in maps)

    @pytest.mark.parametrize("in_channels", [0, 2, 4])
    def test_channels_without_a_published_kernel_are_refused(self, in_channels: int) -> None:
        with pytest.raises(ValueError, match=f"in_channels must be 1 .* got {in_channels}"):
            self.encoder_type(in_channels)

    def test_a_block_acts_on_its_own_map_and_those_after_it(self, encoder: Encoder) -> None:
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            before = encoder(image)
            for index in reversed(range(5)):
                for parameter in encoder.parameter_groups()[index]["params"]:
                    parameter.mul_(1.1)
                after = encoder(image)
                same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
                assert same == [i < index for i in range(5)]
                before = after

    def test_frozen_blocks_are_bit_equal_after_training_and_released_ones_move(
        self, grey: Encoder
    ) -> None:
        grey.set_trainable(["block4", "block5"])
        before = snapshot(grey)
        train(grey, [torch.rand(2, 1, 64, 64) for _ in range(2)])
        shares = moved_shares(grey, before)
        assert shares == {"block1": 0, "block2": 0, "block3": 0, "block4": 1, "block5": 1}

    def test_a_frozen_prefix_builds_no_graph_and_gives_the_maps_of_evaluation_mode(
        self, grey: Encoder
    ) -> None:
        grey.train().set_trainable(["block5"])
        image = torch.rand(2, 1, 64, 64)
        maps = grey(image)
        assert [feature.grad_fn is None for feature in maps] == [True] * 4 + [False]
        with torch.no_grad():
            expected = grey.eval()(image)
        assert all(torch.equal(a, b) for a, b in zip(maps[:4], expected[:4], strict=True))

    @scripted
    def test_the_exported_network_equals_the_eager_one(self, encoder: Encoder) -> None:
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            exported = torch.jit.script(encoder)
            for eager, other in zip(encoder(image), exported(image), strict=True):
                assert torch.equal(eager, other)

    @pytest.mark.parametrize("in_channels", [1, 3])
    def test_a_published_file_fills_every_tensor(self, in_channels: int, tmp_path: Path) -> None:
        source = reference.filled(lambda: self.encoder_type(3))
        path = tmp_path / "published.pth"
        published = {self.published_key(k): v for k, v in source.state_dict().items()}
        counters = [key for key in published if key.endswith("num_batches_tracked")]
        tensors = {key: v for key, v in published.items() if key not in counters}
        torch.save({**tensors, "fc.weight": torch.zeros(2)}, path)
        with undrawn_weights():
            target = self.encoder_type(in_channels)
        report = load_encoder_weights(target, str(path))
        assert (report.taken, report.skipped) == (len(tensors), ("fc.weight",))
        image = torch.rand(1, 1, 64, 64)
        with torch.no_grad():
            expected = source(image.repeat(1, 3, 1, 1))[-1]
            found = target.eval()(image.repeat(1, in_channels, 1, 1))[-1]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)

    def published_key(self, key: str) -> str:
        return key
