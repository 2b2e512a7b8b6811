"""``python -m scripts audit``: what configs, or a bundle, would do, without running any of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from scripts.audit.bundle_contents import audit_contents
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
from scripts.audit.places import Archive, Disk, place_of
from scripts.audit.references import audit_files, audit_references, spoken_here, spoken_ids
from scripts.bundle.compose import Composition, compose
from scripts.bundle.config_files import Read, load
from scripts.storage.files import write_json
from scripts.storage.options import check_choice

CONFIGS = (".json", ".yaml", ".yml")
NO_CONFIG = ("metadata", "large_files", "data_license")
# what a config that cannot stand alone is an overlay of, in the model zoo
BENEATH = (("train",), ("train", "evaluate"), ("inference",), ("evaluate",))


def audit(
    *more: str,
    config: str | Sequence[str] = (),
    diff: str | Sequence[str] = (),
    fail_on: str = "problem",
    json: str | None = None,
    low: bool = True,
) -> None:
    """List what a config or a bundle would run, import, read, write or send, by risk.

    Nothing of it is evaluated, imported or unpacked. Ends with 0 where nothing is at or above
    ``fail_on``, 1 where something is, 2 where something cannot be read.

    Args:
        more: further files for ``config`` or ``diff``.
        config: config files, which are put together as ``monai.bundle run`` does; or a bundle's
            folder or zip, whose configs, Python and models are all looked at.
        diff: two configs to compare, each one file or several joined by commas.
        fail_on: high, medium (and high), or problem (anything but low).
        json: file to write the findings to as well.
        low: whether to print what is known and harmless, too.
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
    """Return what an option gives as a list; commas separate files as they do with MONAI."""
    if isinstance(given, str):
        whole = Path(given).exists() or "," not in given
        return [given] if whole else [part.strip(" '\"[]") for part in given.split(",")]
    return [str(one) for one in given]


def _entries(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [finding.as_dict() for finding in findings]


def _print_difference(sides: Sequence[str], json: str | None) -> list[Finding]:
    """Print how two configs differ; return what the second one adds."""
    if len(sides) != 2:
        raise ValueError(f"diff: must be two configs, got {len(sides)}: {', '.join(sides)}")
    changes, added = compare(*(tuple(side.split(",")) for side in sides))
    print(printable(difference_text(changes, added, sides)))
    if json is not None:
        write_json(json, {"files": sides, "changes": changes, "added": _entries(added)})
    return added


def audit_paths(paths: Sequence[str]) -> list[Finding]:
    """Audit configs that belong together, and every bundle by itself.

    Raises:
        FileNotFoundError: where there is no such bundle.
        ValueError: for a config that does not exist or cannot be read.
    """
    configs = [path for path in paths if path.lower().endswith(CONFIGS)]
    found: list[Finding] = []
    for path in paths:
        if path not in configs:
            found += audit_bundle(place_of(Path(path)))
    if configs:
        folder = Path(configs[0]).resolve().parent
        bundle = Disk(folder.parent if folder.name == "configs" else folder)
        place = Disk()
        made = compose(configs, place.read)
        spoken = spoken_here() | _spoken_beside(folder)
        try:
            found += audit_composition(made, Names(bundle.read_inside), spoken)
        except RecursionError as error:
            raise ValueError(f"{configs[0]}: nested too deeply to be looked into") from error
    return found


def audit_composition(
    made: Composition, names: Names, spoken: frozenset[str] = frozenset()
) -> list[Finding]:
    """Audit configs that were put together.

    Args:
        made: the configs.
        names: judge of names.
        spoken: ids that other configs of the same family refer to.
    """
    problems = [*audit_files(made), *audit_references(made, spoken), *audit_metrics(made)]
    return [*problems, *audit_components(made, names)]


def _spoken_beside(folder: Path) -> frozenset[str]:
    """Collect the ids that the other configs of a bundle refer to."""
    if folder.name != "configs":
        return frozenset()
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in CONFIGS]
    return _spoken({str(file): file.read_bytes() for file in files})


def _spoken(files: dict[str, bytes]) -> frozenset[str]:
    """Collect the ids that files refer to, those left out that are no configs."""
    loaded = []
    for name, content in files.items():
        try:
            loaded.append(load(name, content)[0])
        except ValueError:
            continue
    return spoken_ids(loaded)


def audit_bundle(place: Disk | Archive) -> list[Finding]:
    """Audit all that a bundle holds.

    Raises:
        ValueError: where it holds no config.
    """
    names = Names(place.read_inside)
    configs = [name for name in place.names() if _is_config(name)]
    if not configs:
        raise ValueError(f"{place.title}: holds no config (configs/*.json); is it a bundle?")
    spoken = spoken_here() | _spoken({name: place.read(name) or b"" for name in configs})
    found = audit_contents(place, names)
    for name in configs:
        try:
            ways = _ways(name, configs, place.read)
            tried = [audit_composition(made, names, spoken) for made in ways]
        except (ValueError, RecursionError) as error:
            tried = [[Sign(HIGH, "file", name, f"cannot be looked into: {error}").at(name, "")]]
        found += min(tried, key=_problems)
    return found


def _is_config(name: str) -> bool:
    """Whether a file of a bundle is a config."""
    path = PurePosixPath(name)
    inside = path.parent.name == "configs" or str(path.parent) == "."
    return inside and path.suffix.lower() in CONFIGS and path.stem not in NO_CONFIG


def _ways(name: str, configs: Sequence[str], read: Read) -> list[Composition]:
    """Put a config together alone and, where that leaves something open, upon others."""
    path = PurePosixPath(name)
    made = [compose([name], read)]
    for stems in BENEATH:
        below = [str(path.with_name(stem + path.suffix)) for stem in stems]
        if name not in below and all(one in configs for one in below):
            made.append(compose([*below, name], read))
    return made


def _problems(findings: Iterable[Finding]) -> int:
    """Count what does not fit together."""
    return sum(finding.level == "problem" for finding in findings)
