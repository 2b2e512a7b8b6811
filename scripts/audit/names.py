"""Where a dotted name leads, found from source text and loaded modules: nothing is imported.

A name may lead through a harmless package to another one (``torch.os.system``): what it leads to is
judged, not what it looks like.
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
    """Judge of dotted names, for one place that configs come from.

    Args:
        read: returns a Python file of the bundle by its path (``scripts/nets.py``), None where
            there is none; a bundle's own modules are judged by what it carries.
    """

    def __init__(self, read: Reader | None = None) -> None:
        self._read = read or (lambda path: None)
        self._judged: dict[tuple[str, bool], Sign] = {}

    def judge(self, name: str, *, target: bool = False) -> Sign:
        """Judge what calling or importing a name would do.

        Args:
            name: dotted, as it is written.
            target: whether it stands in a ``_target_``, where MONAI's components need no module.
        """
        key = (name, target)
        if key not in self._judged:
            full = (component_of(name) if target else None) or name
            sign = _worst([self._own(full) or judge(full, target=target)])
            self._judged[key] = Sign(sign.level, sign.kind, name, sign.why)
        return self._judged[key]

    def source_of(self, name: str) -> tuple[bytes | None, list[str]]:
        """Return the text of the module that a name is of, and the rest of the name.

        A module that the bundle carries comes before one of this project.
        """
        module, rest = split_module(name, self._read)
        if module is not None:
            return self._read(module), rest
        module, rest = (
            split_module(name, own_source) if name.split(".")[0] in PROJECT else (None, [])
        )
        return (own_source(module) if module else None), rest

    def _own(self, name: str) -> Sign | None:
        """Judge a name whose module the bundle carries."""
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
        return Sign(MEDIUM, "code", name, f"runs Python that the bundle brings: {module}")


@lru_cache(maxsize=4096)
def judge(name: str, *, target: bool = False) -> Sign:
    """Judge a name that no bundle carries.

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
    """Judge one thing that a name may lead to; a way out of its package counts without a rule."""
    rule = rule_of(meaning)
    leaves = meaning.partition(".")[0].lstrip("_") != name.partition(".")[0].lstrip("_")
    return rule or (_by_origin(meaning, False) if leaves else None)


def _worst(signs: list[Sign]) -> Sign:
    """Return the most serious of several."""
    return min(signs, key=lambda sign: LEVELS.index(sign.level))


def _internal(part: str) -> Sign | None:
    """Judge a later part of a dotted name by itself."""
    return method_rule_of(part) if is_internal(part) else None


def _meanings(name: str) -> list[str]:
    """List what a dotted name may lead to: itself, what it resolves to, a module hidden in it."""
    found = [name]
    parts = name.split(".")
    if len(parts) == 1 and hasattr(builtins, name):
        found.append(f"builtins.{name}")
    leads = ""
    if parts[0] in KNOWN or parts[0] in sys.stdlib_module_names:
        leads = follow_loaded(parts)
    elif parts[0] in PROJECT:
        leads = _project_name(name) or ""
    if leads:
        return [*found, leads]
    for index, part in enumerate(parts):
        if index and part.lstrip("_") in DANGEROUS_MODULES:
            found.append(".".join([part.lstrip("_"), *parts[index + 1 :]]))
    return found


def _by_origin(name: str, target: bool) -> Sign:
    """Judge a name that no rule names, by where it comes from."""
    root = name.partition(".")[0]
    if "." not in name and name in PLAIN_BUILTINS:
        return Sign(LOW, "target", name, "builtin that only computes")
    if root == "builtins":
        level = LOW if name.partition(".")[2].split(".")[0] in PLAIN_BUILTINS else MEDIUM
        return Sign(level, "target", name, "builtin")
    if root in KNOWN:
        package = {"numpy": "NumPy", "torch": "PyTorch", "ignite": "ignite"}.get(root, "MONAI")
        if target and missing_in_loaded(name):
            return Sign(PROBLEM, "name", name, f"{package} has nothing of this name")
        return Sign(LOW, "target", name, f"{package} component")
    if root in PROJECT and (ROOT / root).is_dir():
        return _of_project(name)
    if root in sys.stdlib_module_names:
        return Sign(MEDIUM, "import", name, "standard library, not in the table of risks")
    if is_installed(root):
        return Sign(MEDIUM, "import", name, "third-party package, not looked into")
    if target and "." not in name:
        near = difflib.get_close_matches(name, component_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return Sign(PROBLEM, "name", name, f"MONAI has nothing of this name{hint}")
    return Sign(MEDIUM, "import", name, "not installed and not in the bundle: unknown code")


def _of_project(name: str) -> Sign:
    """Judge a name of this project by its source."""
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
    """Return what a name of this project leads to."""
    module, rest = split_module(name, own_source)
    return leads_to(own_source(module) or b"", rest) if module and rest else None
