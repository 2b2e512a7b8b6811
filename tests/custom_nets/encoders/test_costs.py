import pytest

from custom_nets.encoders import ENCODERS
from custom_nets.encoders.costs import COSTS, cost_of, counted


def test_every_encoder_then_has_its_cost_stored():
    assert list(COSTS) == list(ENCODERS)


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet18", "efficientnet_b0", "convnext_tiny"])
def test_stored_cost_then_the_one_that_is_counted(name):
    assert cost_of(name) is COSTS[name]
    assert counted(name, 512) == COSTS[name]


@pytest.mark.parametrize(
    ("name", "operations"),  # of torchvision's table: GFLOP by multiply-adds at 224, classifier too
    [("vgg16", 15.470), ("resnet50", 4.089), ("densenet201", 4.291), ("resnet152", 11.514)],
)
def test_cost_then_that_of_torchvision_s_table_at_its_size(name, operations):
    """Convolutions grow with the area; the classifier's share is small, 124 million for VGG."""
    classifier = 0.124 if name == "vgg16" else 0.002
    own = COSTS[name].flop / 2e9 * (224 / 512) ** 2
    assert own == pytest.approx(operations - classifier, rel=2e-3)


def test_other_size_then_counted():
    small, large = cost_of("vgg11", 32), cost_of("vgg11", 64)
    assert large.flop == 4 * small.flop > 0
    assert small.parameters == large.parameters == COSTS["vgg11"].parameters
