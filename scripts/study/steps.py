"""The steps of a study's cell: commands that pretrain, derive data, train, evaluate and time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from scripts.bundle.config_files import find_shipped_files
from scripts.bundle.ids import all_ids, refuse_unknown_ids
from scripts.bundle.recipe import Recipe
from scripts.bundle.record import sha256_of
from scripts.study.choices import OWN, data_file
from scripts.study.declaration import Study
from scripts.study.further_data import Pretraining
from scripts.study.methods import Method, network_file, takes_encoder
from scripts.study.procedures import option_names, read_derivation, read_procedure
from scripts.study.sample_sources import (
    Source,
    pretraining_data_task,
)
from scripts.study.workshop import Task
from scripts.volumes.volume_files import files_of

EVERY_STAGE = "configs/handlers/every_stage.json"
SAME_SLICES = "configs/handlers/same_slices.json"
SETTINGS = "<here>/settings.json"
BATCHES = "max(1, -(-len(@train::dataset::data) // @batch_size))"
"""Updates of an epoch that takes each sample once."""


def _data_files(method: Method) -> list[str]:
    """Config files of both training and evaluation; other settings are in the model file."""
    return [] if method.data is None else [f"configs/data/{method.data}.json"]


def training_files(study: Study, method: Method) -> list[str]:
    """List the config files of a row's training, train.json first."""
    # the study's files come first, so that those of a method replace their loss or inferer
    files = [f"{study.bundle.folder}/configs/train.json", *study.files, *study.training_files]
    files += [f"configs/networks/{method.network}.json", *_data_files(method)]
    files.append(f"configs/strategies/{method.strategy}.json")
    if method.loss is not None:
        files.append(f"{study.bundle.losses}/{method.loss}.json")
    if method.optimiser is not None:
        files.append(f"configs/optimisers/{method.optimiser}.json")
    return [*files, EVERY_STAGE] if study.rows == "stages" else files


def merge(files: list[str]) -> Any:
    """Merge config files as MONAI does, macros resolved."""
    find_shipped_files()
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser.resolve_macro_and_relative_ids()
    return parser.config


def fitting(settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Select the settings whose ids are in a config."""
    ids = set(all_ids(config))
    return {name: value for name, value in settings.items() if name in ids}


def bundle_task(kind: str, name: str, run_id: str, config: str, parts: tuple[Any, ...]) -> Task:
    """Make a step of ``scripts.bundle run``; its inputs include merged config and weight file."""
    files, settings, needs, overrides = parts
    folder, stem = config.rsplit("/configs/", 1)
    recipe = Recipe(folder, (*files, SETTINGS))
    words = recipe.command(run_id, stem.removesuffix(".json"), **overrides, output_dir="<out>")
    made_of = {"config": merge([config, *files]), **_weight_file(overrides)}
    return Task(
        kind,
        name,
        tuple(words),
        needs,
        made_of,
        {"settings.json": settings},
        resumable=run_id == "training",
    )


def _weight_file(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of the file of encoder weights that a step reads, if it reads one."""
    file = Path(str(settings.get("encoder_weights", "")))
    return {"encoder_weights": sha256_of(file)} if file.is_file() else {}


def procedure_task(name: str, method: Method, seed: int, needs: tuple[Task, ...]) -> Task:
    """Make the step of a procedure; it needs prepared data, and a training if it takes a model."""
    procedure = read_procedure(name)
    of_command = option_names(procedure.command)
    settings = {key: value for key, value in method.settings.items() if key in of_command}
    model = "<need1>/model.pt" if len(needs) > 1 else None
    words = procedure.words(seed, settings, model=model)
    name = f"{method.name} {method.split} seed {seed}"
    replaces = "overwrite" in of_command  # a training may have been repeated since
    return Task("evaluations", name, tuple(words), needs, replaces=replaces)


def derived_task(
    study: Study, method: Method, seed: int, needs: tuple[Task, ...], known: set[str]
) -> Task:
    """Make the step that derives the data of a row; it needs prepared data, maybe a pretraining.

    Networks that it trains have the config files, settings and starting weights of the row, the
    settings and weights in the last file.
    """
    derivation = read_derivation(str(method.derived))
    data = method.data if derivation.data is None else derivation.data or None
    base = replace(method, data=data)
    config, *files = training_files(study, base)
    merged = merge([config, *files])
    of_command = option_names(derivation.command)
    options = {key: value for key, value in method.settings.items() if key in of_command}
    known.update(options)
    settings = _settings(study, method, merged, known)
    settings |= {"seed": seed, **_start(study, method, merged, pretrained=len(needs) > 1)}
    words = derivation.words(seed, options, bundle=study.bundle.folder, files=[*files, SETTINGS])
    made_of = {"config": merged, **_weight_file(settings)} if derivation.trains else {}
    return Task(
        "derived",
        f"{derivation.name} {network_name(method)} {method.split} seed {seed}",
        tuple(words),
        needs,
        made_of,
        {"settings.json": settings} if derivation.trains else {},
    )


def training_task(
    study: Study, method: Method, seed: int, needs: tuple[Task, ...], known: set[str]
) -> Task:
    """Make the training step; it needs prepared data and possibly a pretraining.

    Adds the ids of the settings that it uses to ``known``.
    """
    config, *files = training_files(study, method)
    merged = merge([config, *files])
    settings = _settings(study, method, merged, known)
    overrides = {"dataset_dir": "<need0>", "seed": str(seed)}
    overrides |= _start(study, method, merged, pretrained=len(needs) > 1)
    name = f"{network_name(method)} {method.strategy} {method.label} {method.split} seed {seed}"
    return bundle_task("trainings", name, "training", config, (files, settings, needs, overrides))


def _settings(study: Study, method: Method, merged: Any, known: set[str]) -> dict[str, Any]:
    """Return the settings of a training that its merged config has, and add their ids to known."""
    settings = fitting({**study.settings, **method.settings}, merged)
    known.update(settings)
    batches = "len(@train::dataloader)" if {"domains", "epoch_samples"} & merged.keys() else BATCHES
    return {**settings, "stage_epochs": stage_epochs(study.epochs, batches)}


def _start(study: Study, method: Method, merged: Any, *, pretrained: bool) -> dict[str, str]:
    """Return the ids by which a training gets its encoder and starting weights."""
    encoder = {} if method.encoder is None else {"encoder": method.encoder}
    if pretrained:
        return {**encoder, **study.pretrainings[method.weights].start()}
    if "encoder_weights" in merged:
        return {**encoder, "encoder_weights": method.weights}
    return encoder


def stage_epochs(epochs: Mapping[str, int], batches: str = BATCHES) -> int | str:
    """Return the epochs of a stage: a number, or an expression of the training's config.

    Updates are divided among the stages, and rounded to whole epochs: an epoch of whole volumes
    has fewer updates than one of their slices.

    Args:
        epochs: of the study.
        batches: expression of the number of updates in an epoch.
    """
    if "per_stage" in epochs:
        return epochs["per_stage"]
    if "total" in epochs:
        return f"$max(1, {epochs['total']} // len(@strategy['stages']))"
    return f"$max(1, round({epochs['updates']} / len(@strategy['stages']) / {batches}))"


def reads_volumes(method: Method) -> bool:
    """Return whether a method is evaluated on whole volumes instead of prepared slices."""
    if method.data is None:
        return False
    content = json.loads(data_file(method.data).read_text(encoding="utf-8"))
    return bool(content.get("samples_prefix"))


def mixes_units(study: Study) -> bool:
    """Return whether some methods are evaluated on volumes and others on slices.

    All of them are then evaluated on the same slices; also if some of the rows are run alone.
    """
    return len({reads_volumes(method) for method in (*study.methods, *study.left_out)}) > 1


def network_name(method: Method) -> str:
    """Name the network and encoder of a row."""
    return method.network if method.encoder is None else f"{method.network} {method.encoder}"


def evaluation_task(
    study: Study, method: Method, seed: int, needs: tuple[Task, Task], weights: str
) -> Task:
    """Make the evaluation step; ``weights`` is a path in the folder of the training."""
    config = f"{study.bundle.folder}/configs/evaluate.json"
    files = [*study.files, *_data_files(method), *method.evaluation_files]
    if study.rows == "stages":
        files.append(SAME_SLICES)
    settings = fitting({**study.settings, **method.settings}, merge([config, *files]))
    if reads_volumes(method) and mixes_units(study):
        settings["only_sampled_slices"] = True
    overrides = {
        "ckpt_path": f"<need0>/{weights}",
        "dataset_dir": "<need1>",
        "seed": str(seed),
        "overwrite": "true",  # of this step: one that was killed may have trained anew since
    }
    if method.split in study.bundle.untested:
        overrides["section"] = "validation"
    name = f"{network_name(method)} {method.strategy} {method.tested_label} {weights} seed {seed}"
    return bundle_task(
        "evaluations", name, "evaluating", config, (files, settings, needs, overrides)
    )


def timing_task(study: Study, method: Method, training: Task, engine: str, ct: Path) -> Task:
    """Make the step that predicts whole CTs with the network of a training, to time it.

    It is done again for other files at the same place, and not for the same ones elsewhere.
    """
    given = Task("prepared", "timed CT", made_of={"content": content_of(ct)}, given=ct)
    options = {"bundle": study.bundle.folder, "ckpt_path": "<need0>/model.pt", "source": "<need1>"}
    options |= {"output": "<out>", "engine": engine}
    words = ["-m", "scripts", "predict", *(w for k, v in options.items() for w in (f"--{k}", v))]
    return Task("timings", f"{network_name(method)} {engine}", tuple(words), (training, given))


@cache
def content_of(path: Path) -> str:
    """Return a SHA-256 of the files at a path, with their names below it; hidden ones apart.

    Args:
        path: a folder, or a file together with the voxel files that its header names.
    """
    inside = path if path.is_dir() else path.parent
    files = sorted(path.rglob("*")) if path.is_dir() else files_of(path)
    held = [
        (file.relative_to(inside).as_posix(), sha256_of(file))
        for file in files
        if file.is_file() and not file.name.startswith(".")
    ]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()


def weights_task(
    study: Study, source: Source, method: Method, seed: int, trained_on: Task
) -> tuple[Task, ...]:
    """Make the pretraining step of a method; none for other weights."""
    declared = study.pretrainings.get(method.weights)
    if declared is None:
        return ()
    data = pretraining_data_task(declared, source, seed) or trained_on
    return (pretraining_task(declared, method, seed, data),)


def pretraining_task(declared: Pretraining, method: Method, seed: int, data: Task) -> Task:
    """Make the step that pretrains for a method; methods with the same encoder share it."""
    own = [] if takes_encoder(method.network) else [network_file(method.network)]
    files = [*own, *declared.files]
    merged = merge([declared.config, *files])
    refuse_unknown_ids(merged, declared.settings)
    settings = dict(declared.settings)
    overrides = {"dataset_dir": "<need0>", "seed": str(seed)}
    if method.encoder is not None:
        overrides["encoder"] = method.encoder
    learner = method.encoder or method.network
    name = " ".join([*([] if declared.name == OWN else [declared.name]), learner, f"seed {seed}"])
    parts = (files, settings, (data,), overrides)
    run_id = "training" if declared.segments else "pretraining"
    return bundle_task("pretraining", name, run_id, declared.config, parts)
