"""Metadata of a package: the versions that it was made with, classes as its config has them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from importlib import metadata
from typing import Any

from scripts.bundle.config_files import Config

APART = ("monai", "torch", "numpy")  # each has a key of its own


def packaged_metadata(
    source: Config, *, modules: Iterable[str], class_names: object = None
) -> dict[str, Any]:
    """Bring a bundle's metadata up to what is installed here.

    Args:
        source: the bundle's ``metadata.json``.
        modules: top-level names that the package's Python imports.
        class_names: of the inference config, where it lists them: an overlay may have added one.

    Raises:
        ValueError: when the version is not in the changelog, or a named package is not installed.
    """
    made = deepcopy(source)
    version, changelog = made.get("version"), made.get("changelog", {})
    if version not in changelog:
        raise ValueError(
            f"metadata.json: version {version!r} must be in the changelog, which has "
            f"{', '.join(changelog) or 'none'}; say there what changed"
        )
    made["monai_version"] = installed("monai")
    made["pytorch_version"] = installed("torch")
    made["numpy_version"] = installed("numpy")
    named = made.get("required_packages_version", {})
    made["required_packages_version"] = _required(named, modules)
    if isinstance(class_names, list):
        _name_classes(made, class_names)
    return made


def installed(package: str) -> str:
    """Return a package's version, without the mark of a local build (``+cpu``).

    Raises:
        ValueError: when it is not installed.
    """
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError as error:
        raise ValueError(
            f"metadata.json: requires {package}, which is not installed here; install it, so that "
            "the version written is one that was tried"
        ) from error


def _required(named: Iterable[str], modules: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that the bundle names, then of those that its Python imports."""
    owners = metadata.packages_distributions()
    imported = [owners[module][0] for module in modules if module in owners]
    known = {_plain(package) for package in (*named, *APART)}
    more = sorted({package for package in imported if _plain(package) not in known}, key=_plain)
    return {package: installed(package) for package in (*named, *more)}


def _plain(package: str) -> str:
    """Spell a package's name as indices compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _name_classes(made: dict[str, Any], class_names: list[Any]) -> None:
    """Have the output's channels named as the config's classes, MONAI Label's labels."""
    pred = made["network_data_format"]["outputs"]["pred"]
    channels = {str(number): str(name) for number, name in enumerate(class_names)}
    if pred.get("channel_def") == channels:
        return
    pred.update(num_channels=len(channels), channel_def=channels)
    made["pred_classes"] = f"{len(channels)} channels, logits of {', '.join(channels.values())}"
    made["label_classes"] = ", ".join(f"{number} {name}" for number, name in channels.items())
