"""Data of a study besides its own: those of pretrainings, and a second domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.storage.files import read_json
from scripts.storage.shipped import shipped
from scripts.study.choices import (
    OWN,
    WEIGHTS,
    Bundle,
    bundle_of,
    bundles,
    check_files,
    check_keys,
    check_name,
)
from scripts.study.methods import Method, domains_of
from scripts.study.reporting.figures import check_figures

DATA_KEYS = ("prepare", "phantoms")


@dataclass(frozen=True)
class Pretraining:
    """A run that pretrains an encoder, or a whole network of another domain, once for each seed.

    If its config is a bundle's ``train.json``, rows start from that network, all but its last
    layers; otherwise from the encoder.

    Args:
        name: ``own``, or the name by which methods refer to its weights.
        config: of the bundle run.
        files: further config files.
        settings: ids of the configs and their values.
        bundle: of the separate ``data``; None if it uses the data of the training.
        data: ``prepare`` and ``phantoms``: options of those commands, for separate data.
    """

    name: str
    config: str
    files: tuple[str, ...]
    settings: Mapping[str, Any]
    bundle: Bundle | None
    data: Mapping[str, Any]

    @property
    def segments(self) -> bool:
        """Whether it trains a whole network."""
        return self.config.endswith("/train.json")

    def start(self) -> dict[str, str]:
        """Return the settings of a training that starts from its result."""
        if not self.segments:
            return {"encoder_weights": "<need1>/encoder.pt"}
        start = {"start_from": "<need1>/model.pt", "other_domain": "true"}
        return {**start, "encoder_weights": "none"}


@dataclass(frozen=True)
class OtherDomain:
    """A second data set that networks for several domains learn together with the study's own.

    Args:
        own: name of the study's data in the config of these networks, such as nodules.
        name: of the other domain, such as organs.
        bundle: of the other domain, by which its network is evaluated.
        data: ``prepare`` and ``phantoms``: options of those commands.
        figures: heading -> name in the summary of its evaluation.
    """

    own: str
    name: str
    bundle: Bundle
    data: Mapping[str, Any]
    figures: Mapping[str, str]


def read_data(data: Mapping[str, Any], bundle: Bundle, where: str = "data") -> Mapping[str, Any]:
    """Check the options of phantoms; those of ``prepare`` are checked with the data set.

    Raises:
        ValueError: for a data set without phantoms, or an option that its phantoms do not have.
    """
    if "phantoms" in data and bundle.phantom_options is None:
        raise ValueError(f"{where}: phantoms: {bundle.data_set} has none; omit the key")
    check_keys(f"{where}: phantoms", data.get("phantoms", {}), bundle.phantom_options or ())
    return data


def read_pretrainings(content: Mapping[str, Any], bundle: Bundle) -> dict[str, Pretraining]:
    """Read the keys ``pretraining`` and ``pretrainings``.

    Raises:
        ValueError: for a name, config or data that they cannot have.
    """
    declared = dict(content.get("pretrainings", {}))
    for name in declared:
        if not name.isidentifier() or name in WEIGHTS:
            raise ValueError(
                f"pretrainings: a name must be one word other than {', '.join(WEIGHTS)}, got "
                f"{name!r}; {OWN} is declared by the key pretraining"
            )
    pretrainings = {name: _pretraining(name, one, bundle) for name, one in declared.items()}
    if content.get("pretraining") is not None:
        if content["pretraining"].get("data") is not None:
            raise ValueError(
                "pretraining: uses the data of the training, got data; declare it under a name in "
                "pretrainings"
            )
        own = _pretraining(OWN, content["pretraining"], bundle, where="pretraining")
        pretrainings = {OWN: own, **pretrainings}
    return pretrainings


def _pretraining(
    name: str, declared: Mapping[str, Any], trained: Bundle, *, where: str | None = None
) -> Pretraining:
    where = where or f"pretrainings: {name}"
    check_keys(where, declared, ("config", "files", "settings", "data"))
    if "config" not in declared:
        raise ValueError(f"{where}: lacks config")
    config, data = str(declared["config"]), declared.get("data")
    check_files(f"{where}: config", [config])
    check_files(f"{where}: files", declared.get("files", ()))
    files, settings = tuple(declared.get("files", ())), declared.get("settings", {})
    if data is None:
        _check_reads(config, files, trained, where)
    bundle = None if data is None else _bundle_with_data(config, data, trained, where)
    return Pretraining(name, config, files, settings, bundle, data or {})


def _check_reads(config: str, files: Sequence[str], trained: Bundle, where: str) -> None:
    """Check that a config reads the training's data, by its bundle or by an overlay.

    Raises:
        ValueError: for a config of another bundle without a file of configs/data.
    """
    overlaid = any("sample_transforms" in read_json(shipped(file)) for file in files)
    others = {*bundles()} - {Path(trained.folder).name}
    if not overlaid and any(Path(config).is_relative_to(f"bundles/{name}") for name in others):
        raise ValueError(
            f"{where}: config must be of {trained.folder} for the training's data, got {config}; "
            "add data, or a file of configs/data with sample_transforms for the training's data"
        )


def _bundle_with_data(config: str, data: Mapping[str, Any], trained: Bundle, where: str) -> Bundle:
    """Return the bundle of a pretraining's config, with the data set of its separate data.

    Raises:
        ValueError: for a config outside the bundles, data without phantoms, or data of the data
            set that the study tests on, as they could include test patients.
    """
    names = [name for name in bundles() if Path(config).is_relative_to(f"bundles/{name}")]
    if not names:
        raise ValueError(f"{where}: data need a config of {' or '.join(bundles())}, got {config}")
    check_keys(f"{where}: data", data, DATA_KEYS)
    holding = bundle_of(names[0], data.get("prepare", {}), where=f"{where}: data")
    if holding.data_set == trained.data_set:
        raise ValueError(
            f"{where}: data are of {trained.data_set}, on which the study tests, so they could "
            "include test patients; omit data to use those of the training"
        )
    if "phantoms" not in data:
        raise ValueError(f"{where}: data lack phantoms")
    read_data(data, holding, f"{where}: data")
    return holding


def read_other_domain(
    declared: Mapping[str, Any] | None, methods: Sequence[Method], trained: Bundle
) -> OtherDomain | None:
    """Read the second data set of networks for several domains.

    Raises:
        ValueError: for such a network without it, an incomplete declaration, or names that are not
            those of the network's domains.
    """
    joint = [method for method in methods if domains_of(method.network)]
    if declared is None:
        if joint:
            raise ValueError(
                f"other_domain: {joint[0].name} learns {' and '.join(domains_of(joint[0].network))}"
                "; declare the data of the other one"
            )
        return None
    keys = ("own", "name", "bundle", "data", "figures")
    check_keys("other_domain", declared, keys)
    if lacking := [key for key in keys if key not in declared]:
        raise ValueError(f"other_domain: lacks {', '.join(lacking)}")
    for method in joint:
        for key in keys[:2]:
            check_name(f"other_domain: {key}", declared[key], domains_of(method.network))
    config = f"bundles/{check_name('other_domain: bundle', declared['bundle'], bundles())}/configs"
    holding = _bundle_with_data(config, declared["data"], trained, "other_domain")
    figures = check_figures(declared["figures"], holding.data.kind, "methods")
    return OtherDomain(declared["own"], declared["name"], holding, declared["data"], figures)
