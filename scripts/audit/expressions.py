"""The grammar of ``$`` expressions: what a config may compute. Nothing is evaluated.

Allowed are constants, references, arithmetic, comparisons, indexing, conditions, lists,
comprehensions, lambdas within this grammar, listed attributes of objects, and calls of listed
functions. Every other part of Python is refused.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence

from scripts.audit.allowed import ATTRIBUTES, is_listed
from scripts.audit.arguments import arguments_of, judge_arguments, takes_paths
from scripts.audit.findings import HIGH, LOW, MEDIUM, Sign
from scripts.audit.names import Names, imports_of, is_internal
from scripts.audit.static_values import (
    JOINING,
    MISSING,
    REFERENCE,
    UNKNOWN,
    Static,
    path_sign,
    plain_code,
    reference_number,
)

PLAIN = (
    *(ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp),
    *(ast.BinOp, ast.Subscript, ast.Slice, ast.ListComp, ast.SetComp, ast.DictComp, ast.arg),
    *(ast.GeneratorExp, ast.comprehension, ast.Lambda, ast.arguments, ast.keyword),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)
# builtins that take a text apart into characters
SPLITTING = {"list", "tuple", "set", "frozenset", "sorted", "reversed", "enumerate", "zip", "map"}
SPLITTING |= {"max", "min", "filter", "dict", "sum"}


def audit_expression(text: str, names: Names, static: Static) -> list[Sign]:
    """List what an expression does that is not allowed.

    Args:
        text: the expression with its ``$``.
        names: judge of names.
        static: values of the config that are known, and its imports.

    Returns:
        Signs above low, each once; one low sign when there are none.

    Example:
        >>> audit_expression("$eval('1')", Names(), Static({}))[0].level
        'high'
        >>> audit_expression("$@lr * 2", Names(), Static({}))[0].level
        'low'
    """
    try:
        code, ids = plain_code(text)
        tree = ast.parse(code)
        if tree.body and isinstance(tree.body[0], (ast.Import, ast.ImportFrom)):
            return _audit_import(text, tree, names)
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
            return [Sign(MEDIUM, "expression", text, "is not one expression")]
        signs = Grammar(names, static, ids, tree).signs(tree.body[0].value)
        risky = list(dict.fromkeys(sign for sign in signs if sign.level != LOW))
    except (RecursionError, MemoryError):
        return [Sign(HIGH, "expression", text[:60], "nested too deeply to be examined")]
    except (SyntaxError, ValueError) as error:
        why = f"cannot be examined as Python of this version: {error}"
        return [Sign(HIGH, "expression", text[:60], why)]
    return risky or [Sign(LOW, "expression", text, "computes with listed functions")]


def imported_names(text: str) -> dict[str, str]:
    """Return the name that an import statement defines in a config; empty for an expression.

    Example:
        >>> imported_names("$from os import system as s"), imported_names("$1 + 1")
        ({'s': 'os.system'}, {})
    """
    try:
        tree = ast.parse(plain_code(text)[0])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return dict(list(imports_of(ast.Module(tree.body[:1], [])).items())[:1])


def _audit_import(text: str, tree: ast.Module, names: Names) -> list[Sign]:
    """Judge an import statement, which MONAI runs at any position in a config."""
    node = tree.body[0]
    imports = list(imports_of(tree).items())
    signs = []
    for alias, name in imports:
        whole = name if isinstance(node, ast.ImportFrom) else node.names[0].name  # type: ignore[attr-defined]
        sign = names.judge_import(whole)
        signs.append(Sign(sign.level, sign.kind, text, f"imports {whole}: {sign.why}"))
        if hasattr(builtins, alias) or is_internal(alias):
            signs.append(Sign(MEDIUM, "import", text, f"hides the meaning of {alias}"))
    if len(imports) != 1 or len(tree.body) > 1:
        signs.append(Sign(MEDIUM, "import", text, "must import one name: MONAI ignores the rest"))
    return [sign for sign in signs if sign.level != LOW] or signs


class Grammar:
    """Judges the nodes of one expression.

    Args:
        names: judge of dotted names.
        static: values of the config that are known, and its imports.
        ids: references of the expression.
        tree: syntax tree of the expression.
    """

    def __init__(self, names: Names, static: Static, ids: Sequence[str], tree: ast.AST) -> None:
        self.names = names
        self.static = static
        self.ids = ids
        nodes = list(ast.walk(tree))
        arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self.bound = arguments | stored
        texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        self.has_path = any("/" in text or "\\" in text for text in texts)

    def value(self, node: ast.AST) -> object:
        """Return the value of a node if it is known."""
        value = self.static.of_node(node, self.ids)
        return UNKNOWN if value == MISSING and isinstance(node, ast.Name) else value

    def signs(self, node: ast.AST) -> Iterator[Sign]:
        """Judge a node and all that it contains."""
        text = self.value(node)
        if isinstance(text, bytes) or text == "_target_":
            yield self._refused(node, "hides a path or a component")
        elif isinstance(text, str):
            yield path_sign(text, written=False)
        elif isinstance(node, ast.Name):
            yield from self._name(node)
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node, is_called=False)
        elif isinstance(node, ast.Call):
            yield from self._call(node)
        elif isinstance(node, ast.Starred) and isinstance(node.value, ast.Name):
            yield from self.signs(node.value)
        elif isinstance(node, PLAIN):
            yield from self._text_computed(node)
            yield from self._inside(node)
        elif isinstance(node, ast.JoinedStr):
            yield self._refused(node, "a text put together at run time")
        elif not isinstance(node, ast.Constant):
            yield self._refused(node, f"{type(node).__name__} is not allowed in a config")

    def _inside(self, node: ast.AST) -> Iterator[Sign]:
        """Judge the parts of a node."""
        for inner in ast.iter_child_nodes(node):
            yield from self.signs(inner)

    def _refused(self, node: ast.AST, why: str) -> Sign:
        text = re.sub(rf"{REFERENCE}(\d+)", lambda m: f"@{self.ids[int(m[1])]}", ast.unparse(node))
        return Sign(MEDIUM, "code", text[:80], why)

    def _text_computed(self, node: ast.AST) -> Iterator[Sign]:
        """Refuse texts that are put together or taken apart, which could spell any path."""
        if isinstance(node, ast.BinOp):
            sides = [self.value(node.left), self.value(node.right)]
            is_number = isinstance(sides[0], (int, float)) or isinstance(node.left, ast.Attribute)
            formats = isinstance(node.op, ast.Mod) and not is_number
            if formats or any(isinstance(side, str) for side in sides):
                yield self._refused(node, "a text put together at run time")
        elif isinstance(node, ast.Subscript):
            if isinstance(self.value(node.value), str) or (
                isinstance(node.slice, ast.Slice) and self.has_path
            ):
                yield self._refused(node, "takes a text apart")
        elif isinstance(node, ast.comprehension) and isinstance(self.value(node.iter), str):
            yield self._refused(node.iter, "takes a text apart")
        elif isinstance(node, ast.keyword) and node.arg is None:
            yield self._refused(node.value, "passes arguments that are not written out")

    def _name(self, node: ast.Name) -> Iterator[Sign]:
        """Judge a single name."""
        number = reference_number(node)
        if number is not None and number < len(self.ids):
            return
        hides = node.id in self.static.imports or hasattr(builtins, node.id)
        if node.id in self.bound and not hides and not is_internal(node.id):
            return
        if node.id in self.bound:
            yield self._refused(node, "hides the meaning of a name")
        elif not hides and not is_internal(node.id):
            yield self._refused(node, "this name is neither imported nor defined")
        else:
            yield from self._mention(self.static.dotted(node))

    def _mention(self, name: str) -> Iterator[Sign]:
        """Judge a function or class that is handed on: its arguments will not be in the config."""
        sign = self.names.judge(name)
        if sign.level == LOW and (takes_paths(name, self.names) or name in JOINING):
            sign = Sign(MEDIUM, "code", name, "handed on: its paths are not in the config")
        yield sign

    def _attribute(self, node: ast.Attribute, *, is_called: bool) -> Iterator[Sign]:
        """Judge an attribute of a module, or of an object."""
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in self.static.imports.keys() - self.bound:
            yield from self._of_module(self.static.dotted(node).split("."), is_called)
            return
        yield from self._of_object(node.attr)
        if isinstance(node.value, ast.Attribute):
            yield from self._attribute(node.value, is_called=True)
        else:
            yield from self.signs(node.value)

    def _of_module(self, parts: list[str], is_called: bool) -> Iterator[Sign]:
        """Judge a dotted name in a module: its longest listed part, then what follows it."""
        lengths = range(len(parts), 0, -1)
        length = next((n for n in lengths if is_listed(".".join(parts[:n]))), len(parts))
        name = ".".join(parts[:length])
        if length == len(parts) and not is_called:
            yield from self._mention(name)
        else:
            yield self.names.judge(name)
        for attribute in parts[length:]:
            yield from self._of_object(attribute)

    def _of_object(self, attribute: str) -> Iterator[Sign]:
        """Judge an attribute of an object; constants in capitals belong to enumerations."""
        if is_internal(attribute):
            yield Sign(HIGH, "code", f".{attribute}", "reaches Python's insides")
        elif attribute not in ATTRIBUTES and not attribute.isupper():
            yield Sign(MEDIUM, "code", f".{attribute}", "an attribute that is not on the list")

    def _call(self, node: ast.Call) -> Iterator[Sign]:
        """Judge a call: its function, then its arguments."""
        for argument in [*node.args, *node.keywords]:
            if isinstance(argument, ast.Starred):
                yield self._refused(argument, "passes arguments that are not written out")
            yield from self.signs(argument)
        dotted = self.static.dotted(node.func)
        if isinstance(node.func, ast.Name) and node.func.id not in self.bound and dotted:
            yield from self._function(dotted, node)
        elif isinstance(node.func, ast.Name) and reference_number(node.func) is not None:
            part = self.static.raw(self.ids[reference_number(node.func) or 0])
            if not isinstance(part, dict) or part.get("_mode_", "default") != "default":
                yield self._refused(node.func, "calls a part of the config that is no component")
        elif isinstance(node.func, ast.Attribute):
            yield from self._attribute(node.func, is_called=True)
            if dotted and is_listed(dotted):
                yield from self._function(dotted, node)
        else:
            yield self._refused(node.func, "calls something that is not a listed function")
            yield from self.signs(node.func)

    def _function(self, name: str, node: ast.Call) -> Iterator[Sign]:
        """Judge the call of a function by its name and the arguments that it is given."""
        sign = self.names.judge(name)
        yield sign
        if sign.level != LOW:
            return
        positional = [self.value(one) for one in node.args]
        if name in SPLITTING and any(isinstance(value, str) for value in positional):
            yield self._refused(node, "takes a text apart")
        if name in JOINING:
            yield self._refused(node, "a path computed at run time")
        taken = arguments_of(name, self.names)
        given = dict(zip(taken.names if taken else (), positional, strict=False))
        given |= {one.arg: self.value(one.value) for one in node.keywords if one.arg}
        yield from (found for _, found in judge_arguments(name, given, self.names))
