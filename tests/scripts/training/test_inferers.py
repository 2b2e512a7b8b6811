from copy import deepcopy

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SliceInferer
from torch.utils._python_dispatch import TorchDispatchMode

from custom_nets.folding import fold_norms
from custom_nets.unet import TransferUNet
from scripts.training import precision
from scripts.training.inferers import (
    OUTSIDE_LOGIT,
    AutocastInferer,
    CachedPrefixInferer,
    SlicewiseInferer,
)


class RecordingNetwork(torch.nn.Conv2d):
    """Remembers what it got, and in which precision it computed."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        result = super().forward(inputs)
        self.received, self.computed_in = type(inputs), result.dtype
        return result


def test_autocast_on_a_cpu_then_network_computes_in_bfloat16_and_result_is_float32():
    network = RecordingNetwork(3, 1, 3, padding=1)
    result = AutocastInferer(SimpleInferer(), dtype="bfloat16")(torch.rand(2, 3, 8, 8), network)
    assert network.computed_in == torch.bfloat16
    assert result.dtype == torch.float32


def test_autocast_around_slices_then_close_to_float32():
    network = RecordingNetwork(3, 1, 3, padding=1).eval()
    volume = torch.rand(1, 3, 8, 8, 5)
    slices = SliceInferer(roi_size=(-1, -1), spatial_dim=2)
    with torch.no_grad():
        half, full = AutocastInferer(slices)(volume, network), slices(volume, network)
    torch.testing.assert_close(half, full, atol=0.02, rtol=0.02)


def test_autocast_when_dtype_unknown_then_refused():
    with pytest.raises(ValueError, match="one of bfloat16, float16, float32, auto, got 'int8'"):
        AutocastInferer(SimpleInferer(), dtype="int8")


def test_autocast_when_other_tensors_are_handed_over_then_network_gets_the_image_only():
    network = RecordingNetwork(3, 1, 3, padding=1)
    image = torch.rand(2, 3, 8, 8)
    inferer = AutocastInferer(SimpleInferer())
    given = inferer(inputs=image, network=network, lung=torch.ones(2, 1, 8, 8))
    assert torch.equal(given, inferer(image, network))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_autocast_when_norms_are_folded_then_weights_loaded_by_others_give_the_same(dtype):
    torch.manual_seed(0)
    ours = TransferUNet("resnet34", in_channels=1, decoder_channels=(8, 8, 8, 8, 8)).eval()
    theirs = deepcopy(ours)
    prepared = ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fold_norms(prepared)
    inferer = AutocastInferer(SlicewiseInferer(), dtype=dtype, fold_norms=True)
    volume = torch.rand(1, 1, 32, 40, 3)
    with torch.no_grad():
        expected = AutocastInferer(SlicewiseInferer(), dtype=dtype)(volume, prepared)
        assert torch.equal(inferer(volume, theirs), expected)
        assert torch.equal(inferer(volume, prepared), expected)


def test_autocast_on_torchscript_then_the_logits_of_the_network_in_python():
    torch.manual_seed(0)
    network = TransferUNet("resnet34", in_channels=1, decoder_channels=(8, 8, 8, 8, 8)).eval()
    script = torch.jit.script(network)
    inferer, image = AutocastInferer(SimpleInferer()), torch.rand(1, 1, 32, 40)
    with torch.no_grad():
        assert torch.equal(inferer(image, script), inferer(image, network))


@pytest.mark.parametrize("faster", [True, False])
def test_autocast_when_automatic_then_bfloat16_only_where_it_is_faster(monkeypatch, faster):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(precision, "_cpu_gains_by_bfloat16", lambda: faster)
    network = RecordingNetwork(3, 1, 3, padding=1)
    AutocastInferer(SimpleInferer(), dtype="auto")(torch.rand(2, 3, 8, 8), network)
    assert network.computed_in == (torch.bfloat16 if faster else torch.float32)


def test_slicewise_on_images_and_on_the_volume_of_them_then_same():
    network = RecordingNetwork(3, 1, 3, padding=1).eval()
    volume = torch.rand(1, 3, 8, 9, 5)
    inferer = SlicewiseInferer(slices_at_once=2)
    with torch.no_grad():
        images = inferer(volume[0].movedim(-1, 0), network)
        result = inferer(volume, network)
    torch.testing.assert_close(result[0].movedim(-1, 0), images)


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_slicewise_then_what_slice_inferer_of_monai_gives(at_once):
    network = RecordingNetwork(3, 2, 3, padding=1).eval()
    volume = MetaTensor(torch.rand(2, 3, 8, 9, 5), meta={"told": "kept"})
    with torch.no_grad():
        ours = SlicewiseInferer(slices_at_once=at_once)(volume, network)
        theirs = SliceInferer(roi_size=(-1, -1), spatial_dim=2)(volume, network)
    torch.testing.assert_close(ours.as_tensor(), theirs.as_tensor())
    assert ours.meta["told"] == "kept"


@pytest.mark.parametrize("inferer", [SlicewiseInferer(), AutocastInferer(SlicewiseInferer())])
@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (1, 3, 8, 9, 5)], ids=["images", "volume"])
def test_slicewise_when_images_carry_metadata_then_only_the_logits_do(inferer, shape):
    network = RecordingNetwork(3, 1, 3, padding=1)
    image = MetaTensor(torch.rand(shape), meta={"told": "kept"})
    logits = inferer(image, network)
    assert network.received is torch.Tensor
    assert logits.meta["told"] == "kept"
    assert torch.equal(logits.as_tensor(), inferer(image.as_tensor(), network))
    logits.sum().backward()
    assert network.weight.grad is not None


def test_slicewise_when_images_carry_metadata_then_the_gradients_of_a_network_that_gets_them_too():
    torch.manual_seed(0)
    network = TransferUNet("resnet34", out_channels=3, decoder_channels=(8, 8, 8, 8, 8))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    carrying, image = deepcopy(network), MetaTensor(torch.rand(2, 3, 32, 64))
    for one, inferer in ((network, SlicewiseInferer()), (carrying, SimpleInferer())):
        inferer(image, one).softmax(dim=1).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter.grad, carrying.get_parameter(name).grad), name


def test_slicewise_when_no_slices_at_once_then_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        SlicewiseInferer(slices_at_once=0)


def test_cached_prefix_then_the_logits_of_the_network_with_what_came_beside_the_image():
    network = TransferUNet("resnet34", in_channels=1, decoder_channels=(8, 8, 8, 8, 8))
    network.set_trainable(["decoder"])
    image = MetaTensor(torch.rand(1, 1, 32, 40), meta={"told": "kept"})
    inferer = CachedPrefixInferer(10)
    with torch.no_grad():
        for _ in range(2):
            logits = inferer(image, network.eval())
            torch.testing.assert_close(logits.as_tensor(), network(image.as_tensor()))
    assert logits.meta["told"] == "kept"
    assert inferer.cache.hits == 1


def test_cached_prefix_when_another_network_then_refused():
    with pytest.raises(ValueError, match="only a TransferUNet can .*, got Identity"):
        CachedPrefixInferer(10)(torch.rand(1, 1, 32, 32), torch.nn.Identity())


class SizesNetwork(RecordingNetwork):
    """Remembers the heights and widths that it saw."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.sizes = [*getattr(self, "sizes", []), tuple(inputs.shape[-2:])]
        return super().forward(inputs)


def patchy_volume() -> torch.Tensor:
    """Slices of 128 x 160: one square, two voxels far apart, nothing."""
    volume = torch.zeros(1, 3, 128, 160, 3)
    volume[..., 20:24, 120:125, 0] = 1
    volume[:, 1, 12, 4, 1] = volume[:, 2, 110, 150, 1] = 1
    return volume


def test_slicewise_on_a_grid_then_the_network_sees_only_cells_that_hold_something():
    network, volume = SizesNetwork(3, 1, 3, padding=1).eval(), patchy_volume()
    with torch.no_grad():
        found = SlicewiseInferer(slices_at_once=1, grid=32)(volume, network)
        asked = network(volume[..., 0:64, 64:160, 0])  # rows 0 to 55, columns 88 to 156
        whole = network(volume[..., 1])
    assert network.sizes[:3] == [(64, 96), (128, 160), (32, 32)]
    torch.testing.assert_close(found[..., 0:64, 64:160, 0], asked)
    torch.testing.assert_close(found[..., 1], whole)
    outside = torch.ones(128, 160, dtype=torch.bool)
    outside[0:64, 64:160] = False
    assert (found[0, 0, ..., 0][outside] == OUTSIDE_LOGIT).all()


def test_slicewise_on_a_grid_with_several_slices_at_once_then_one_box_for_all():
    network, volume = SizesNetwork(3, 1, 3, padding=1).eval(), patchy_volume()
    with torch.no_grad():
        SlicewiseInferer(slices_at_once=3, grid=16)(volume, network)
    assert network.sizes == [(128, 160)]


class Operations(TorchDispatchMode):
    """Names of torch's operations, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_slicewise_on_a_grid_then_nothing_is_read_from_the_device_between_batches():
    network = torch.nn.Conv2d(1, 1, 3, padding=1).eval()
    volume = torch.zeros(1, 1, 96, 128, 5)
    for number in range(5):
        volume[..., 20 * number, 20, number] = 1
    with torch.no_grad(), Operations() as operations:
        SlicewiseInferer(slices_at_once=2, grid=16)(volume, network)
    names = operations.names
    first = names.index("convolution")
    assert names.count("convolution") == 3
    assert "nonzero" in names[:first]
    assert not {"nonzero", "_local_scalar_dense", "item"} & set(names[first:])


def test_slicewise_when_the_grid_is_below_1_then_refused():
    with pytest.raises(ValueError, match="grid: must be at least 1, or null, got 0"):
        SlicewiseInferer(grid=0)
