import pytest
import torch
from monai.bundle import ConfigParser

from scripts.bundle.components import built


def convolution(**arguments):
    target = {"_target_": "torch.nn.Conv2d", "in_channels": 2, "out_channels": 1, "kernel_size": 1}
    return ConfigParser({"width": 3, "net": {**target, **arguments}})


def test_component_then_of_its_class_with_its_arguments():
    network = built(convolution(in_channels="@width"), "net")
    assert isinstance(network, torch.nn.Conv2d)
    assert network.in_channels == 3
    assert built(convolution(), "net::in_channels") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"_target_": "torch.nn.Conv0.5d"}, "net: cannot be built: .*torch.nn.Conv0.5d"),
        ({"kernel_size": 1e99}, "net: cannot be built: TypeError: "),
        ({"colour": "red"}, "net: cannot be built: TypeError: .*'colour'"),
        ({"groups": 2, "in_channels": 3}, "in_channels must be divisible by groups"),
        ({"in_channels": "$1 // 0"}, "net: cannot be built: ZeroDivisionError"),
    ],
)
def test_component_that_cannot_be_built_then_an_error_of_the_user(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        built(convolution(**arguments), "net")
    assert "_mode_=debug" not in str(caught.value)  # MONAI's advice, which needs a terminal


def test_component_whose_file_is_missing_then_an_oserror_as_it_is():
    config = {"content": "$open('/no/such/file')"}
    with pytest.raises(FileNotFoundError, match="/no/such/file"):
        built(ConfigParser(config), "content")
