"""``python -m scripts run``: run a bundle's workflow, after a check of its overrides."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fire import decorators
from fire.parser import DefaultParseValue

from scripts.audit.arguments import check_argument, check_foreign_argument
from scripts.bundle.components import naming_faults
from scripts.bundle.compose import compose
from scripts.bundle.config_files import files_below, load
from scripts.bundle.ids import TRACKING_IDS
from scripts.bundle.launch import check_ids, check_values, check_workflow, refuse_none, run_monai
from scripts.bundle.values import Values, as_word, values_of
from scripts.running.options import read_words
from scripts.storage.shipped import shipped

CONFIG_OF = {
    "training": "train",
    "pretraining": "pretrain",
    "evaluating": "evaluate",
    "inferring": "inference",
}

FRESH = (
    "import runpy, sys; sys.path[0] = sys.argv.pop(1); "
    "runpy.run_module('monai.bundle', run_name='__main__', alter_sys=True)"
)


# fire would read `train#handlers` as Python, in which # begins a comment
@decorators.SetParseFn(str)
def run_bundle(
    run_id: str,
    *overrides: str,
    bundle: str,
    config_file: str | Sequence[str] = (),
    tracking: str | None = None,
) -> None:
    """Run a workflow of a bundle with ``monai.bundle run``, after a check that all ids exist.

    Args:
        run_id: training, pretraining, evaluating, inferring, or another id of a config.
        overrides: ``id=value``, nested ids as ``train#handlers#0#interval=2``; values as MONAI
            reads them on its own command line.
        bundle: the bundle's folder; if it contains Python modules, they come before this
            project's.
        config_file: files laid over the bundle's config, later ones win.
        tracking: as for ``monai.bundle run``, for example mlflow.

    Raises:
        FileNotFoundError: when the bundle does not exist.
        ValueError: for an unknown id, a value of another kind than that of the config, None, a
            config of another workflow, or a config that refers to a missing file or id.
    """
    named = Path(bundle)
    folder = shipped(named)
    given = dict(_split(str(word)) for word in overrides)
    config, config_id = find_config(folder, str(run_id))
    files = [str(config), *(str(shipped(f)) for f in read_words("config_file", config_file))]
    check = check_foreign_argument if brings_python(folder) else check_argument
    check_ids(files, given, check_argument=check)
    values = values_of(files)
    meant = {name: _meant(name, word, values) for name, word in given.items()}
    check_values(files, meant)
    check_workflow(files, str(run_id))
    composed = compose(files, files_below(), overrides=meant)
    words = ["run", config_id, "--config_file", repr(files)]
    words += [f"--{name}={_word(given[name], value)}" for name, value in meant.items()]
    words += [] if tracking is None else ["--tracking", tracking]
    if "bundle_root" not in given and _is_elsewhere(values.own.get("bundle_root"), named):
        words.append(f"--bundle_root={named}")
    with naming_faults(composed):
        _start(words, folder)


def _split(word: str) -> tuple[str, str]:
    """Split ``id=value``."""
    name, equals, value = word.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"overrides: must be id=value, got {word!r}")
    return name.strip(), value


def _meant(name: str, word: str, values: Values) -> Any:
    """Return the value that a word on the command line stands for.

    Raises:
        ValueError: for None, or a value of another kind than that of the config.
    """
    value = DefaultParseValue(word)
    if value is None:
        refuse_none(name)
    if name in TRACKING_IDS or name.startswith("+"):
        return value
    read = values.read(name, value)
    return word if isinstance(read, str) and not isinstance(value, str) else read


def _word(word: str, value: Any) -> str:
    """Return the word that MONAI reads as a value: the given one, if it is read so."""
    read = DefaultParseValue(word)
    return word if type(read) is type(value) and read == value else as_word(value)


def find_config(folder: Path, run_id: str) -> tuple[Path, str]:
    """Find the config of a bundle that belongs to a run id, and the id to run in it.

    In bundles of the model zoo every id is ``run``; there the file's name decides.

    Raises:
        FileNotFoundError: when the folder is not a bundle.
        ValueError: for an id that no config has, listing the valid ones.
    """
    if not (folder / "configs").is_dir():
        hint = "; unpack it first" if folder.is_file() else ""
        raise FileNotFoundError(f"bundle: must be a folder with configs/ in it, got {folder}{hint}")
    configs = _configs_of(folder)
    expected = CONFIG_OF.get(run_id)
    for path, content in configs.items():
        if path.stem == expected and (run_id in content or "run" in content):
            return path, run_id if run_id in content else "run"
    holding = [path for path, content in configs.items() if run_id in content]
    if len(holding) == 1 and run_id != "run":
        return holding[0], run_id
    valid = [name for name, stem in CONFIG_OF.items() if stem in {path.stem for path in configs}]
    raise ValueError(
        f"run_id: must be one of {', '.join(valid)} or an id of one config, got {run_id!r}, which "
        f"is in {', '.join(path.name for path in holding) or 'none'}"
    )


def _configs_of(folder: Path) -> dict[Path, Mapping[str, Any]]:
    """Read the configs of a bundle; other JSON files, such as a table of labels, are skipped.

    Raises:
        ValueError: when the config of a workflow cannot be read.
    """
    configs: dict[Path, Mapping[str, Any]] = {}
    for file in sorted((folder / "configs").iterdir()):
        if file.suffix.lower() in (".json", ".yaml", ".yml"):
            try:
                configs[file] = load(str(file), file.read_bytes())[0]
            except ValueError:
                if file.stem in CONFIG_OF.values():
                    raise
    return configs


def _is_elsewhere(root: Any, folder: Path) -> bool:
    """Whether a config's ``bundle_root`` is a path other than the bundle's folder."""
    is_path = isinstance(root, str) and root[:1] not in "$@%"
    return is_path and Path(root).resolve() != folder.resolve()


def brings_python(folder: Path) -> bool:
    """Whether a bundle contains Python modules."""
    return any(folder.glob("*.py")) or any(folder.glob("*/*.py"))


def _start(words: Sequence[str], folder: Path) -> None:
    """Start MONAI in this process, or in a new one where the bundle's modules come first."""
    if brings_python(folder):
        sys.stdout.flush()
        first_path = str(folder.resolve())
        os.execv(sys.executable, [sys.executable, "-c", FRESH, first_path, *words])
    run_monai(words)
