"""Training with kept maps of frozen blocks gives what training without gives."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from custom_nets.prefix_cache import PrefixCache, frozen_blocks
from custom_nets.unet import TransferUNet

SLIM = (16, 16, 8, 8, 8)
STAGES = (
    ["block5", "decoder"],
    ["block4", "block5", "decoder"],
    ["all"],
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def network(encoder: str = "vgg16") -> TransferUNet:
    made = TransferUNet(encoder, in_channels=1, decoder_channels=SLIM, norm="group")
    made.set_trainable(STAGES[0])
    return made.train()


@contextmanager
def counted(made: TransferUNet) -> Iterator[list[int]]:
    """Count the images that pass the first convolution."""
    first = made.encoder.get_submodule(made.encoder.parts["block1"]["conv1"][0])
    passed: list[int] = []
    hook = first.register_forward_hook(lambda module, inputs, out: passed.append(len(out)))
    yield passed
    hook.remove()


def train(made: TransferUNet, call: object, images: Tensor) -> list[float]:
    """Three stages of two epochs, batches of two."""
    torch.manual_seed(0)  # stochastic depth draws in what trains only
    losses = []
    for stage in STAGES:
        made.set_trainable(stage)
        optimizer = torch.optim.SGD([p for p in made.parameters() if p.requires_grad], lr=1e-3)
        for _ in range(2):
            for batch in images.split(2):
                optimizer.zero_grad()
                loss = (call(made, batch) - batch).square().mean()  # type: ignore[operator]
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(
    ("encoder", "height"),  # 40 is padded to 64
    [
        *(("vgg16", 32), ("resnet34", 40), ("inception_v3", 32), ("densenet121", 32)),
        *(("efficientnet_b0", 32), ("convnext_tiny", 32)),
    ],
)
def test_trained_through_the_cache_then_the_same_network(encoder: str, height: int) -> None:
    plain, images = network(encoder), torch.rand(4, 1, height, 64)
    cached, cache = deepcopy(plain), PrefixCache(100)
    wanted = train(plain, lambda made, batch: made(batch), images)
    assert train(cached, cache, images) == pytest.approx(wanted, rel=1e-4)
    for key, value in plain.state_dict().items():
        got = cached.state_dict()[key]
        assert torch.allclose(got.float(), value.float(), rtol=1e-3, atol=1e-4), key
    assert cache.hits == 3 * 4  # all but the first epoch of the two stages with frozen blocks
    assert cache.misses == 4


@pytest.mark.parametrize("encoder", ["vgg16", "resnet34", "inception_v3", "densenet121"])
def test_encoder_then_goes_on_from_any_block_as_if_from_the_image(encoder: str) -> None:
    made, image = network(encoder).encoder.eval(), torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        wanted = made(image)
        for known in range(5):
            maps = made.continue_from([image, *wanted[:known]])
            assert all(torch.equal(a, b) for a, b in zip(maps, wanted, strict=True))


def test_images_that_came_before_then_do_not_pass_the_frozen_blocks() -> None:
    made, cache, images = network(), PrefixCache(100), torch.rand(3, 1, 32, 32)
    with counted(made) as passed:
        for batch in (images[:2], images[1:], images.flip(0)):
            cache(made, batch)
    assert passed == [2, 1]  # the third was new in the second batch


def test_image_twice_in_a_batch_then_kept_once() -> None:
    made, cache, image = network(), PrefixCache(100), torch.rand(1, 1, 32, 32)
    cache(made, image)
    held = cache.held_megabytes
    twice, other = PrefixCache(100), image.expand(2, -1, -1, -1)
    with torch.no_grad():
        assert torch.allclose(twice(made, other), made(other), atol=1e-6)
    assert twice.held_megabytes == held


def test_image_that_differs_in_one_voxel_then_computed_anew() -> None:
    made, cache, image = network(), PrefixCache(100), torch.rand(1, 1, 32, 32)
    cache(made, image)
    other = image.clone()
    other[0, 0, 5, 5] += 1e-3
    with counted(made) as passed, torch.no_grad():
        assert torch.allclose(cache(made, other), made(other), atol=1e-6)
    assert passed == [1, 1]  # through the cache, and without it


def test_frozen_weights_that_change_then_maps_are_forgotten() -> None:
    made, cache, image = network(), PrefixCache(100), torch.rand(1, 1, 32, 32)
    before = cache(made, image).detach()
    with torch.no_grad():
        made.get_submodule("encoder.features.0").weight.mul_(1.5)
        after, wanted = cache(made, image), made(image)
    assert torch.allclose(after, wanted, atol=1e-6)
    assert not torch.allclose(after, before, atol=1e-3)


def test_weights_loaded_anew_with_the_same_values_then_maps_are_kept() -> None:
    made, cache, image = network(), PrefixCache(100), torch.rand(1, 1, 32, 32)
    cache(made, image)
    made.load_state_dict(deepcopy(made.state_dict()))  # as a stage starts from the best before
    cache(made, image)
    assert (cache.hits, cache.misses) == (1, 1)


def test_released_blocks_then_their_maps_are_let_go() -> None:
    made, cache, image = network(), PrefixCache(100), torch.rand(1, 1, 32, 32)
    held = []
    for stage in STAGES:
        made.set_trainable(stage)
        cache(made, image)
        held.append(cache.held_megabytes)
    assert held[0] > held[1] > held[2] == 0


def test_blocks_frozen_anew_then_computed_anew() -> None:
    made, cache, image = network(), PrefixCache(100), torch.rand(1, 1, 32, 32)
    for stage in (STAGES[1], STAGES[0]):
        made.set_trainable(stage)
        with torch.no_grad():
            assert torch.allclose(cache(made, image), made(image), atol=1e-6)
    assert (cache.hits, cache.misses) == (0, 2)


def test_another_precision_then_maps_of_its_own() -> None:
    made, cache, image = network(), PrefixCache(100), torch.rand(1, 1, 32, 32)
    cache(made, image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cache(made, image)
    assert cache.misses == 2


def test_memory_full_then_the_rest_is_computed_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made, cache = network(), PrefixCache(5)
    images = torch.rand(8, 1, 64, 64)
    with caplog.at_level("WARNING"), torch.no_grad():
        for image in images.split(1):
            assert torch.allclose(cache(made, image), made(image), atol=1e-6)
    assert 0 < cache.held_megabytes <= 5
    assert [r.message.split("; ")[-1] for r in caplog.records] == [
        "turn augmentation off, or leave the cache out"
    ]


@pytest.mark.parametrize(
    ("trainable", "count"),
    [(["all"], 0), (["decoder"], 5), (["block5", "decoder"], 4), (["block1"], 0), (["conv4"], 1)],
)
def test_frozen_blocks_counted_from_the_first(trainable: list[str], count: int) -> None:
    made = network()
    made.set_trainable(trainable)
    assert frozen_blocks(made) == count


def test_no_memory_then_refused() -> None:
    with pytest.raises(ValueError, match="megabytes must be above 0"):
        PrefixCache(0)
