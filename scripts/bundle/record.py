"""Where a result comes from: command, seed, versions, revision, machine; a run as one file."""

from __future__ import annotations

import hashlib
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
from importlib import metadata
from pathlib import Path
from typing import Any

import fire
import monai.bundle
import torch
from monai.bundle.scripts import update_kwargs
from monai.utils import ensure_tuple
from monai.utils.misc import get_seed

from scripts.bundle.compose import META, compose, merge
from scripts.bundle.config_files import files_below
from scripts.bundle.ids import refuse_unknown_ids
from scripts.storage.files import write_json, write_text

__all__ = ["provenance", "record_config", "sha256_of", "write_json"]

PACKAGES = ("monai", "torch", "numpy", "pytorch-ignite", "SimpleITK")
RUN_ARGUMENTS = ("run_id", "init_id", "final_id", "meta_file", "logging_file", "tracking")


def provenance(**extra: Any) -> dict[str, Any]:
    """Describe this process for the record of a result.

    No user name, host name or environment variable is in it. ``seed`` is the one given to
    ``monai.utils.set_determinism``, null when none was; an extra entry of that name replaces it.

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
    """Return the words that start this process' program: python, or torchrun where it did."""
    processes = os.environ.get("LOCAL_WORLD_SIZE")
    if processes is None:
        return ["python"]
    return ["torchrun", "--standalone", f"--nproc_per_node={processes}"]


def _command() -> list[str]:
    """Return the words of this process' command, ``-m module`` as it was typed."""
    words = list(getattr(sys, "orig_argv", [sys.executable, *sys.argv]))
    return [Path(words[0]).name, *words[1:]]


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that results depend on; None for one not installed."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_revision(folder: Path) -> dict[str, Any]:
    """Return the revision of the checkout that holds this software.

    Args:
        folder: the root of the software; a checkout of something else around it does not count.

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
        said = getattr(error, "stderr", None) or str(error)
        return {"revision": None, "dirty": None, "reason": said.strip().splitlines()[0]}


def _git(folder: Path, *words: str) -> str:
    """Ask git about a folder."""
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def _cpu_model() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def sha256_of(path: str | Path) -> str:
    """Return a file's SHA-256 in hex, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class BundleRun:
    """What was asked of ``python -m monai.bundle run``.

    Args:
        arguments: of ``run`` itself: run_id, meta_file, logging_file ...
        config_file: the files that make the config, in order.
        overrides: ids given on the command line.
    """

    arguments: dict[str, Any]
    config_file: tuple[str, ...]
    overrides: dict[str, Any]

    @classmethod
    def of_command(cls, argv: Sequence[str]) -> BundleRun | None:
        """Read a command as MONAI and fire do; None when it is no ``monai.bundle run``.

        Args:
            argv: as ``sys.argv``: the module's file, then its arguments.
        """
        started = Path(argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py")
        if not started or len(argv) < 2 or argv[1] != "run":
            return None
        calls: list[inspect.BoundArguments] = []

        def capture(*words: Any, **options: Any) -> None:
            calls.append(inspect.signature(monai.bundle.run).bind(*words, **options))

        fire.Fire({"run": capture}, command=list(argv[1:]))
        given = dict(calls[0].arguments)
        given = update_kwargs(given.pop("args_file", None), **given.pop("override", {}), **given)
        arguments = {name: given.pop(name) for name in RUN_ARGUMENTS if name in given}
        return cls(arguments, ensure_tuple(given.pop("config_file")), given)

    def refuse_unknown_ids(self) -> None:
        """Stop where an override names an id that no config file has.

        MONAI makes a new id of a misspelt one, which nothing reads: the run would continue with the
        default. An argument may be added to a component (``network_def::width``).

        Raises:
            ValueError: naming the id and the nearest valid ones.
        """
        config = merge(self.config_file, files_below()).complete()
        refuse_unknown_ids(config, self.overrides, "--")

    def merged_config(self) -> dict[str, Any]:
        """Merge the files, the metadata and the overrides, and replace every ``%file::id``.

        References (``@id``) and expressions (``$...``) stay as they are.
        """
        metadata = {**self._of_folder(), **self.arguments}.get("meta_file")
        composition = compose(
            self.config_file,
            files_below(),
            metadata=() if metadata is None else ensure_tuple(metadata),
            overrides=self.overrides,
        )
        return {META: {}, **composition.complete()}

    def command(self, config_file: str | Path) -> str:
        """Return the command that runs one recorded file in place of what was merged."""
        words = [*_launcher(), "-m", "monai.bundle", "run"]
        run_id = self.arguments.get("run_id")
        words += [run_id] if run_id else []
        words += ["--config_file", str(config_file)]
        for name, value in {**self._of_folder(), **self.arguments}.items():
            if name != "run_id" and value is not None:
                words += [f"--{name}", str(value)]
        return shlex.join(words)

    def _of_folder(self) -> dict[str, str]:
        """Name the files that MONAI looks for in the first config file's folder."""
        folder = Path(self.config_file[0]).parent
        names = {"meta_file": "metadata.json", "logging_file": "logging.conf"}
        return {key: str(folder / f) for key, f in names.items() if (folder / f).is_file()}


def record_config(output_dir: str | Path, *, name: str = "run") -> dict[str, Any]:
    """Write the run that this process is as one self-contained config, and its provenance.

    ``<name>_config.json`` holds the merged config of ``python -m monai.bundle run ...``: from the
    repository's root, ``rerun`` in ``<name>_record.json`` starts the same run. A process that was
    started otherwise (Python API) has no such command: only the record is written and says so.

    Args:
        output_dir: where to write.
        name: the start of the files' names.

    Returns:
        What the record holds.
    """
    folder = Path(output_dir)
    run = BundleRun.of_command(sys.argv)
    config_path = folder / f"{name}_config.json"
    if run is None:
        reason = "not started as `python -m monai.bundle run`: no config files to merge"
        record = provenance(config=None, config_reason=reason, rerun=None)
    else:
        write_text(config_path, json.dumps(run.merged_config(), indent=4) + "\n")
        record = provenance(config=config_path.name, rerun=run.command(config_path))
    write_json(folder / f"{name}_record.json", record)
    return record
