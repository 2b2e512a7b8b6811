"""The arguments of a network as plain Python, from which it can be rebuilt."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import nn

TARGET = "_target_"
SOURCES = ("weights", "fully_connected")
"""Arguments that choose the source of weights, not the architecture: their default is noted."""

LEARNT = ("normalise",)
"""Arguments whose numbers belong to the weights: the mean of their training images."""

TRAINING_ONLY = ("dropout", "skip_dropout")
"""Arguments without an effect on a trained network."""

KEY = "definition"
"""Under which a state_dict's metadata hold the definition of its network."""

TRUSTED = re.compile(r"(custom_nets|monai\.networks\.nets)(\.[A-Za-z_]\w*)+")
"""Classes that a definition read from a file may name."""


class Defined(nn.Module):
    """Network that records the arguments it was built with, in `definition`.

    It holds every argument, defaults included, as plain Python; ``_target_`` names the class.
    The metadata of a ``state_dict``, where torch keeps the versions of its modules, hold it too,
    also in files. Equal names and shapes do not make equal networks: a group norm's weights fit an
    instance norm. Loading weights of another network is therefore refused by argument.

    >>> from custom_nets.classifier import TransferClassifier
    >>> definition = TransferClassifier("resnet34", in_channels=1).definition
    >>> definition["_target_"], definition["in_channels"], definition["weights"]
    ('custom_nets.classifier.TransferClassifier', 1, 'none')
    """

    __jit_ignored_attributes__ = ["_definition"]
    __jit_unused_properties__ = ["definition"]

    def __init_subclass__(cls, **options: Any) -> None:
        """Have ``__init__`` of the subclass record its arguments."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    @property
    def definition(self) -> dict[str, Any]:
        """Class and arguments; a change of the returned dictionary changes the network's own."""
        definition: dict[str, Any] = self.__dict__["_definition"]
        return definition

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", {})
        if prefix[:-1] in metadata:
            metadata[prefix[:-1]][KEY] = deepcopy(self.definition)

    @staticmethod
    def settled(definition: Mapping[str, Any]) -> dict[str, Any]:
        """Replace words that leave a choice to the network, such as "auto", by what it chooses."""
        return dict(definition)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, *further: Any
    ) -> None:
        stored = local_metadata.get(KEY)
        ignoring = (*LEARNT, *TRAINING_ONLY)
        differences = network_differences(stored, self.definition, ignoring) if stored else []
        if differences:
            raise ValueError(f"state_dict of another network: {'; '.join(differences)}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *further)


def network_differences(
    stored: Mapping[str, Any],
    asked: Mapping[str, Any],
    ignoring: Collection[str] = (),
    where: str = "network_def",
) -> list[str]:
    """List the differing arguments of two networks, except those for the source of the weights.

    An argument that a definition lacks, as in a file from before the argument existed, has its
    default.

    Args:
        stored: definition in a file.
        asked: definition of a config.
        ignoring: arguments that may differ; of :data:`LEARNT` only numbers may, since a kind of
            normalisation is not among the weights.
        where: name of the definition, for the texts.

    >>> network_differences({"_target_": "a.Net", "norm": "group"}, {"_target_": "a.Net"})
    ["network_def::norm: the file has 'group', the config has None"]
    """
    if stored.get(TARGET) != asked.get(TARGET):
        return [unequal(f"{where}::{TARGET}", stored.get(TARGET), asked.get(TARGET))]
    differences: list[str] = []
    stored, asked = with_defaults(stored), with_defaults(asked)
    settled = _settled(stored), _settled(asked)
    for name in {**stored, **asked}:
        if settled[0].get(name) == settled[1].get(name):
            continue
        pair, title = (stored.get(name), asked.get(name)), f"{where}::{name}"
        numbers = all(isinstance(value, (int, float)) for value in pair)
        ignored = name in ignoring and (name not in LEARNT or numbers)
        if name in SOURCES or ignored:
            continue
        if isinstance(pair[0], Mapping) and isinstance(pair[1], Mapping):
            differences += network_differences(pair[0], pair[1], ignoring, title)
        else:
            differences.append(unequal(title, *pair))
    return differences


def with_defaults(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with the defaults of the arguments that it lacks, as an older one may.

    >>> with_defaults({"_target_": "custom_nets.unet.TransferUNet"})["decoder_stride"]
    1
    """
    return {**_defaults(str(definition.get(TARGET))), **definition}


def settled_definition(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition as :meth:`Defined.settled` of its class gives it, defaults included.

    >>> net = {"_target_": "custom_nets.unet.TransferUNet", "skip_norm": "auto"}
    >>> [settled_definition({**net, "encoder": e})["skip_norm"] for e in ("vgg16", "resnet34")]
    ['all', 'none']
    """
    return _settled(with_defaults(definition))


def _settled(complete: dict[str, Any]) -> dict[str, Any]:
    """Return a definition that lacks no argument as :meth:`Defined.settled` gives it."""
    cls = trusted_class(complete.get(TARGET))
    return cls.settled(complete) if cls is not None and issubclass(cls, Defined) else complete


def _defaults(target: str) -> dict[str, Any]:
    """Return the defaults of a network's arguments; none for a class that is not trusted."""
    cls = trusted_class(target)
    parameters = {} if cls is None else inspect.signature(cls).parameters
    return {
        name: _as_recorded(name, parameter.default)
        for name, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def _as_recorded(name: str, default: Any) -> Any:
    """Return a default as a definition holds it, tuples as lists; an object as it is."""
    try:
        return _plain(name, default)
    except TypeError:
        return default


def unequal(name: str, stored: Any, asked: Any) -> str:
    """Describe a difference between a file and a config."""
    return f"{name}: the file has {stored!r}, the config has {asked!r}"


def head_of(network: Defined) -> tuple[str, ...]:
    """Name the tensors whose shape depends on the number of classes: the last layers.

    >>> from custom_nets.classifier import TransferClassifier
    >>> head_of(TransferClassifier("resnet34", out_channels=3))
    ('score.weight', 'score.bias')
    """
    with torch.device("meta"):
        wider = build_network(_wider(network.definition)).state_dict()
    own = network.state_dict()
    return tuple(name for name in own if name in wider and wider[name].shape != own[name].shape)


def _wider(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition, and inner ones, with one class more."""
    wider: dict[str, Any] = {}
    for name, value in definition.items():
        wider[name] = _wider(value) if isinstance(value, Mapping) else value
        if name == "out_channels":
            wider[name] = value + 1
    return wider


def _recording(init: Callable[..., None]) -> Callable[..., None]:
    """Wrap an ``__init__``; in a class hierarchy the arguments of the subclass are recorded."""

    @functools.wraps(init)
    def recording(self: Defined, *args: Any, **options: Any) -> None:
        if "_definition" not in self.__dict__:
            arguments = _arguments(init, (self, *args), options)
            self.__dict__["_definition"] = {TARGET: _name(type(self)), **arguments}
        init(self, *args, **options)

    return recording


def _name(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _arguments(
    function: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Resolve a call's arguments, defaults included; sources of weights stay at their default."""
    signature = inspect.signature(function)
    bound = signature.bind(*args, **options)
    bound.apply_defaults()
    defaults = {
        name: signature.parameters[name].default for name in SOURCES if name in bound.arguments
    }
    taken = {**bound.arguments, **defaults}
    return {name: _plain(name, value) for name, value in taken.items() if name != "self"}


def _plain(name: str, value: Any) -> Any:
    """Reduce an argument to plain Python.

    Raises:
        TypeError: for an object, such as a network that is already built.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, type):
        value = functools.partial(value)
    if isinstance(value, functools.partial):
        return {TARGET: _name(value.func), **_arguments(value.func, value.args, value.keywords)}
    if isinstance(value, Mapping):
        return {str(key): _plain(name, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    raise TypeError(
        f"{name}: must be plain Python or functools.partial of a class, from which the network can "
        f'be rebuilt, got a {type(value).__name__}; in a config add "_mode_": "callable"'
    )


def build_network(definition: Mapping[str, Any]) -> Defined:
    """Build a network from its definition, with random weights; nothing else is run.

    Raises:
        ValueError: for a class outside ``custom_nets`` and ``monai.networks.nets``, or one that
            does not accept these arguments.

    >>> build_network({"_target_": "os.system", "command": "ls"})
    Traceback (most recent call last):
    ...
    ValueError: network_def: 'os.system' is not a network of custom_nets or monai.networks.nets
    """
    network = _call(definition)()
    if not isinstance(network, Defined):
        raise ValueError(f"network_def: {definition[TARGET]} is not a network of custom_nets")
    return network


def _call(definition: Mapping[str, Any]) -> Callable[[], Any]:
    """Return a definition as a function without arguments that builds it, inner ones likewise."""
    target = definition.get(TARGET)
    cls = trusted_class(target)
    if cls is None:
        raise ValueError(
            f"network_def: {target!r} is not a network of custom_nets or monai.networks.nets"
        )
    arguments = {
        name: _call(value) if isinstance(value, Mapping) and TARGET in value else value
        for name, value in definition.items()
        if name != TARGET
    }
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"network_def: {target} takes other arguments: {error}") from error
    return functools.partial(cls, **arguments)


def trusted_class(target: Any) -> type[nn.Module] | None:
    """Return the class that a definition read from a file names; None if it may not name it.

    >>> trusted_class("custom_nets.encoders.weights.torch.hub.load") is None
    True
    """
    if not TRUSTED.fullmatch(str(target)):
        return None
    module, _, name = str(target).rpartition(".")
    try:
        value = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return value if isinstance(value, type) and issubclass(value, nn.Module) else None
