"""Audit of ``$`` expressions by their syntax trees; nothing is evaluated."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from typing import Any

from monai.bundle import ReferenceResolver

from scripts.audit.findings import HIGH, LOW, MEDIUM, PROBLEM, Sign
from scripts.audit.names import Names
from scripts.audit.rules import is_internal, method_rule_of

# names that MONAI makes available in every expression
GIVEN = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
REFERENCES = "__local_refs"
LONGEST = 10_000
ADDRESS = re.compile(r"\b(?:https?|ftps?|sftp|file|s3|gs|ssh|hf|git)(?:\+\w+)?://", re.IGNORECASE)
INSIDE = re.compile(r"__\w+__")


def audit_expression(text: str, names: Names, imports: Mapping[str, str]) -> list[Sign]:
    """List the signs of risk in an expression.

    A dangerous function counts wherever it is mentioned, called or not, because it could be called
    under another name.

    Args:
        text: the expression with its ``$``.
        names: judge of dotted names.
        imports: names imported by the config -> the dotted names they stand for.

    Returns:
        Signs above low, each once; one low sign when there are none.

    Example:
        >>> audit_expression("$__import__('os').system('ls')", Names(), {})[0].level
        'high'
    """
    # the quotes of a reference would end an f-string around it
    code = re.sub(rf"{REFERENCES}\['[\w:]*'\]", REFERENCES, plain_code(text))
    if len(code) > LONGEST:
        return [
            Sign(HIGH, "expression", text[:60], f"longer than {LONGEST} characters: not examined")
        ]
    try:
        tree = ast.parse(code)
    except (RecursionError, MemoryError):
        return [Sign(HIGH, "expression", text, "nested too deeply to be examined")]
    except (SyntaxError, ValueError) as error:
        why = f"cannot be parsed as Python of this version: {error}"
        return [Sign(HIGH, "expression", text, why)]
    if tree.body and isinstance(tree.body[0], (ast.Import, ast.ImportFrom)):
        return _audit_import(text, tree, names)
    signs = [] if _is_one_expression(tree) else [_not_one(text)]
    signs += CodeAudit(names, {**GIVEN, **imports}, tree).signs()
    risky = list(dict.fromkeys(sign for sign in signs if sign.level != LOW))
    return risky or [Sign(LOW, "expression", text, "computes with known functions")]


def plain_code(text: str) -> str:
    """Return an expression's code, with references replaced as by MONAI.

    Example:
        >>> plain_code("$@net#lr * 2")
        "__local_refs['net::lr'] * 2"
    """
    code = ReferenceResolver.normalize_id(text)[1:].strip()
    matcher = ReferenceResolver.id_matcher
    plain: str = matcher.sub(lambda match: f"{REFERENCES}[{match.group()[1:]!r}]", code)
    return plain


def imported_names(text: str) -> dict[str, str]:
    """Return the names that an import statement defines in a config; empty for an expression.

    Example:
        >>> imported_names("$from os import system as s"), imported_names("$1 + 1")
        ({'s': 'os.system'}, {})
    """
    try:
        tree = ast.parse(plain_code(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return dict(_imports_of(tree)[:1])


def _imports_of(tree: ast.Module) -> list[tuple[str, str]]:
    """List the names that an import defines in MONAI, and the dotted names they stand for."""
    node = tree.body[0] if tree.body else None
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name, alias.name) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(a.asname or a.name, f"{node.module or ''}.{a.name}") for a in node.names]
    return []


def _audit_import(text: str, tree: ast.Module, names: Names) -> list[Sign]:
    """Judge an import statement, which MONAI runs at any position in a config."""
    imports = _imports_of(tree)
    signs = []
    for _, name in imports:
        sign = names.judge(name)
        kind = sign.kind if sign.level == HIGH else "import"
        signs.append(Sign(sign.level, kind, text, f"imports {name}: {sign.why}"))
    if len(imports) > 1 or len(tree.body) > 1:
        signs.append(Sign(PROBLEM, "import", text, "MONAI imports only the first of these names"))
    return [sign for sign in signs if sign.level != LOW] or signs


def _is_one_expression(tree: ast.Module) -> bool:
    return len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr)


def _not_one(text: str) -> Sign:
    return Sign(PROBLEM, "expression", text, "is not an expression: eval refuses it")


class CodeAudit:
    """Judges the nodes of an expression or a Python file.

    Args:
        names: judge of dotted names.
        imports: names known in the code -> the dotted names they stand for.
        tree: syntax tree of the code.
    """

    def __init__(self, names: Names, imports: Mapping[str, str], tree: ast.AST) -> None:
        self.names = names
        self.imports = imports
        self.tree = tree
        self.bound = set(_bound_names(tree))
        self.called = {id(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
        inner = [n.value for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
        self.inner = {id(node) for node in inner if isinstance(node, (ast.Attribute, ast.Name))}

    def signs(self) -> Iterator[Sign]:
        """Judge every node."""
        for node in ast.walk(self.tree):
            yield from self.signs_of(node)

    def signs_of(self, node: ast.AST) -> Iterator[Sign]:
        """Judge one node."""
        if isinstance(node, (ast.Name, ast.Attribute)):
            if id(node) not in self.inner:
                yield from self._name(node)
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                yield Sign(MEDIUM, "code", ast.unparse(node), "changes an attribute")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _text(node.value)

    def _name(self, node: ast.Name | ast.Attribute) -> Iterator[Sign]:
        """Judge a name with its attributes."""
        base, attributes = _chain(node)
        sign = None
        if isinstance(base, ast.Name) and base.id != REFERENCES:
            sign = self._known_name(base.id, attributes, self.called.get(id(node)))
        if sign is not None:
            yield sign
        if sign is not None and sign.level in (HIGH, MEDIUM):
            return
        for attribute in attributes:
            rule = method_rule_of(attribute)
            if rule is not None:
                yield Sign(rule.level, rule.kind, f".{attribute}", rule.why)
        if attributes[-1:] in (["format"], ["format_map"]) and folded(base) is None:
            yield Sign(MEDIUM, "code", f".{attributes[-1]}", "formats a text built at run time")

    def _known_name(self, base: str, attributes: list[str], call: ast.Call | None) -> Sign | None:
        """Judge a dotted name; one that the code itself defines only if it shadows a risky one."""
        full = self._full_name(base)
        if full is None:
            missing = Sign(PROBLEM, "name", base, "this name is neither imported nor defined")
            return None if base in self.bound else missing
        dotted = ".".join([full, *attributes])
        sign = refine(self.names.judge(dotted), dotted, call)
        return None if base in self.bound and sign.level != HIGH else sign

    def _full_name(self, name: str) -> str | None:
        """Return the dotted name that a name stands for; None for an undefined one."""
        if name in self.imports:
            return self.imports[name]
        is_builtin = hasattr(builtins, name) or is_internal(name)
        return f"builtins.{name}" if is_builtin else None


def _bound_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that the code defines: arguments, loop variables, walrus, definitions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.ExceptHandler):
            yield node.name or ""


def _chain(node: ast.Name | ast.Attribute) -> tuple[ast.expr, list[str]]:
    """Split ``a.b.c`` into its first node and the attributes after it."""
    attributes: list[str] = []
    current: ast.expr = node
    while isinstance(current, ast.Attribute):
        attributes.insert(0, current.attr)
        current = current.value
    return current, attributes


def _text(text: str) -> Iterator[Sign]:
    """Judge a text in code, which may name an attribute or an address."""
    if any(is_internal(name) for name in INSIDE.findall(text)):
        yield Sign(HIGH, "code", repr(text), "text that names a Python internal")
    if ADDRESS.search(text):
        yield Sign(HIGH, "network", repr(text), "contains an address")


def refine(sign: Sign, name: str, call: ast.Call | None) -> Sign:
    """Judge a call by its arguments, when they raise or lower the risk of the function."""
    short = name.removeprefix("builtins.")
    if call is not None and short in ("getattr", "hasattr"):
        return _by_attribute(sign, call, short)
    if call is not None and short in ("open", "io.open"):
        mode = _argument(call, 1, "mode", "r")
        if isinstance(mode, str) and not set(mode) & set("wax+"):
            return Sign(MEDIUM, "read", short, "reads a file")
    if call is not None and name in ("torch.load", "torch.serialization.load"):
        weights_only = _argument(call, 99, "weights_only", None) is True
        return Sign(MEDIUM, "read", name, "reads a file of weights") if weights_only else sign
    if call is not None and name == "numpy.load" and _argument(call, 2, "allow_pickle", False):
        return Sign(HIGH, "pickle", name, "unpickles: a file that it reads can run any code")
    if call is not None and short == "type" and len(call.args) > 1:
        return Sign(MEDIUM, "code", short, "creates a class")
    return Sign(sign.level, sign.kind, short, sign.why)


def _by_attribute(sign: Sign, call: ast.Call, name: str) -> Sign:
    """Judge ``getattr(x, "name")`` as ``x.name``; a computed name is high risk."""
    attribute = folded(call.args[1]) if len(call.args) > 1 else None
    if attribute is None:
        return Sign(HIGH, "code", name, "accesses an attribute whose name is computed at run time")
    rule = method_rule_of(attribute)
    if rule is not None:
        return Sign(rule.level, rule.kind, f"{name}(..., {attribute!r})", rule.why)
    if any(not isinstance(a, ast.Constant) for a in call.args[1:2]):
        return Sign(HIGH, "code", f"{name}(..., {attribute!r})", "hides an attribute's name")
    return Sign(MEDIUM, "code", f"{name}(..., {attribute!r})", "accesses an attribute by name")


def _argument(call: ast.Call, position: int, keyword: str, default: Any) -> Any:
    """Return a call's argument if it is a constant, the default if absent, else Ellipsis."""
    given = [k.value for k in call.keywords if k.arg == keyword]
    given += call.args[position : position + 1]
    if any(k.arg is None for k in call.keywords):
        return ...
    if not given:
        return default
    return given[0].value if isinstance(given[0], ast.Constant) else ...


def folded(node: ast.AST) -> str | None:
    """Concatenate a text built from constants; None for anything else.

    Example:
        >>> folded(ast.parse("'sys' + 'tem'", mode="eval").body)
        'system'
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = folded(node.left), folded(node.right)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.JoinedStr):
        parts = [folded(v.value if isinstance(v, ast.FormattedValue) else v) for v in node.values]
        return None if None in parts else "".join(part or "" for part in parts)
    return None
