"""The methods of a study: network, initial weights, training and test data of each row."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from custom_nets.encoders import ENCODERS
from custom_nets.encoders.published import NAMED, published_url
from custom_nets.freezing import NORMS
from scripts.bundle.compose import compose
from scripts.bundle.config_files import files_below
from scripts.storage.files import read_json
from scripts.storage.shipped import shipped
from scripts.study.choices import (
    IMAGENET,
    OWN,
    SCRATCH,
    Bundle,
    check_files,
    check_keys,
    check_name,
    named,
)
from scripts.study.procedures import (
    DERIVATIONS,
    PROCEDURES,
    check_kind,
    read_derivation,
    read_procedure,
)

AXES = (
    *("network", "encoder", "strategy", "split", "label", "tested_label"),
    *("loss", "optimiser", "data", "weights", "derived", "evaluated_by"),
)
DEFAULTS: Mapping[str, Any] = {
    "strategy": "bsft",
    "split": "patient",
    "weights": "imagenet",
    **dict.fromkeys(("encoder", "tested_label", "loss", "optimiser", "data")),
    **dict.fromkeys(("derived", "evaluated_by")),
}
METHOD_KEYS = ("name", "settings", "evaluation_files", *AXES)


@dataclass(frozen=True)
class Method:
    """One row of a study: a network, its training and its test data.

    Args:
        name: of the row.
        network: of configs/networks; or of configs/procedures, for a method that is not trained by
            the bundle.
        encoder: of the network; None for a network without one.
        strategy: of configs/strategies.
        split: kind of split.
        label: kind of label to train on.
        tested_label: kind of label to evaluate on.
        loss: of configs/losses (class_losses); None for that of the bundle.
        optimiser: of configs/optimisers; None for that of the bundle.
        data: of configs/data; None for that of the bundle.
        weights: of the encoder: a word of `custom_nets.encoders.published.NAMED` such as imagenet,
            own (the study's key pretraining), the name of one of its pretrainings, none, or a file.
        derived: of configs/derivations: the training data are made by it of the prepared ones.
        evaluated_by: of configs/procedures: evaluates the trained network in place of the bundle.
        settings: ids of the configs, or options of the procedure, and their values; they take
            precedence over the study's.
        evaluation_files: further config files of the evaluation only.
    """

    name: str
    network: str
    encoder: str | None
    strategy: str
    split: str
    label: str
    tested_label: str
    loss: str | None
    optimiser: str | None
    data: str | None
    weights: str
    derived: str | None = None
    evaluated_by: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    evaluation_files: tuple[str, ...] = ()

    @property
    def is_procedure(self) -> bool:
        """Whether a command of its own does all of the method, without the bundle's training."""
        return self.network in named(PROCEDURES)


def read_methods(
    content: Mapping[str, Any], bundle: Bundle, *, pretrained: Collection[str]
) -> list[Method]:
    """Expand the entries of ``methods``, whose axes may be lists, to all combinations.

    ``pretrained`` are the names of the study's pretrainings.

    Raises:
        ValueError: for an unknown name, a combination that is not possible, or two rows of one
            name.
    """
    common = content.get("common", {})
    check_keys("common", common, AXES)
    entries = content["methods"]
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"methods: must be a list with at least one entry, got {entries!r}")
    methods = []
    for number, entry in enumerate(entries):
        where = f"methods[{number}]"
        check_keys(where, entry, METHOD_KEYS)
        axes = {**DEFAULTS, "label": bundle.labels[0], **common, **entry}
        if "network" not in axes:
            raise ValueError(f"{where}: lacks network")
        methods += _expand(axes, bundle, where, pretrained)
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"methods: names must be unique, got {', '.join(twice)} more than once")
    return methods


def _expand(
    axes: Mapping[str, Any], bundle: Bundle, where: str, pretrained: Collection[str]
) -> list[Method]:
    lists = {axis: axes[axis] for axis in AXES if isinstance(axes[axis], list)}
    methods = []
    for values in itertools.product(*lists.values()):
        chosen = {axis: axes[axis] for axis in AXES} | dict(zip(lists, values, strict=True))
        if chosen["tested_label"] is None:
            chosen["tested_label"] = chosen["label"]
        words = [str(axes["name"])] if "name" in axes else []
        words += [str(value) for value in values]
        if not words:
            words = [str(chosen[axis]) for axis in AXES[:3] if chosen[axis] is not None]
        name = " · ".join(words)
        if chosen["network"] in named(PROCEDURES) or chosen["strategy"] == SCRATCH:
            chosen["weights"] = "none"
        _check_axes(chosen, bundle, where, pretrained)
        files = tuple(axes.get("evaluation_files", ()))
        check_files(f"{where}: evaluation_files", files)
        settings = axes.get("settings", {})
        methods.append(Method(name, **chosen, settings=settings, evaluation_files=files))
    return methods


def _check_axes(
    chosen: Mapping[str, Any], bundle: Bundle, where: str, pretrained: Collection[str]
) -> None:
    """Refuse unknown names, and combinations that are not possible."""
    valid = {
        "network": [*named("configs/networks"), *named(PROCEDURES)],
        "strategy": named("configs/strategies"),
        "split": bundle.splits,
        "label": bundle.labels,
        "tested_label": bundle.labels,
        "loss": named(bundle.losses),
        "optimiser": named("configs/optimisers"),
        "data": named("configs/data"),
        "derived": named(DERIVATIONS),
        "evaluated_by": named(PROCEDURES),
    }
    for axis, names in valid.items():
        if chosen[axis] is not None:
            check_name(f"{where}: {axis}", chosen[axis], names)
    _check_weights(chosen["weights"], where, pretrained)
    _check_commands(chosen, bundle, where)
    if chosen["network"] not in named(PROCEDURES):
        _check_encoder(chosen, where)


def _check_commands(chosen: Mapping[str, Any], bundle: Bundle, where: str) -> None:
    """Refuse a procedure or derivation that does not fit the data or the rest of the row."""
    alone = chosen["network"] in named(PROCEDURES)
    if alone:
        check_kind(where, read_procedure(chosen["network"]), bundle)
        for axis in ("derived", "evaluated_by"):
            if chosen[axis] is not None:
                raise ValueError(
                    f"{where}: {chosen['network']} is a command of its own; omit {axis}"
                )
    if chosen["evaluated_by"] is not None:
        evaluating = read_procedure(chosen["evaluated_by"])
        check_kind(where, evaluating, bundle)
        if not evaluating.takes_model:
            raise ValueError(f"{where}: evaluated_by: {evaluating.name} takes no trained network")
    if chosen["derived"] is not None:
        check_kind(where, read_derivation(chosen["derived"]), bundle)
        if chosen["label"] != chosen["tested_label"]:
            raise ValueError(
                f"{where}: derived: data are derived with one label, got label {chosen['label']} "
                f"and tested_label {chosen['tested_label']}"
            )


def _check_weights(weights: Any, where: str, pretrained: Collection[str]) -> None:
    if weights == OWN and OWN not in pretrained:
        raise ValueError(f"{where}: weights are own, but the study declares no pretraining")
    valid_weights = (*NAMED, *pretrained, "none", "a file")
    if weights not in valid_weights[:-1] and not Path(str(weights)).is_file():
        check_name(f"{where}: weights", weights, valid_weights)


def _check_encoder(chosen: Mapping[str, Any], where: str) -> None:
    """Refuse an encoder, or a strategy of stages, for a network without encoder."""
    if takes_encoder(chosen["network"]):
        check_name(f"{where}: encoder", chosen["encoder"], list(ENCODERS))
        if chosen["weights"] in NAMED:
            _check_published(chosen, where)
        _check_norms(chosen, where)
    elif chosen["encoder"] is not None:
        raise ValueError(f"{where}: {chosen['network']} has no encoder; omit encoder")
    elif takes_weights(chosen["network"]):
        if chosen["weights"] == IMAGENET:
            raise ValueError(
                f"{where}: weights: none are published for {chosen['network']}; name one of the "
                "study's pretrainings, a file, or none"
            )
    elif chosen["strategy"] != SCRATCH:
        raise ValueError(
            f"{where}: {chosen['network']} has no pretrained encoder and is trained as a whole: "
            f"its strategy must be {SCRATCH}, got {chosen['strategy']}"
        )


def _check_published(chosen: Mapping[str, Any], where: str) -> None:
    """Refuse weights that nobody has published for an encoder, before anything is trained."""
    try:
        published_url(chosen["encoder"], chosen["weights"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _check_norms(chosen: Mapping[str, Any], where: str) -> None:
    """Refuse a strategy that releases norms for an encoder without any."""
    files = [f"configs/strategies/{chosen['strategy']}.json"]
    strategy = compose(files, files_below()).complete()["strategy"]
    stages = strategy["stages"] if isinstance(strategy["stages"], list) else []
    if not any(NORMS in stage["trainable"] for stage in stages):
        return
    with torch.device("meta"):  # no memory for the weights
        encoder = ENCODERS[chosen["encoder"]]()
    try:
        encoder.check_names([NORMS])
    except ValueError as error:
        raise ValueError(f"{where}: strategy: {error}") from error


def takes_encoder(network: str) -> bool:
    """Whether a network has a pretrained encoder, selected by the id ``encoder``."""
    return "encoder" in _arguments_of(network)


def takes_weights(network: str) -> bool:
    """Whether a network, or its encoder, starts from pretrained weights."""
    return "weights" in _arguments_of(network)


def domains_of(network: str) -> tuple[str, ...]:
    """Return the domains that a network learns together; none for a network of one.

    Example:
        >>> domains_of("multi_domain"), domains_of("unet")
        (('nodules', 'organs'), ())
    """
    if network in named(PROCEDURES):
        return ()
    content = read_json(shipped(network_file(network)))
    return tuple(content.get("domains", ()))


def network_file(network: str) -> str:
    """Return the config file of a network."""
    return f"configs/networks/{network}.json"


def _arguments_of(network: str) -> Mapping[str, Any]:
    content = read_json(shipped(network_file(network)))
    arguments: Mapping[str, Any] = content["network_def"]
    return arguments
