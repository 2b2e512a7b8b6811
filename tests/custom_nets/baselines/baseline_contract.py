"""What every network of another paper promises, whatever it looks at."""

from __future__ import annotations

from io import BytesIO
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn


class BaselineContract:
    """Inherit, name the shapes, and build the network."""

    input_shape: ClassVar[tuple[int, ...]]
    output_shape: ClassVar[tuple[int, ...]]
    wrong_shapes: ClassVar[list[tuple[int, ...]]]

    def build(self, out_channels: int = 1) -> nn.Module:
        raise NotImplementedError

    @pytest.fixture
    def network(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build()

    @pytest.fixture
    def batch(self) -> Tensor:
        return torch.rand(self.input_shape, generator=torch.Generator().manual_seed(1))

    @pytest.mark.parametrize("out_channels", [1, 3])
    def test_forward_then_gives_a_logit_for_every_class(
        self, batch: Tensor, out_channels: int
    ) -> None:
        found = self.build(out_channels).eval()(batch)
        assert tuple(found.shape) == (self.output_shape[0], out_channels, *self.output_shape[2:])
        assert torch.isfinite(found).all()

    def test_gradient_then_reaches_every_parameter(self, network: nn.Module, batch: Tensor) -> None:
        network.train()(batch).square().sum().backward()
        without = [k for k, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []

    def test_step_down_the_gradient_then_a_lower_loss(
        self, network: nn.Module, batch: Tensor
    ) -> None:
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
        network.eval()  # the batch's own statistics would move the loss too
        losses = []
        for _ in range(3):
            loss = nn.functional.softplus(network(batch)).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.1)
            optimizer.step()
            losses.append(loss.item())
        assert losses[2] < losses[0]

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_script_when_saved_and_loaded_then_same_result(
        self, network: nn.Module, batch: Tensor
    ) -> None:
        network.eval()
        buffer = BytesIO()
        torch.jit.save(torch.jit.script(network), buffer)
        buffer.seek(0)
        with torch.no_grad():
            torch.testing.assert_close(torch.jit.load(buffer)(batch), network(batch))

    def test_other_shapes_then_refused_with_what_came(self, network: nn.Module) -> None:
        for shape in self.wrong_shapes:
            with pytest.raises(ValueError, match=r"input must be .*got \[" + f"{shape[0]}, "):
                network(torch.zeros(shape))

    def test_weights_when_saved_then_give_the_same_network(
        self, network: nn.Module, batch: Tensor
    ) -> None:
        other = self.build()
        other.load_state_dict(network.state_dict())
        with torch.no_grad():
            assert torch.equal(other.eval()(batch), network.eval()(batch))
