"""``python -m scripts info``: what this program and a bundle are, for people and for programs.

Without ``--device`` neither torch nor MONAI is imported, so that a program can ask at its start.
"""

from __future__ import annotations

import configparser
import inspect
import json as json_text
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from fire import docstrings

from scripts.commands import COMMANDS, sketch
from scripts.prediction.bundle_summary import summary_of
from scripts.prediction.writing.products import PRODUCTS, USUAL
from scripts.storage.shipped import ROOT, shipped_below

FORMAT = 1
"""Raised when a key changes its meaning or goes; new keys do not raise it."""
DISTRIBUTION = "transfer-ct-bundles"
PACKAGES = (
    *("torch", "monai", "pytorch-ignite", "numpy", "scipy", "scikit-image", "scikit-learn"),
    *("pydicom", "highdicom", "SimpleITK", "nibabel", "onnxruntime", "openvino"),
)
Json = dict[str, Any]


def info(bundle: str | None = None, *, json: bool = False, device: bool = False) -> None:
    """Print what this program is, and what a bundle, a package or a trained network is.

    Nothing of a bundle is run. docs/installation.md lists the keys of --json.

    Args:
        bundle: a bundle's folder, the zip of a package, or model.pt.
        json: print one JSON object for programs instead of lines.
        device: also say which device computes; this imports torch, which takes seconds.

    Raises:
        FileNotFoundError: when the bundle does not exist.
        ValueError: when it is not a bundle, a package or a model file.
    """
    content = collected(None if bundle is None else Path(str(bundle)), device=device)
    print(json_text.dumps(content, indent=2) if json else "\n".join(lines_of(content)))


def collected(bundle: Path | None, *, device: bool) -> Json:
    """Return everything that ``info`` says; the keys are the same for every call."""
    return {
        "format": FORMAT,
        "program": {"name": DISTRIBUTION, "version": own_version(), "folder": str(ROOT)},
        "versions": {"python": platform.python_version(), **dict(map(_version, PACKAGES))},
        "device": _device() if device else None,
        "commands": [" ".join(words) for words in COMMANDS],
        "products": [_product(name) for name in PRODUCTS],
        "options": options_of("predict"),
        "bundles": [path.as_posix() for path in shipped_below("bundles", "*") if path.name],
        "bundle": None if bundle is None else summary_of(bundle),
    }


def own_version() -> str | None:
    """Return this program's version, installed or as a checkout; None inside a package."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        checkout = configparser.ConfigParser(interpolation=None)
        checkout.read(ROOT / "setup.cfg", encoding="utf-8")
        return checkout.get("metadata", "version", fallback=None)


def _version(package: str) -> tuple[str, str | None]:
    try:
        return package, metadata.version(package)
    except metadata.PackageNotFoundError:
        return package, None


def _device() -> Json:
    import torch  # slow import, for this question only

    from scripts.training.precision import native_dtype

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    kind = "cuda" if gpus else "cpu"
    return {
        "default": "cuda:0" if gpus else "cpu",
        "gpus": gpus,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "precision": str(native_dtype(kind)).removeprefix("torch."),
    }


def _product(name: str) -> Json:
    product = PRODUCTS[name]
    return {
        "name": name,
        "files": list(product.files),
        "by_default": name in USUAL,
        "needs_dicom": product.needs_dicom,
        "needs_lesions": product.needs_lesions,
    }


def options_of(command: str) -> list[Json]:
    """List the options of a command as its help does: name, type, default, description."""
    function = sketch(COMMANDS[command,].target)
    described = docstrings.parse(inspect.getdoc(function)).args or []
    words = {one.name: " ".join(one.description.split()) for one in described}
    return [
        {
            "name": name,
            "type": str(parameter.annotation),
            "required": parameter.default is parameter.empty,
            "default": None if parameter.default is parameter.empty else parameter.default,
            "description": words.get(name, ""),
        }
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def lines_of(content: Json) -> list[str]:
    """Return the same for people, without the options, which ``predict --help`` explains."""
    program = content["program"]
    found = {name: version for name, version in content["versions"].items() if version}
    rows = {
        "program": f"{program['name']} {program['version'] or ''}, {program['folder']}",
        "versions": ", ".join(f"{name} {version}" for name, version in found.items()),
        "bundles": ", ".join(content["bundles"]),
        "products": ", ".join(product["name"] for product in content["products"]),
    }
    if content["device"] is not None:
        device = content["device"]
        rows["device"] = (
            f"{', '.join(device['gpus']) or 'cpu'}, {device['threads']} threads, "
            f"{device['precision']}"
        )
    if content["bundle"] is not None:
        rows |= _rows_of(content["bundle"])
    width = max(map(len, rows))
    return [f"{name:<{width}}  {text}" for name, text in rows.items()]


def _rows_of(bundle: Json) -> dict[str, str]:
    labels = [
        f"{one['name']} ({'numbered' if one['numbered'] else one['label']})"
        for one in bundle["labels"] or []
    ]
    model = bundle["model"]
    rows = {
        "bundle": f"{bundle['path']} ({bundle['form']})",
        "name": " ".join(filter(None, (bundle["name"], bundle["version"]))),
        "labels": ", ".join(labels) or "unknown",
        "workflows": ", ".join(bundle["workflows"]),
        "model": model["file"] if model else "none; give its file to predict by --ckpt_path",
    }
    return {name: text for name, text in rows.items() if text}
