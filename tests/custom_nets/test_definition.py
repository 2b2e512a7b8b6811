from functools import partial

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from custom_nets.classifier import TransferClassifier
from custom_nets.cross_modal import CrossModalUNet
from custom_nets.definition import build_network, head_of, network_differences
from custom_nets.fcn import TransferFCN
from custom_nets.plain import PlainNetwork
from custom_nets.survey.voxresnet import VoxResNet
from custom_nets.unet import TransferUNet

WIDTHS = (4, 4, 4, 4, 4)
NETWORKS = {
    "fast unet": lambda tiny: TransferUNet(tiny, decoder_channels=WIDTHS[1:], decoder_stride=2),
    "unet": lambda tiny: TransferUNet(tiny, norm="group", decoder_channels=WIDTHS, normalise=0.3),
    "fcn": lambda tiny: TransferFCN(tiny, stride=4, out_channels=3),
    "fcn with fully connected": lambda tiny: TransferFCN(tiny, width=8, fully_connected="fresh"),
    "cross modal": lambda tiny: CrossModalUNet(tiny, fusion="sum", decoder_channels=WIDTHS),
    "classifier": lambda tiny: TransferClassifier(tiny, in_channels=1, out_channels=2),
    "plain": lambda _: PlainNetwork(
        partial(BasicUNet, 2, 1, 1, features=(4, 4, 8, 8, 8, 4)), in_channels=1, stride=16
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network_when_built_from_its_definition_then_the_same_function(tiny, name):
    network = NETWORKS[name](tiny).eval()
    again = build_network(network.definition).eval()
    assert again.definition == network.definition
    again.load_state_dict(network.state_dict())
    image = torch.rand(1, network.in_channels, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(image), network(image))


def test_source_of_weights_then_not_in_the_definition(tiny, tmp_path):
    torch.save(TransferUNet(tiny, decoder_channels=WIDTHS).encoder.state_dict(), tmp_path / "e.pt")
    network = TransferUNet(tiny, weights=str(tmp_path / "e.pt"), decoder_channels=WIDTHS)
    assert network.definition["weights"] == "none"
    assert str(tmp_path) not in str(network.definition)


def test_default_that_depends_on_the_encoder_then_resolved(tiny):
    assert TransferFCN(tiny).definition["width"] == 0


def test_network_given_as_an_object_then_refused():
    with pytest.raises(TypeError, match='network: must be plain Python .*add "_mode_": "callable"'):
        PlainNetwork(nn.Identity(), in_channels=1)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"_target_": "os.system", "command": "true"}, "'os.system' is not a network"),
        ({"_target_": "custom_nets.unet.initialise"}, "'custom_nets.unet.initialise' is not a net"),
        ({"_target_": "custom_nets.nowhere.Net"}, "'custom_nets.nowhere.Net' is not a network"),
        ({"_target_": "custom_nets.unet.TransferUNet", "widht": 3}, "takes other arguments"),
        ({"_target_": "monai.networks.nets.UNet", "spatial_dims": 2}, "takes other arguments"),
    ],
    ids=["not a network", "function", "no module", "unknown argument", "lacking argument"],
)
def test_definition_that_names_something_else_then_refused(definition, said):
    with pytest.raises(ValueError, match=said):
        build_network(definition)


def test_weights_of_another_norm_with_equal_shapes_then_refused_also_from_a_file(tiny, tmp_path):
    def made(norm, **options):
        return TransferUNet(tiny, norm=norm, decoder_channels=WIDTHS, **options)

    torch.save(made("group").state_dict(), tmp_path / "bare.pt")
    state = torch.load(tmp_path / "bare.pt", weights_only=True)
    other = made("instance")
    before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    for strict in (True, False):  # MONAI Label loads with strict=False
        with pytest.raises(ValueError, match="norm: the file has 'group', the config has 'insta"):
            other.load_state_dict(state, strict=strict)
    assert all(torch.equal(tensor, before[key]) for key, tensor in other.state_dict().items())
    made("group").load_state_dict(state)
    with pytest.raises(ValueError, match="normalise: the file has None, the config has 'half'"):
        made("group", normalise="half").load_state_dict(state)


def test_other_stride_of_an_inner_network_then_refused():
    def made(**options):
        return PlainNetwork(
            partial(BasicUNet, 2, 1, 1, features=(4, 4, 8, 8, 8, 4), **options), in_channels=1
        )

    with pytest.raises(ValueError, match="network_def::network::dropout|network_def::network::act"):
        made(act="relu").load_state_dict(made(act="elu").state_dict())


@pytest.mark.parametrize("name", NETWORKS)
def test_head_then_the_last_layers_only(tiny, name):
    network = NETWORKS[name](tiny)
    head = head_of(network)
    assert 0 < len(head) < len(network.state_dict()) / 2
    assert all(name.startswith(("decoder", "score", "network.final")) for name in head)


def test_sequence_that_an_older_file_lacks_then_its_default_too():
    definition = VoxResNet(2, 1).definition
    older = {name: value for name, value in definition.items() if name != "widths"}
    assert definition["widths"] == [32, 64]
    assert network_differences(older, definition) == network_differences(definition, older) == []


def test_argument_that_an_older_file_lacks_then_its_default(tiny):
    network = TransferUNet(tiny, decoder_channels=WIDTHS)
    older = {k: v for k, v in network.definition.items() if k != "decoder_stride"}
    assert network_differences(older, network.definition) == []
    assert network_differences(network.definition, older) == []
    other = {**network.definition, "decoder_stride": 2}
    told = ["network_def::decoder_stride: the file has 1, the config has 2"]
    assert network_differences(older, other) == told


@pytest.mark.parametrize(
    ("name", "other"), [("tiny", "all"), ("vgg16", "none")], ids=["with norms", "without"]
)
def test_norms_on_skips_when_auto_then_compared_as_what_the_encoder_gets(tiny, name, other):
    asked = {"_target_": "custom_nets.unet.TransferUNet", "encoder": name, "skip_norm": "auto"}
    older = {"_target_": "custom_nets.unet.TransferUNet", "encoder": name}
    equal = {**older, "skip_norm": "none" if name == tiny else "all"}
    assert network_differences(equal, asked) == network_differences(asked, equal) == []
    assert (network_differences(older, asked) == []) is (name == tiny)
    told = [f"network_def::skip_norm: the file has {other!r}, the config has 'auto'"]
    assert network_differences({**older, "skip_norm": other}, asked) == told


@pytest.mark.parametrize(
    "target",
    [
        "cross_modal.CrossModalUNet",
        "survey.context.ContextUNet",
        "survey.multi_domain.MultiDomainNetwork",
    ],
)
def test_norms_on_skips_when_auto_in_other_u_nets_then_compared_alike(target):
    older = {"_target_": f"custom_nets.{target}", "encoder": "resnet18"}
    assert network_differences(older, {**older, "skip_norm": "auto"}) == []
    assert network_differences(older, {**older, "skip_norm": "all"})
