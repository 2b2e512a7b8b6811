"""Metadata of a package, with the versions of installed packages and the config's classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from importlib import metadata
from typing import Any

from scripts.bundle.config_files import Config

APART = ("monai", "torch", "numpy")  # these have separate keys


def packaged_metadata(
    source: Config, *, modules: Iterable[str], class_names: object = None
) -> dict[str, Any]:
    """Return a bundle's metadata with the versions of the installed packages.

    Args:
        source: the bundle's ``metadata.json``.
        modules: top-level names that the package's Python imports.
        class_names: names of the network's output channels, if known: an overlay may change them.

    Raises:
        ValueError: when the version is not in the changelog, or a named package is not installed.
    """
    updated = deepcopy(source)
    version, changelog = updated.get("version"), updated.get("changelog", {})
    if version not in changelog:
        raise ValueError(
            f"metadata.json: version {version!r} must be in the changelog, which has "
            f"{', '.join(changelog) or 'none'}; add an entry with the changes"
        )
    updated["monai_version"] = installed("monai")
    updated["pytorch_version"] = installed("torch")
    updated["numpy_version"] = installed("numpy")
    named = updated.get("required_packages_version", {})
    updated["required_packages_version"] = _required(named, modules)
    if isinstance(class_names, list):
        _name_classes(updated, class_names)
    return updated


def installed(package: str) -> str:
    """Return a package's version, without the suffix of a local build (``+cpu``).

    Raises:
        ValueError: when it is not installed.
    """
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError as error:
        raise ValueError(
            f"metadata.json: requires {package}, which is not installed; install it, so that the "
            "recorded version is the one in use"
        ) from error


def _required(named: Iterable[str], modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that the bundle names and that its Python imports."""
    owners = _owners()
    imported = [owners[module][0] for module in modules if module in owners]
    known = {_plain(package) for package in (*named, *APART)}
    more = sorted({package for package in imported if _plain(package) not in known}, key=_plain)
    return {package: installed(package) for package in (*named, *more)}


@cache  # reads the file lists of all installed packages
def _owners() -> Mapping[str, list[str]]:
    """Return the names of the packages that install each top-level module."""
    return metadata.packages_distributions()


def _plain(package: str) -> str:
    """Normalise a package's name as package indices do."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _name_classes(updated: dict[str, Any], class_names: list[Any]) -> None:
    """Name the output's channels by the config's classes, which are MONAI Label's labels."""
    pred = updated["network_data_format"]["outputs"]["pred"]
    channels = {str(number): str(name) for number, name in enumerate(class_names)}
    if pred.get("channel_def") == channels:
        return
    pred.update(num_channels=len(channels), channel_def=channels)
    updated["pred_classes"] = f"{len(channels)} channels, logits of {', '.join(channels.values())}"
    updated["label_classes"] = ", ".join(f"{number} {name}" for number, name in channels.items())
