"""The commands of ``python -m scripts``: their words, what they run, and one line about each.

Nothing here imports a command: torch and MONAI alone take seconds. Help and option names are read
from the commands' source.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scripts.datasets.known import KNOWN


class Command(NamedTuple):
    """One command.

    Args:
        target: the function that runs, as ``module:function``.
        summary: what it does, on one line.
    """

    target: str
    summary: str

    @property
    def module(self) -> str:
        """The module of the function.

        >>> COMMANDS["predict",].module
        'scripts.prediction.command'
        """
        return self.target.partition(":")[0]


COMMANDS: dict[tuple[str, ...], Command] = {
    ("phantom", "luna16"): Command(
        "scripts.phantom.chest.luna16:make_cohort",
        "draw a synthetic cohort of chest CTs with nodules, in LUNA16's files",
    ),
    ("phantom", "ircadb"): Command(
        "scripts.phantom.abdomen.ircadb:make_cohort",
        "draw a synthetic cohort of abdominal CTs, in 3D-IRCADb-01's files",
    ),
    **{
        ("prepare", name): Command("scripts.preparation.command:prepare", known.summary)
        for name, known in KNOWN.items()
    },
    ("run",): Command(
        "scripts.audit.run:run_bundle",
        "run a workflow of a bundle with MONAI, after checking its overrides",
    ),
    ("predict",): Command(
        "scripts.prediction.command:predict",
        "segment CTs: NIfTI mask, DICOM SEG and RTSTRUCT, statistics, a page to read",
    ),
    ("graph_cut",): Command(
        "scripts.evaluation.graph_cut_evaluation:evaluate_graph_cut",
        "evaluate segmentation by graph cut, the classical comparator",
    ),
    ("study",): Command(
        "scripts.study.command:study",
        "train and compare several settings over seeds and folds, with statistics",
    ),
    ("new_bundle",): Command(
        "scripts.packaging.new_bundle:new_bundle",
        "write a bundle for prepared data, from the shipped one for its kind of labels",
    ),
    ("package",): Command(
        "scripts.packaging.command:package",
        "pack a trained bundle into one zip that runs without this repository",
    ),
    ("audit",): Command(
        "scripts.audit.audit:audit",
        "list what a bundle would run when it is loaded, without running it",
    ),
    ("demo",): Command(
        "scripts.demo.demo:demo",
        "lung nodules on phantoms, from pretraining to a prediction, in minutes",
    ),
    ("demo", "liver"): Command(
        "scripts.demo.demo:demo_liver",
        "liver, bone and kidney on phantoms, from DICOM to a prediction",
    ),
}


class Written(str):
    """An annotation as its source has it; help shows it without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text itself."""
        return str(self)


def sketch(target: str) -> Callable[..., Any]:
    """Return a function that has a command's signature and docstring, and does nothing.

    Args:
        target: the command's function, as ``module:function``. Its defaults are literals, or
            constants that its module assigns from literals.

    Raises:
        LookupError: when the module does not define the function.

    Example:
        >>> sketch("scripts.commands:sketch").__annotations__["target"]
        str
    """
    module, _, name = target.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"target: there is no module {module} for {target}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise LookupError(f"target: {module} defines no function {name}")
    function = functions[name]
    function.decorator_list, function.body = [], function.body[:1]  # the docstring
    constants = [n for n in tree.body if isinstance(n, ast.Assign) and _is_literal(n.value)]
    future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
    program = ast.fix_missing_locations(ast.Module([future, *constants, function], []))
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(program, spec.origin, "exec"), namespace)
    return written(namespace[name])


def written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function, in place, annotations that help shows as the source has them."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=Written(str(parameter.annotation).removesuffix(" | None")))
        for parameter in signature.parameters.values()
    ]
    made: Any = function
    made.__signature__ = signature.replace(parameters=parameters)
    made.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return function


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True
