"""Provenance of results: command, seed, versions, revision, machine; the run's merged config."""

from __future__ import annotations

import inspect
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import fire
import monai.bundle
import torch
from monai.bundle.scripts import update_kwargs
from monai.utils import ensure_tuple
from monai.utils.misc import get_seed

from scripts.bundle.compose import META, Composition, compose
from scripts.bundle.config_files import files_below
from scripts.bundle.values import values_of
from scripts.storage.files import sha256_of, write_json, write_text
from scripts.storage.shipped import ROOT

__all__ = ["provenance", "record_config", "sha256_of", "write_json"]

PACKAGES = ("monai", "torch", "numpy", "pytorch-ignite", "SimpleITK")
# commands of monai.bundle that run a config -> what takes the overrides
COMMANDS = {"run": "override", "run_workflow": "kwargs"}
OF_PROCESS = ("command", "time", "versions", "git", "platform", "cpu", "processes", "device")
"""Entries of :func:`provenance` that say who made a result, not what it is."""
OF_WORKFLOW = ("workflow_name", "workflow_type", "properties_path")  # of run_workflow alone
CONFIG_WORKFLOW = (None, "ConfigWorkflow", "monai.bundle.ConfigWorkflow")
RUN_ARGUMENTS = ("run_id", "init_id", "final_id", "meta_file", "logging_file", "tracking")


def provenance(**extra: Any) -> dict[str, Any]:
    """Describe this process for the record of a result.

    It contains no user name, host name or environment variable. ``seed`` is the one given to
    ``monai.utils.set_determinism``, or null; an extra entry of that name replaces it.

    Args:
        extra: further entries, for example ``split="patient"``.

    Example:
        >>> sorted(provenance(label="ball"))[:4]
        ['command', 'cpu', 'device', 'git']
    """
    record = {
        "command": shlex.join(_command()),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seed": get_seed(),
        "versions": {"python": platform.python_version(), **versions()},
        "git": git_revision(Path(__file__).resolve().parents[2]),
        "platform": platform.platform(),
        "cpu": {"model": _cpu_model(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
    return {**record, **extra}


def _launcher() -> list[str]:
    """Return the start of a command line: python, or torchrun if it started this process."""
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    if processes is None:
        return ["python"]
    return ["torchrun", "--standalone", f"--nproc_per_node={processes}"]


def _command() -> list[str]:
    """Return this process' command line as typed, including ``-m module``."""
    arguments = list(getattr(sys, "orig_argv", [sys.executable, *sys.argv]))
    return [Path(arguments[0]).name, *arguments[1:]]


def versions() -> dict[str, str | None]:
    """Return the versions of packages that results depend on; None for one not installed."""
    by_package: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            by_package[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            by_package[package] = None
    return by_package


def git_revision(folder: Path) -> dict[str, Any]:
    """Return the git revision of this software.

    Args:
        folder: root of the software; a checkout of another project around it does not count.

    Returns:
        ``revision`` (40 hex digits) and ``dirty`` (whether tracked files were changed); both None,
        with ``reason``, outside a checkout.
    """
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if Path(top).resolve() != folder.resolve():
            return {"revision": None, "dirty": None, "reason": "not in a checkout of this software"}
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        return {"revision": _git(folder, "rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError) as error:
        message = getattr(error, "stderr", None) or str(error)
        return {"revision": None, "dirty": None, "reason": message.strip().splitlines()[0]}


def _git(folder: Path, *arguments: str) -> str:
    """Return the output of a git command in a folder."""
    command = ["git", "-C", str(folder), *arguments]
    completed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return completed.stdout.strip()


def _cpu_model() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class BundleRun:
    """Arguments of ``python -m monai.bundle run``, or ``run_workflow`` of a config.

    Args:
        arguments: arguments of ``run`` itself: run_id, meta_file, logging_file ...
        config_file: config files, in order.
        overrides: ids overridden on the command line -> values.
        dropped: ids with the value None, which MONAI ignores.
    """

    arguments: dict[str, Any]
    config_file: tuple[str, ...]
    overrides: dict[str, Any]
    dropped: tuple[str, ...] = ()

    @classmethod
    def of_command(cls, argv: Sequence[str]) -> BundleRun | None:
        """Parse a command line as MONAI and fire do; None if it does not run a config.

        Args:
            argv: as ``sys.argv``: the module's file, then its arguments.
        """
        is_bundle = Path(argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py")
        if not is_bundle or len(argv) < 2 or argv[1] not in COMMANDS:
            return None
        called, rest = getattr(monai.bundle, argv[1]), COMMANDS[argv[1]]
        calls: list[inspect.BoundArguments] = []

        def capture(*positional: Any, **options: Any) -> None:
            calls.append(inspect.signature(called).bind(*positional, **options))

        fire.Fire({argv[1]: capture}, command=list(argv[1:]))
        given = dict(calls[0].arguments)
        dropped = tuple(name for name, value in given.get(rest, {}).items() if value is None)
        given = update_kwargs(given.pop("args_file", None), **given.pop(rest, {}), **given)
        if given.get("workflow_name") not in CONFIG_WORKFLOW:
            return None
        for name in OF_WORKFLOW if argv[1] != "run" else ():
            given.pop(name, None)
        arguments = {name: given.pop(name) for name in RUN_ARGUMENTS if name in given}
        return cls(arguments, ensure_tuple(given.pop("config_file")), given, dropped)

    def merged_config(self) -> dict[str, Any]:
        """Merge the files, the metadata and the overrides, and replace all macros (``%file::id``).

        References (``@id``) and expressions (``$...``) are kept. Overrides are those that were
        meant: ``false``, which MONAI passes on as text, is a boolean.
        """
        return {META: {}, **self.composition.complete()}

    @cached_property
    def composition(self) -> Composition:
        """The files, the metadata and the overrides, composed; not to be changed."""
        values = values_of(self.config_file)
        metadata = {**self._files_of_folder(), **self.arguments}.get("meta_file")
        return compose(
            self.config_file,
            files_below(),
            metadata=() if metadata is None else ensure_tuple(metadata),
            overrides={name: values.read(name, one) for name, one in self.overrides.items()},
        )

    def command(self, config_file: str | Path) -> str:
        """Return the command that repeats the run with its merged config in one file."""
        command = [*self._own_modules(), *_launcher(), "-m", "monai.bundle", "run"]
        run_id = self.arguments.get("run_id")
        command += [run_id] if run_id else []
        command += ["--config_file", str(config_file)]
        for name, value in {**self._files_of_folder(), **self.arguments}.items():
            if name != "run_id" and value is not None:
                command += [f"--{name}", str(value)]
        return shlex.join(command)

    def _own_modules(self) -> list[str]:
        """Return what lets Python find a package's modules: MONAI adds the folder of its config.

        The merged config lies elsewhere. Empty where the modules are found without.
        """
        folder = Path(self.config_file[0]).resolve().parent
        folder = folder.parent if folder.name == "configs" else folder
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        if folder != ROOT or ROOT in [Path(path).resolve() for path in (os.getcwd(), *paths)]:
            return []
        return ["env", f"PYTHONPATH={os.pathsep.join([str(ROOT), *paths])}"]

    def _files_of_folder(self) -> dict[str, str]:
        """Return the paths of the files that MONAI reads from the first config file's folder."""
        folder = Path(self.config_file[0]).parent
        names = {"meta_file": "metadata.json", "logging_file": "logging.conf"}
        return {key: str(folder / f) for key, f in names.items() if (folder / f).is_file()}


def record_config(output_dir: str | Path, *, name: str = "run", **extra: Any) -> dict[str, Any]:
    """Write the config of this run as one self-contained file, and its provenance.

    ``<name>_config.json`` contains the merged config of ``python -m monai.bundle run ...``. The
    command ``rerun`` in ``<name>_record.json`` repeats the run from the same folder. For a
    process that was not started with this command, only the record is written, with the reason.

    Args:
        output_dir: folder to write to.
        name: prefix of the file names.
        extra: further entries of the record.

    Returns:
        Content of the record.
    """
    folder = Path(output_dir)
    run = BundleRun.of_command(sys.argv)
    config_path = folder / f"{name}_config.json"
    if run is None:
        reason = "not started as `python -m monai.bundle run`: no config files to merge"
        record = provenance(config=None, config_reason=reason, rerun=None, **extra)
    else:
        write_text(config_path, json.dumps(run.merged_config(), indent=4) + "\n")
        record = provenance(config=config_path.name, rerun=run.command(config_path), **extra)
    write_json(folder / f"{name}_record.json", record)
    return record
