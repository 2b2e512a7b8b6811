"""The manifest of a study's folder: provenance and a list of its files.

It contains no patient data: sources are identified by hash, the user's files and folders by the
last part of their paths at most, and the command is recorded without paths.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.prediction.members.agreement import AGREEMENT
from scripts.prediction.predict_options import Options
from scripts.prediction.result import DICOM_OBJECTS, SECOND_STAGE, Prediction
from scripts.prediction.sources.inventory import Source
from scripts.prediction.stopwatch import parts_of
from scripts.prediction.writing.products import DICOM, PRODUCTS
from scripts.storage.files import read_json, sha256_of, write_json

if TYPE_CHECKING:
    from scripts.prediction.network.model import Model

NAME = "manifest.json"
MADE_BY = "python -m scripts predict"


def fingerprint(model: Model, digest: str, engine: str | None = None) -> str:
    """Hash everything that determines a study's results: source, weights, bundle, options.

    Args:
        model: the bundle with its options.
        digest: of the source's content.
        engine: another one than the model's.
    """
    return mark_of(identity(model, engine), digest)


def mark_of(settings: Mapping[str, Any], digest: str) -> str:
    """Hash the settings of :func:`identity` with the hash of a source's content."""
    parts = {**settings, "source": digest}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def acceptable_identities(model: Model) -> list[dict[str, Any]]:
    """Return the model's :func:`identity`, then others whose results need not be made again.

    The engine ``auto`` keeps what either of the engines that it chooses from has computed.
    """
    own = model.engine.name
    others = sorted(name for name in model.engine.acceptable if name != own)
    return [identity(model, engine) for engine in (own, *others)]


def identity(model: Model, engine: str | None = None) -> dict[str, Any]:
    """Return what determines the results besides the source: weights, bundle, options.

    Args:
        model: the bundle with its options.
        engine: another one than the model's.
    """
    parts: dict[str, Any] = {
        "weights": [checkpoint.sha256 for checkpoint in model.checkpoints],
        "config": model.config_sha256,
        "metadata": model.metadata,
        "flips": model.options.flips,
        "engine": engine or model.engine.name,
        "products": model.options.products,
    }
    usual = Options(model.options.bundle)
    if model.options.geometry != usual.geometry:
        parts["geometry"] = model.options.geometry
    if model.options.candidate_threshold is not None:
        parts["candidate_threshold"] = model.options.candidate_threshold
    if set(model.options.products) & set(DICOM):
        chosen = {"seg": model.options.seg, "dicom_lesions": model.options.dicom_lesions}
        parts |= {key: value for key, value in chosen.items() if value != getattr(usual, key)}
    if model.reducer is not None:
        parts[SECOND_STAGE] = model.reducer.record()
    if model.passes > 1:
        limit = model.options.agreement
        parts[AGREEMENT] = "without limit" if limit is None else sha256_of(limit)
    if model.options.suspicion is not None:
        parts["suspicion"] = sha256_of(model.options.suspicion)
    return parts


def read_manifest(folder: Path, made_by: str = MADE_BY) -> dict[str, Any] | None:
    """Read the manifest of a study's folder; None if this command did not write one."""
    try:
        content = read_json(folder / NAME)
    except (OSError, ValueError):
        return None
    return content if content.get("made_by") == made_by else None


def is_ours(folder: Path, made_by: str = MADE_BY) -> bool:
    """Whether a command may replace a study's folder: it wrote it, or its manifest is damaged."""
    if read_manifest(folder, made_by) is not None:
        return True
    try:
        names = {path.name for path in folder.iterdir()}
        read_json(folder / NAME)
    except OSError:
        return False
    except ValueError:
        products = {name for product in PRODUCTS.values() for name in product.files}
        return names <= {NAME, *products}
    return False


def is_finished(folder: Path, marks: Collection[str]) -> bool:
    """Whether a folder is complete: all files of a run with one of these fingerprints are there."""
    manifest = read_manifest(folder)
    if manifest is None or manifest.get("fingerprint") not in marks:
        return False
    try:
        files = [(folder / file["name"], file["sha256"]) for file in manifest["files"]]
    except (KeyError, TypeError):  # changed by hand: made anew
        return False
    lists = all(isinstance(manifest.get(key), list) for key in ("warnings", "segments"))
    return (
        bool(files)
        and lists
        and all(path.is_file() and sha256_of(path) == known for path, known in files)
    )


def facts_of(model: Model, warnings: tuple[str, ...]) -> dict[str, Any]:
    """Describe the model and its classes, for all products."""
    hashes = [checkpoint.sha256 for checkpoint in model.checkpoints]
    return {
        "bundle": model.metadata.get("name", model.options.bundle.resolve().name),
        "version": model.metadata.get("version", "unknown"),
        "metadata": model.metadata,
        "weights_sha256": hashes[0] if len(hashes) == 1 else hashes,
        "config_sha256": model.config_sha256,
        "looked_for": [rule.kind for rule in model.segments],
        "lesion_kinds": [rule.kind for rule in model.segments if rule.numbered],
        "window_hu": model.window_hu,
        "warnings": list(warnings),
        "assisted": model.assisted,
    }


def record_of(model: Model) -> dict[str, Any]:
    """Return what the manifest states of the model, after a study was predicted with it."""
    return {
        "weights": [vars(checkpoint) for checkpoint in model.checkpoints],
        "config_sha256": model.config_sha256,
        "options": model.options.record(),
        "device": str(model.device),
        "engine": model.engine.record(),
    }


def write_manifest(
    folder: Path, prediction: Prediction, model: Mapping[str, Any], **made: Any
) -> None:
    """Write the manifest, the last file of a study's folder.

    Args:
        folder: of the study, with all products.
        prediction: of the study.
        model: of :func:`record_of`.
        made: fingerprint, source, seconds, peak_memory_mb, provenance; entries of another command
            than predict.
    """
    files = sorted(path for path in folder.iterdir() if path.name != NAME)
    size = prediction.mask.shape[::-1]
    content = {
        "made_by": MADE_BY,
        "study": prediction.study,
        "warnings": prediction.facts["warnings"],
        "bundle": {key: prediction.facts[key] for key in ("bundle", "version")},
        **model,
        "size_xyz": list(size),
        "spacing_mm": prediction.spacing_mm,
        "resampled": None if prediction.stack is None else prediction.stack.record(),
        "segments": [vars(segment) for segment in prediction.segments],
        **{
            key: prediction.facts[key]
            for key in (SECOND_STAGE, DICOM_OBJECTS, AGREEMENT)
            if key in prediction.facts
        },
        "files": [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path in files
        ],
        **made,
        "parts": parts_of(made["seconds"]),
    }
    write_json(folder / NAME, content)


def source_record(source: Source, digest: str) -> dict[str, Any]:
    """Describe a source without its name."""
    left_out = dict(sorted(source.left_out.items()))
    files = len(source.files)
    return {"kind": source.kind, "files": files, "left_out": left_out, "digest": digest}


@lru_cache(maxsize=4)
def nameless_provenance(options: Options) -> dict[str, Any]:
    """Return the provenance of this process; paths of the command are left out.

    Computed once per process, so ``time`` is when its first study was finished.
    """
    # not above: it imports MONAI, which the process that writes studies does without
    from scripts.bundle.record import provenance

    return provenance(command=command_of(options))


def command_of(options: Options) -> str:
    """Return the command with SOURCE and OUTPUT in place of the user's paths.

    Example:
        >>> command_of(Options(Path("bundles/liver_ct_segmentation"), flips=("x", "y")))[-43:]
        '--source SOURCE --output OUTPUT --flips x,y'
    """
    record = options.record()
    words = [*MADE_BY.split(), "--bundle", record["bundle"], "--source", "SOURCE"]
    words += ["--output", "OUTPUT"]
    lists = {
        "config_file": record["config_files"],
        "ckpt_path": record["checkpoints"],
        "flips": options.flips,
    }
    for name, values in lists.items():
        words += [f"--{name}", ",".join(values)] if values else []
    single = {
        "threshold": options.threshold,
        "candidate_threshold": options.candidate_threshold,
        "reduce": Path(options.reduce).name,
        "agreement": options.agreement and options.agreement.name,
        "device": options.device,
    }
    for name, value in single.items():
        words += [f"--{name}", str(value)] if value else []
    words += [] if options.check_hu else ["--check_hu", "false"]
    if options.engine != Options(options.bundle).engine:
        words += ["--engine", options.engine]
    usual = Options(options.bundle)
    for name in ("geometry", "seg", "dicom_lesions"):
        if getattr(options, name) != getattr(usual, name):
            words += [f"--{name}", str(getattr(options, name))]
    if options.products != Options(options.bundle).products:
        words += ["--products", ",".join(options.products)]
    return shlex.join(words)
