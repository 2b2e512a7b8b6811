"""Checks of a workflow's command before anything is built or downloaded, and its start."""

from __future__ import annotations

import ast
import runpy
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from scripts.bundle.components import why_not_built
from scripts.bundle.compose import Composition, compose, merge
from scripts.bundle.config_files import (
    Config,
    MissingError,
    files_below,
    find,
    find_shipped_files,
    references_of,
    walk,
)
from scripts.bundle.effects import check_effects
from scripts.bundle.ids import TRACKING_IDS, ArgumentCheck, refuse_unknown_ids
from scripts.bundle.overlays import refuse_unread
from scripts.bundle.record import BundleRun
from scripts.bundle.usable import check_usable
from scripts.bundle.values import Values, values_of
from scripts.running.memory import keep_freed_memory
from scripts.running.noise import silence_noise
from scripts.running.reasons import print_reason_last, reason_of
from scripts.storage.shipped import ROOT, shipped

TRAINER = "train::trainer"
NEEDED = {
    "training": TRAINER,
    "pretraining": TRAINER,
    "evaluating": "evaluator",
    "inferring": "evaluator",
}
"""What each workflow runs."""
ENTRIES = {"run_id": "run", "init_id": "initialize", "final_id": "finalize"}
"""Arguments of ``monai.bundle run`` that name an id to run -> its default."""


def check_run() -> None:
    """Check the command of this process, if it is ``monai.bundle run`` or ``run_workflow``.

    The first item of a config's ``run``. From here on, a failure ends with its reason as the last
    line. In training, whose tensors have the same sizes again and again, freed memory is kept.

    Raises:
        ValueError: for an override of an unknown id, with a value of another kind or without an
            effect, for None, for a device that is not there, or for a config of another workflow.
    """
    run = BundleRun.of_command(sys.argv)
    if run is None:
        return
    silence_noise()
    print_reason_last(partial(_reason, run))
    for name in run.dropped:
        refuse_none(name, "--")
    check_workflow(run.config_file, str(run.arguments.get("run_id", "run")))
    check_ids(run.config_file, run.overrides, "--")
    check_values(run.config_file, run.overrides, "--")
    entries = [run.arguments.get(key, own) for key, own in ENTRIES.items()]
    check_effects(run.composition, entries=entries, sign="--")
    check_usable(run.composition, "--")
    if any(NEEDED[name] == TRAINER for name in NEEDED.keys() & run.composition.config.keys()):
        keep_freed_memory()


def _reason(run: BundleRun, error: BaseException) -> str:
    """Return the reason why a run failed, with the place in its config files if they are it."""
    try:
        return why_not_built(error, run.composition) or reason_of(error)
    except ValueError:  # of the config, which is the error itself
        return reason_of(error)


def run_monai(words: Sequence[str]) -> None:
    """Run ``python -m monai.bundle WORDS`` in this process, as if it had been typed.

    MONAI and the record of the run read the command from ``sys.argv``. Files of ``configs/`` and
    ``bundles/`` are also found in the installation.
    """
    find_shipped_files()
    silence_noise()
    _trust_own(words)
    before, sys.argv = sys.argv, ["monai.bundle", *words]
    try:
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before


def _trust_own(words: Sequence[str]) -> None:
    """Silence MONAI's warning that a config may run code, for this software's own files."""
    files: list[str] = []
    with suppress(ValueError, IndexError, SyntaxError):  # named where MONAI reads it
        given = words[words.index("--config_file") + 1]
        files = ast.literal_eval(given) if given.startswith("[") else [given]
    if files and all(ROOT in shipped(file).resolve().parents for file in files):
        warnings.filterwarnings("ignore", "parsing config_file", UserWarning)


def refuse_none(name: str, sign: str = "") -> None:
    """Refuse None as the value of an override.

    Raises:
        ValueError: always; MONAI drops None, and the config's own value would be used silently.
    """
    raise ValueError(
        f"{sign}{name}: MONAI drops None and would use the config's own value; write none if "
        "that is meant, or leave it out"
    )


def check_ids(
    files: Sequence[str],
    overrides: Mapping[str, Any],
    sign: str = "",
    *,
    check_argument: ArgumentCheck | None = None,
) -> None:
    """Check that composed config files have every id that is overridden, or set by an overlay.

    Args:
        files: config files, in order.
        overrides: id -> value.
        sign: prefix of the ids on the command line, for messages.
        check_argument: see :func:`refuse_unknown_ids`.

    Raises:
        ValueError: for an unknown id, with the nearest valid ones.
    """
    refuse_unknown_ids(
        merge(files, files_below()).complete(),
        overrides,
        sign,
        check_argument=check_argument,
        of_training=_ids_of_training(files[0]),
    )
    refuse_unread(files, files_below())


def check_values(files: Sequence[str], overrides: Mapping[str, Any], sign: str = "") -> None:
    """Check the values of overrides and of overlays against the kinds of the bundle's own values.

    Args:
        files: config files, in order.
        overrides: id -> value, as fire reads it.
        sign: prefix of the ids on the command line, for messages.

    Raises:
        ValueError: naming the id, and the file if it is from an overlay.
    """
    values = values_of(files)
    for name, value in overrides.items():
        if name not in TRACKING_IDS and not name.startswith("+"):
            values.check(name, value, sign)
    _check_overlays(values, merge(files, files_below()))


def _check_overlays(values: Values, merged: Composition) -> None:
    """Check the values that overlays set for ids of the bundle's own config."""
    for id_ in dict.fromkeys(merged.written):
        file = merged.file_of(id_)
        if file == merged.files[0]:
            continue
        try:
            find(values.own, id_)
            value = find(merged.config, id_)
        except MissingError:
            continue
        values.check(id_, value, f"{file}: ")


def _ids_of_training(config: str) -> Config:
    """Return the training config of the bundle of a config; empty if there is none."""
    training = Path(config).with_name("train.json")
    if not training.is_file():
        return {}
    return merge([str(training)], files_below()).config


def check_workflow(files: Sequence[str], run_id: str) -> None:
    """Refuse config files that would run another workflow than the one that is asked for.

    Args:
        files: config files, in order.
        run_id: id to run; for ``run``, the workflow of the first file is meant.

    Raises:
        ValueError: naming the file that sets what runs.
    """
    composed = compose(files, files_below())
    config, first = composed.complete(), compose(files[:1], files_below()).config
    own = next((name for name in NEEDED if name in first), "")
    workflow = own if run_id == "run" else run_id
    if workflow not in NEEDED:
        return
    others = [name for name in NEEDED if name in config and name != workflow]
    if others:
        raise ValueError(
            f"config_file: {composed.file_of(others[0])} is a config for {others[0]}, which cannot "
            f"be used for {workflow}; leave it out"
        )
    entry, needed = run_id if run_id in config else "run", NEEDED[workflow]
    if needed in _reached(first, entry) and needed not in _reached(config, entry):
        file = composed.file_of("run" if config.get("run") == config[entry] else entry)
        raise ValueError(
            f"config_file: {workflow} runs {needed}, but {file} sets what runs to "
            f"{config[entry]!r}; leave it out"
        )


def _reached(config: Config, id_: str) -> set[str]:
    """Return the ids that an id's value refers to."""
    return {name for _, value in walk(config.get(id_)) for name in references_of(value)}
