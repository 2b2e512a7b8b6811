"""``python -m scripts audit``: list what configs or a bundle would do, without running them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from fire import decorators
from fire.parser import DefaultParseValue

from scripts.audit.bundle_contents import audit_contents
from scripts.audit.bundle_files import BundleFiles, FolderFiles, open_bundle
from scripts.audit.components import audit_components
from scripts.audit.difference import compare, difference_text
from scripts.audit.findings import (
    HIGH,
    LOW,
    MEDIUM,
    PROBLEM,
    THRESHOLDS,
    Finding,
    Sign,
    as_lines,
    as_text,
    at_or_above,
    by_risk,
    printable,
)
from scripts.audit.metric_names import audit_metrics
from scripts.audit.model_files import SUFFIXES, audit_model_file
from scripts.audit.names import Names
from scripts.audit.references import (
    audit_files,
    audit_references,
    references_in,
    references_of_project,
)
from scripts.audit.static_values import DATA, path_sign
from scripts.bundle.compose import META, Composition, compose
from scripts.bundle.config_files import Read, load, normalized
from scripts.running.options import check_choice, read_words
from scripts.storage.files import write_json

CONFIGS = (".json", ".yaml", ".yml")
NO_CONFIG = ("metadata", "large_files", "data_license")
POLICIES = ("report", "strict")
# configs of the model zoo that an incomplete config is laid over
BASES = (("train",), ("train", "evaluate"), ("inference",), ("evaluate",))
SCANS = (".dcm", ".nii", ".nii.gz", ".mhd", ".mha", ".nrrd", ".zip")


# fire would read `train#handlers` as Python, in which # begins a comment
@decorators.SetParseFn(str)
def audit(
    *more: str,
    config: str | Sequence[str] = (),
    diff: str | Sequence[str] = (),
    policy: str = "report",
    fail_on: str = "problem",
    json: str | None = None,
    low: bool = True,
) -> None:
    """List what a config or a bundle would run, import, read, write or send, by risk.

    Nothing is evaluated, imported or unpacked. What is not on the list of what a config may be is
    medium or high. The exit status is 0 when no finding is at or above ``fail_on``, 1 when one is,
    and 2 when a file cannot be read.

    Args:
        more: further files for ``config`` or ``diff``; or overrides ``id=value``, as for ``run``.
        config: config files, composed as by ``monai.bundle run``; or a bundle's folder or zip,
            of which all configs, Python files and models are examined.
        diff: two configs to compare, each one file or several joined by commas.
        policy: report (a list by risk) or strict (refuse all but low findings, one line each).
        fail_on: high, medium (and high), or problem (anything but low).
        json: file to write the findings to as well.
        low: whether to print known, harmless findings too.

    Raises:
        SystemExit: with status 1, for findings at or above ``fail_on``.
        ValueError: for an unknown ``fail_on`` or ``policy``, or unless one of ``config`` and
            ``diff`` is given.
    """
    check_choice("fail_on", fail_on, THRESHOLDS)
    check_choice("policy", policy, POLICIES)
    first, second = (list(read_words("config", given)) for given in (config, diff))
    if bool(first) == bool(second):
        raise ValueError("config: give --config FILE [FILE ...], a folder or a zip; or --diff A B")
    if second:
        findings = _print_difference([*second, *more], json)
    else:
        overrides = [word for word in more if "=" in word and not Path(word).exists()]
        files = [*first, *(word for word in more if word not in overrides)]
        findings = by_risk(audit_paths(files, _read_overrides(overrides)))
        title = ", ".join([*files, *overrides])
        strict = policy == "strict"
        print(as_lines(findings, title=title) if strict else as_text(findings, title, low=low))
        if json is not None:
            entries = [asdict(one) for one in findings]
            write_json(json, {"files": [*first, *more], "findings": entries})
    if at_or_above(findings, PROBLEM if policy == "strict" else fail_on):
        raise SystemExit(1)


def _read_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Read ``id=value`` words, values as on MONAI's command line."""
    pairs = [word.partition("=") for word in words]
    return {normalized(name.strip()): DefaultParseValue(value) for name, _, value in pairs}


def _print_difference(sides: Sequence[str], json: str | None) -> list[Finding]:
    """Print how two configs differ; return the findings of the second that the first lacks."""
    if len(sides) != 2:
        raise ValueError(f"diff: must be two configs, got {len(sides)}: {', '.join(sides)}")
    changes, added = compare(*(tuple(side.split(",")) for side in sides))
    print(printable(difference_text(changes, added, sides)))
    if json is not None:
        entries = [asdict(one) for one in added]
        write_json(json, {"files": sides, "changes": changes, "added": entries})
    return added


def audit_paths(paths: Sequence[str], overrides: dict[str, Any] | None = None) -> list[Finding]:
    """Audit each bundle by itself, and all config files as one composed config.

    Args:
        paths: bundles and config files.
        overrides: id -> value, laid over the config files.

    Raises:
        FileNotFoundError: when a bundle does not exist.
        ValueError: for a config that does not exist or cannot be read, or overrides of a bundle.
    """
    configs = [path for path in paths if path.lower().endswith(CONFIGS)]
    if overrides and not configs:
        raise ValueError(f"{next(iter(overrides))}: overrides need config files, got a bundle")
    findings: list[Finding] = []
    for path in paths:
        if path not in configs:
            findings += audit_bundle(open_bundle(Path(path)))
    return [*findings, *_audit_configs(configs, overrides or {})] if configs else findings


def _audit_configs(configs: Sequence[str], overrides: dict[str, Any]) -> list[Finding]:
    """Audit config files composed into one."""
    folder = Path(configs[0]).resolve().parent
    home = folder.parent if folder.name == "configs" else None
    try:
        composition = compose(configs, FolderFiles().read, overrides=overrides)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{', '.join(overrides)}: no such id in {', '.join(configs)}") from error
    composition.origins |= dict.fromkeys(overrides, "override")
    beside = [str(file) for file in folder.iterdir() if file.suffix in CONFIGS] if home else []
    referenced = _references_in(beside, FolderFiles().read)
    names = Names(FolderFiles(home or folder).read_inside)
    try:
        return audit_composition(composition, names, referenced, home)
    except RecursionError as error:
        raise ValueError(f"{configs[0]}: nested too deeply to be examined") from error


def audit_composition(
    composition: Composition,
    names: Names,
    referenced: frozenset[str] = frozenset(),
    home: Path | None = None,
) -> list[Finding]:
    """Audit a composed config.

    Args:
        composition: the composed config.
        names: judge of names.
        referenced: ids that other configs of the bundle or the project refer to.
        home: folder of the bundle, None for one in a zip.
    """
    return [
        *_own_folders(composition, home),
        *audit_files(composition, str(home.resolve()) if home else ""),
        *audit_references(composition, referenced),
        *audit_metrics(composition),
        *audit_components(composition, names),
    ]


def _own_folders(composition: Composition, home: Path | None) -> list[Finding]:
    """Judge the bundle's and the data's folder, which may be full paths if they are as they say.

    They are then replaced, in place, so that what is below them is not reported again.
    """
    findings = []
    for id_, short in (("bundle_root", "."), ("dataset_dir", DATA)):
        folder = composition.config.get(id_)
        if not isinstance(folder, str) or folder[:1] in ("$", "@", "%"):
            continue
        sign = path_sign(folder, written=id_ == "bundle_root")
        if sign.level == LOW:
            continue
        is_own = home is not None and folder == str(home.resolve())
        if not (is_own if id_ == "bundle_root" else _holds_scans(Path(folder))):
            findings.append(sign.at(composition.file_of(id_), id_))
        composition.config[id_] = short
    return findings


def _holds_scans(folder: Path) -> bool:
    """Whether a folder is a prepared data set, or has scans in it or one folder below."""
    if not folder.is_absolute() or any(part.startswith(".") for part in folder.parts):
        return False
    try:
        if (folder / "datalist.json").is_file():
            return True
        entries = [*islice(folder.glob("*"), 200), *islice(folder.glob("*/*"), 1000)]
    except OSError:
        return False
    return any(entry.name.lower().endswith(SCANS) for entry in entries)


def _references_in(files: Iterable[str], read: Read) -> frozenset[str]:
    """Collect the ids that configs refer to; files that are not configs are skipped."""
    loaded = []
    for name in files:
        with suppress(ValueError):
            loaded.append(load(name, read(name) or b"")[0])
    return references_of_project() | references_in(loaded)


def audit_bundle(files: BundleFiles) -> list[Finding]:
    """Audit the configs and all other files of a bundle.

    Raises:
        ValueError: when it has no config.
    """
    names = Names(files.read_inside)
    listed = [name for name in files.names() if name.lower().endswith(CONFIGS)]
    configs = [name for name in listed if _is_config(name)]
    if not configs:
        raise ValueError(f"{files.title}: holds no config (configs/*.json); is it a bundle?")
    referenced = _references_in(configs, files.read)
    home = files.folder if isinstance(files, FolderFiles) else None
    findings = audit_contents(files)
    for name in configs:
        try:
            compositions = _compositions(name, configs, files.read)
            audits = [audit_composition(one, names, referenced, home) for one in compositions]
        except (ValueError, RecursionError) as error:
            audits = [[Sign(HIGH, "file", name, f"cannot be examined: {error}").at(name, "")]]
        findings += min(audits, key=lambda found: sum(one.level == PROBLEM for one in found))
        findings += [one for found in audits for one in at_or_above(found, MEDIUM)]
    for name in listed:
        findings += [] if name in configs else _audit_other(files, name, names)
    return list(dict.fromkeys(findings))


def audit_run(files: BundleFiles) -> list[Finding]:
    """Return what running a bundle's configs with this project's modules would do beyond the list.

    Args:
        files: of the bundle; its Python is not run and not judged.

    Returns:
        High and medium findings in its configs and models, worst first.
    """
    names = Names()
    listed = [name for name in files.names() if name.lower().endswith(CONFIGS)]
    findings: list[Finding] = []
    for name in files.names():
        if name.lower().endswith(SUFFIXES):
            findings += [sign.at(name, "") for sign in audit_model_file(files, name)]
    for name in listed:
        if not _is_config(name):
            findings += _audit_other(files, name, names)
            continue
        try:
            findings += audit_composition(compose([name], files.read), names)
        except (ValueError, RecursionError) as error:
            findings.append(Sign(HIGH, "file", name, f"cannot be examined: {error}").at(name, ""))
    return at_or_above(by_risk(findings), MEDIUM)


def _audit_other(files: BundleFiles, name: str, names: Names) -> list[Finding]:
    """Judge what would run in a JSON or YAML file that is not a config, such as metadata."""
    with files.open(name) as file:
        content = file.read()
    if b"_target_" not in content and b"$" not in content:
        return []
    try:
        return audit_components(Composition((name,), {META: load(name, content)[0]}), names)
    except (ValueError, RecursionError) as error:
        return [Sign(HIGH, "file", name, f"cannot be examined: {error}").at(name, "")]


def _is_config(name: str) -> bool:
    """Whether a file of a bundle is a config."""
    path = PurePosixPath(name)
    inside = path.parent.name == "configs" or str(path.parent) == "."
    return inside and path.suffix.lower() in CONFIGS and path.stem not in NO_CONFIG


def _compositions(name: str, configs: Sequence[str], read: Read) -> list[Composition]:
    """Compose a config alone and laid over each base that the bundle has."""
    path = PurePosixPath(name)
    compositions = [compose([name], read)]
    for stems in BASES:
        base = [str(path.with_name(stem + path.suffix)) for stem in stems]
        if name not in base and all(one in configs for one in base):
            compositions.append(compose([*base, name], read))
    return compositions
