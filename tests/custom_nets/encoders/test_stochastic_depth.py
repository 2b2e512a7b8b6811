import pytest
import torch

from custom_nets.encoders.stochastic_depth import StochasticDepth


def test_training_then_whole_images_are_left_out_and_the_rest_scaled():
    torch.manual_seed(0)
    branch = torch.rand(4000, 3, 2, 2) + 1
    kept = StochasticDepth(0.2).train()(branch)
    zero = (kept == 0).flatten(1)
    assert torch.equal(zero.all(dim=1), zero.any(dim=1))
    left_out = zero.all(dim=1)
    assert left_out.float().mean().item() == pytest.approx(0.2, abs=0.03)
    torch.testing.assert_close(kept[~left_out], branch[~left_out] / 0.8)


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_evaluation_or_no_rate_then_nothing_is_drawn_or_changed(rate, training):
    state = torch.get_rng_state()
    branch = torch.rand(3, 1, 2, 2)
    assert StochasticDepth(rate).train(training)(branch) is branch
    torch.set_rng_state(state)
    assert torch.equal(torch.rand(3, 1, 2, 2), branch)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rate_out_of_range_then_refused(rate):
    with pytest.raises(ValueError, match="rate must be at least 0 and below 1"):
        StochasticDepth(rate)
