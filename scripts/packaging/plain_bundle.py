"""A package of MONAI's and torch's components alone, for platforms that take no code.

The network is a ``.pt2``; transforms are MONAI's. It contains no Python, and what its config
evaluates is within the grammar of the strict audit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from custom_nets.definition import TARGET
from scripts.audit.audit import audit_bundle
from scripts.audit.bundle_files import open_bundle
from scripts.audit.findings import PROBLEM, at_or_above
from scripts.bundle.config_files import Config
from scripts.packaging.exports.exports import PT2
from scripts.packaging.metadata import installed
from scripts.packaging.plain_transforms import NotPlainError, Plain, plain_inferer
from scripts.running.reasons import listed_reasons

PROGRAM = f"models/model.{PT2}"
NEEDED = ("pytorch-ignite", "nibabel", "pydicom", "scipy", "scikit-image")
"""Packages that MONAI's components of a plain package import, besides torch and numpy."""
ALWAYS = (
    "the checks that values are Hounsfield units and that a DICOM series is complete",
    "numbers, confidence and measurements of lesions, DICOM objects and the page: the result is "
    "one NIfTI mask for each CT",
    "cropping, bfloat16 and OpenVINO, which save time: in a crop a network sees less of what lies "
    "around, so that single voxels at edges can differ from `predict` without `crop` false",
    "training and evaluation",
)
"""What no plain package does."""


def check_options(*, plain: bool, exports: Collection[str], leave_out: Collection[str]) -> None:
    """Refuse options of ``package`` that do not go together.

    Raises:
        ValueError: naming them.
    """
    if plain and exports:
        raise ValueError("exports: a plain package has the network as pt2; leave the option out")
    if leave_out and not plain:
        raise ValueError("leave_out: only a plain package leaves parts out; add --plain true")


def check_strict(unpacked: Path) -> None:
    """Check that the strict audit allows a plain package.

    Raises:
        ValueError: with what it refuses.
    """
    if refused := at_or_above(audit_bundle(open_bundle(unpacked)), PROBLEM):
        each = [f"{one.file}:{one.place}: {one.what}: {one.why}" for one in refused]
        raise ValueError(
            f"plain: the strict audit refuses {listed_reasons(each)}; package without --plain"
        )


def plain_inference(inference: Config, *, leave_out: Collection[str]) -> tuple[Config, list[str]]:
    """Return an inference config of MONAI's components, and what it leaves out.

    Args:
        inference: flattened config of the package.
        leave_out: names of parts that may be left out although the mask then differs.

    Returns:
        The config, and what it leaves out, in words.

    Raises:
        ValueError: for a component without an equal in MONAI; a part that changes the mask and is
            not in ``leave_out``; or a name there that is no such part.
    """
    plain = Plain(inference)
    try:
        preprocessing = plain.transforms("@preprocessing")
        made = {name: _steps(plain, name) for name in ("activation", "refining", "cleaning")}
        reducing = _steps(plain, "reducing")
        inferer = plain_inferer(plain)
    except NotPlainError as error:
        raise ValueError(
            f"plain: {error}; package without --plain for platforms that run Python of a bundle"
        ) from error
    _check_left_out(plain.left_out, leave_out)
    restoring = plain.transforms("@restoring")
    after = [*made["activation"], *made["refining"], *made["cleaning"], *restoring, *reducing]
    saving = _saving(plain)
    config = _config(preprocessing, inferer, [*after, saving])
    return config, [*(f"{text}." for text in plain.left_out.values()), *_sentences(ALWAYS)]


def _sentences(texts: Collection[str]) -> list[str]:
    return [f"{text}." for text in texts]


def _steps(plain: Plain, name: str) -> list[Config]:
    return plain.transforms(f"@{name}") if name in plain.parser else []


def _check_left_out(found: Mapping[str, str], allowed: Collection[str]) -> None:
    """Refuse to leave out what changes the mask without being asked.

    Raises:
        ValueError: see :func:`plain_inference`.
    """
    if unknown := sorted({*allowed} - {*found}):
        parts = f"has {', '.join(found)} only" if found else "leaves out nothing that changes it"
        raise ValueError(f"leave_out: this bundle {parts}, got {', '.join(unknown)}")
    if {*found} - {*allowed}:
        raise ValueError(
            f"plain: MONAI has no equal of {'; and of '.join(found.values())}; --leave_out "
            f"{','.join(found)} packages it all the same"
        )


def _saving(plain: Plain) -> Config:
    saving = plain.parser["saving"]
    kept = ("output_postfix", "output_ext", "output_dtype")
    return {
        TARGET: "SaveImaged",
        "keys": "pred",
        "output_dir": "@output_dir",
        **{key: plain.value(f"saving::{key}") for key in kept if key in saving},
        "resample": False,
        "separate_folder": False,
    }


def _config(preprocessing: list[Config], inferer: Config, after: list[Config]) -> Config:
    """Return the config in the order of MONAI's model zoo."""
    return {
        "imports": ["$import glob", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "ct.nii.gz",
        "output_dir": "$@bundle_root + '/predictions'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            TARGET: "torch.export.unflatten",
            "module": {
                TARGET: "torch.export.load",
                "f": f"$@bundle_root + '/{PROGRAM}'",
            },
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {TARGET: "Compose", "transforms": preprocessing},
        "dataset": {
            TARGET: "Dataset",
            "data": "$[{'image': path} for path in sorted(glob.glob(@dataset_dir))]",
            "transform": "@preprocessing",
        },
        "dataloader": {TARGET: "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": inferer,
        "postprocessing": {TARGET: "Compose", "transforms": after},
        "handlers": [],
        "evaluator": {
            TARGET: "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def plain_metadata(metadata: Config) -> dict[str, Any]:
    """Return a package's metadata for a plain one: what it needs, and what it is."""
    return {
        **metadata,
        "required_packages_version": {package: installed(package) for package in NEEDED},
        "name": f"{metadata.get('name', metadata['task'])}, of MONAI's components alone",
    }
