"""Risk of dotted names, resolved in source text and loaded modules; nothing is imported.

A name can reach another package through a harmless one (``torch.os.system``), so the definition
it resolves to is judged.
"""

from __future__ import annotations

import builtins
import difflib
import sys
from functools import lru_cache

from scripts.audit.findings import HIGH, LEVELS, LOW, MEDIUM, PROBLEM, Sign
from scripts.audit.modules import (
    KNOWN,
    PROJECT,
    ROOT,
    Reader,
    component_names,
    component_of,
    follow_loaded,
    is_installed,
    is_ours,
    leads_to,
    missing_in_loaded,
    own_source,
    split_module,
    top_names,
)
from scripts.audit.rules import (
    DANGEROUS_MODULES,
    PLAIN_BUILTINS,
    is_internal,
    method_rule_of,
    rule_of,
)
from scripts.commands import COMMANDS

COMMAND_MODULES = {command.module for command in COMMANDS.values()}


class Names:
    """Judge of the dotted names in the configs of one bundle.

    Args:
        read: returns a Python file of the bundle by its path (``scripts/nets.py``), None if it
            does not exist. The bundle's modules come before this project's.
    """

    def __init__(self, read: Reader | None = None) -> None:
        self._read = read or (lambda path: None)
        self._judged: dict[tuple[str, bool], Sign] = {}

    def judge(self, name: str, *, target: bool = False) -> Sign:
        """Judge the effect of calling or importing a name.

        Args:
            name: dotted name as written.
            target: whether it is a ``_target_``, where MONAI's components need no module.
        """
        key = (name, target)
        if key not in self._judged:
            full = (component_of(name) if target else None) or name
            sign = _worst([self._own(full) or judge(full, target=target)])
            self._judged[key] = Sign(sign.level, sign.kind, name, sign.why)
        return self._judged[key]

    def source_of(self, name: str) -> tuple[bytes | None, list[str]]:
        """Return the source of the module that defines a name, and the rest of the name.

        A module of the bundle comes before one of this project; the source is None for any other.
        """
        module, rest = split_module(name, self._read)
        if module is not None:
            return self._read(module), rest
        module, rest = (
            split_module(name, own_source) if name.split(".")[0] in PROJECT else (None, [])
        )
        return (own_source(module) if module else None), rest

    def _own(self, name: str) -> Sign | None:
        """Judge a name whose module is in the bundle; None for any other."""
        module, rest = split_module(name, self._read)
        if module is None:
            return None
        source = self._read(module) or b""
        if is_ours(module, source):
            return judge(name)
        leads = leads_to(source, rest)
        if leads and leads != name:
            inner = self._own(leads) or judge(leads)
            if inner.level in (HIGH, MEDIUM):
                return Sign(inner.level, inner.kind, name, f"leads to {leads}: {inner.why}")
        return Sign(MEDIUM, "code", name, f"runs Python of the bundle: {module}")


@lru_cache(maxsize=4096)
def judge(name: str, *, target: bool = False) -> Sign:
    """Judge a name that is not in the bundle.

    Example:
        >>> judge("torch.os.system").kind, judge("torch.nn.L1Loss").level
        ('process', 'low')
    """
    signs = [sign for meaning in _meanings(name) if (sign := _of_meaning(name, meaning))]
    signs += [s for part in name.split(".")[1:] if (s := _internal(part)) is not None]
    if not signs:
        return _by_origin(name, target)
    worst = _worst(signs)
    why = worst.why if worst.what == name else f"leads to {worst.what}: {worst.why}"
    return Sign(worst.level, worst.kind, name, why)


def _of_meaning(name: str, meaning: str) -> Sign | None:
    """Judge one possible meaning of a name; without a rule, only one in another package."""
    rule = rule_of(meaning)
    is_foreign = meaning.partition(".")[0].lstrip("_") != name.partition(".")[0].lstrip("_")
    return rule or (_by_origin(meaning, False) if is_foreign else None)


def _worst(signs: list[Sign]) -> Sign:
    """Return the most serious of several."""
    return min(signs, key=lambda sign: LEVELS.index(sign.level))


def _internal(part: str) -> Sign | None:
    """Judge a later part of a dotted name by itself."""
    return method_rule_of(part) if is_internal(part) else None


def _meanings(name: str) -> list[str]:
    """List the possible meanings of a dotted name: as written, resolved, a module within it."""
    meanings = [name]
    parts = name.split(".")
    if len(parts) == 1 and hasattr(builtins, name):
        meanings.append(f"builtins.{name}")
    leads = ""
    if parts[0] in KNOWN or parts[0] in sys.stdlib_module_names:
        leads = follow_loaded(parts)
    elif parts[0] in PROJECT:
        leads = _project_name(name) or ""
    if leads:
        return [*meanings, leads]
    for index, part in enumerate(parts):
        if index and part.lstrip("_") in DANGEROUS_MODULES:
            meanings.append(".".join([part.lstrip("_"), *parts[index + 1 :]]))
    return meanings


def _by_origin(name: str, target: bool) -> Sign:
    """Judge a name without a rule by its package."""
    root = name.partition(".")[0]
    if "." not in name and name in PLAIN_BUILTINS:
        return Sign(LOW, "target", name, "builtin that only computes")
    if root == "builtins":
        level = LOW if name.partition(".")[2].split(".")[0] in PLAIN_BUILTINS else MEDIUM
        return Sign(level, "target", name, "builtin")
    if root in KNOWN:
        package = {"numpy": "NumPy", "torch": "PyTorch", "ignite": "ignite"}.get(root, "MONAI")
        if target and missing_in_loaded(name):
            return Sign(PROBLEM, "name", name, f"{package} has no component of this name")
        return Sign(LOW, "target", name, f"{package} component")
    if root in PROJECT and (ROOT / root).is_dir():
        return _of_project(name)
    if root in sys.stdlib_module_names:
        return Sign(MEDIUM, "import", name, "standard library, not in the table of risks")
    if is_installed(root):
        return Sign(MEDIUM, "import", name, "third-party package, not examined")
    if target and "." not in name:
        near = difflib.get_close_matches(name, component_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Sign(PROBLEM, "name", name, f"MONAI has no component of this name{hint}")
    return Sign(MEDIUM, "import", name, "not installed and not in the bundle: unknown code")


def _of_project(name: str) -> Sign:
    """Judge a name of this project by its source text."""
    module, rest = split_module(name, own_source)
    if module is None:
        return Sign(PROBLEM, "name", name, "this project has no such module")
    if module.removesuffix(".py").replace("/", ".") in COMMAND_MODULES:
        return Sign(HIGH, "write", name, "a whole command of this project: writes files")
    if rest and leads_to(own_source(module) or b"", rest) is None:
        near = difflib.get_close_matches(rest[0], top_names(own_source(module) or b""), n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return Sign(PROBLEM, "name", name, f"{module} has no {rest[0]}{hint}")
    return Sign(LOW, "target", name, "this project's component")


def _project_name(name: str) -> str | None:
    """Return the dotted name that a name of this project stands for."""
    module, rest = split_module(name, own_source)
    return leads_to(own_source(module) or b"", rest) if module and rest else None
