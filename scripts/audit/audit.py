"""``python -m scripts audit``: list what configs or a bundle would do, without running them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from scripts.audit.bundle_contents import audit_contents
from scripts.audit.bundle_files import BundleFiles, FolderFiles, open_bundle
from scripts.audit.components import audit_components
from scripts.audit.difference import compare, difference_text
from scripts.audit.findings import (
    HIGH,
    THRESHOLDS,
    Finding,
    Sign,
    at_or_above,
    by_risk,
)
from scripts.audit.listing import as_text, printable
from scripts.audit.metric_names import audit_metrics
from scripts.audit.names import Names
from scripts.audit.references import (
    audit_files,
    audit_references,
    references_in,
    references_of_project,
)
from scripts.bundle.compose import Composition, compose
from scripts.bundle.config_files import Read, load
from scripts.storage.files import write_json
from scripts.storage.options import check_choice

CONFIGS = (".json", ".yaml", ".yml")
NO_CONFIG = ("metadata", "large_files", "data_license")
# configs of the model zoo that an incomplete config is laid over
BASES = (("train",), ("train", "evaluate"), ("inference",), ("evaluate",))


def audit(
    *more: str,
    config: str | Sequence[str] = (),
    diff: str | Sequence[str] = (),
    fail_on: str = "problem",
    json: str | None = None,
    low: bool = True,
) -> None:
    """List what a config or a bundle would run, import, read, write or send, by risk.

    Nothing is evaluated, imported or unpacked. The exit status is 0 when no finding is at or above
    ``fail_on``, 1 when one is, and 2 when a file cannot be read.

    Args:
        more: further files for ``config`` or ``diff``.
        config: config files, composed as by ``monai.bundle run``; or a bundle's folder or zip,
            of which all configs, Python files and models are examined.
        diff: two configs to compare, each one file or several joined by commas.
        fail_on: high, medium (and high), or problem (anything but low).
        json: file to write the findings to as well.
        low: whether to print known, harmless findings too.

    Raises:
        SystemExit: with status 1, for findings at or above ``fail_on``.
        ValueError: for an unknown ``fail_on``, or unless one of ``config`` and ``diff`` is given.
    """
    check_choice("fail_on", fail_on, THRESHOLDS)
    first, second = (_listed(given) for given in (config, diff))
    if bool(first) == bool(second):
        raise ValueError("config: give --config FILE [FILE ...], a folder or a zip; or --diff A B")
    if second:
        findings = _print_difference([*second, *more], json)
    else:
        findings = by_risk(audit_paths([*first, *more]))
        print(as_text(findings, title=", ".join([*first, *more]), low=low))
        if json is not None:
            write_json(json, {"files": [*first, *more], "findings": _entries(findings)})
    if at_or_above(findings, fail_on):
        raise SystemExit(1)


def _listed(given: str | Sequence[str]) -> list[str]:
    """Return an option's files as a list; commas separate files, as in MONAI's options."""
    if isinstance(given, str):
        is_one = Path(given).exists() or "," not in given
        return [given] if is_one else [part.strip(" '\"[]") for part in given.split(",")]
    return [str(one) for one in given]


def _entries(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [finding.as_dict() for finding in findings]


def _print_difference(sides: Sequence[str], json: str | None) -> list[Finding]:
    """Print how two configs differ; return the findings of the second that the first lacks."""
    if len(sides) != 2:
        raise ValueError(f"diff: must be two configs, got {len(sides)}: {', '.join(sides)}")
    changes, added = compare(*(tuple(side.split(",")) for side in sides))
    print(printable(difference_text(changes, added, sides)))
    if json is not None:
        write_json(json, {"files": sides, "changes": changes, "added": _entries(added)})
    return added


def audit_paths(paths: Sequence[str]) -> list[Finding]:
    """Audit each bundle by itself, and all config files as one composed config.

    Raises:
        FileNotFoundError: when a bundle does not exist.
        ValueError: for a config that does not exist or cannot be read.
    """
    configs = [path for path in paths if path.lower().endswith(CONFIGS)]
    findings: list[Finding] = []
    for path in paths:
        if path not in configs:
            findings += audit_bundle(open_bundle(Path(path)))
    return [*findings, *_audit_configs(configs)] if configs else findings


def _audit_configs(configs: Sequence[str]) -> list[Finding]:
    """Audit config files composed into one."""
    folder = Path(configs[0]).resolve().parent
    bundle = FolderFiles(folder.parent if folder.name == "configs" else folder)
    composition = compose(configs, FolderFiles().read)
    referenced = references_of_project() | _references_in_folder(folder)
    try:
        return audit_composition(composition, Names(bundle.read_inside), referenced)
    except RecursionError as error:
        raise ValueError(f"{configs[0]}: nested too deeply to be examined") from error


def audit_composition(
    composition: Composition, names: Names, referenced: frozenset[str] = frozenset()
) -> list[Finding]:
    """Audit a composed config.

    Args:
        composition: the composed config.
        names: judge of names.
        referenced: ids that other configs of the bundle or the project refer to.
    """
    return [
        *audit_files(composition),
        *audit_references(composition, referenced),
        *audit_metrics(composition),
        *audit_components(composition, names),
    ]


def _references_in_folder(folder: Path) -> frozenset[str]:
    """Collect the ids that the configs in a bundle's ``configs`` folder refer to."""
    if folder.name != "configs":
        return frozenset()
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in CONFIGS]
    return _references_in({str(file): file.read_bytes() for file in files})


def _references_in(files: dict[str, bytes]) -> frozenset[str]:
    """Collect the ids that configs refer to; files that are not configs are skipped."""
    loaded = []
    for name, content in files.items():
        try:
            loaded.append(load(name, content)[0])
        except ValueError:
            continue
    return references_in(loaded)


def audit_bundle(files: BundleFiles) -> list[Finding]:
    """Audit the configs and all other files of a bundle.

    Raises:
        ValueError: when it has no config.
    """
    names = Names(files.read_inside)
    configs = [name for name in files.names() if _is_config(name)]
    if not configs:
        raise ValueError(f"{files.title}: holds no config (configs/*.json); is it a bundle?")
    contents = {name: files.read(name) or b"" for name in configs}
    referenced = references_of_project() | _references_in(contents)
    findings = audit_contents(files, names)
    for name in configs:
        try:
            compositions = _compositions(name, configs, files.read)
            audits = [audit_composition(one, names, referenced) for one in compositions]
        except (ValueError, RecursionError) as error:
            audits = [[Sign(HIGH, "file", name, f"cannot be examined: {error}").at(name, "")]]
        findings += min(audits, key=_count_problems)
    return findings


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


def _count_problems(findings: Iterable[Finding]) -> int:
    """Count the findings of level "problem"."""
    return sum(finding.level == "problem" for finding in findings)
