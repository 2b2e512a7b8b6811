"""Components that a config declares, built; where that fails, the id and the file that say so.

MONAI's errors name the class, the reference or the expression, but not where it was written.
"""

from __future__ import annotations

import difflib
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import CodeType
from typing import Any

from monai.bundle import ConfigParser

from scripts.bundle.compose import Composition
from scripts.bundle.config_files import references_of, walk
from scripts.bundle.ids import all_ids
from scripts.running.reasons import SPEAKING, first_cause, reason_of

# as MONAI's messages have them
_NO_TARGET = re.compile(r"Cannot locate class or function path: '(.+)'\.")
_NO_REFERENCE = re.compile(r"the referring item `@(.+)` is not defined in the config content")
_CIRCULAR = re.compile(r"detected circular references '(.+)' for id='(.+)' in the config content")
_EXPRESSION = re.compile(r"Failed to evaluate ConfigExpression:\s*['\"](.+)['\"]$", re.DOTALL)
_COMPONENT = re.compile(r"Failed to instantiate component '(.+?)' with keywords: (.*)")
_RESOLVED = re.compile(r"__local_refs\['(.+?)'\]")  # what MONAI writes for @id
_NEAR = 0.6


def built(parser: ConfigParser, id_: str, composition: Composition) -> Any:
    """Build what a config declares under an id, or evaluate it.

    Args:
        parser: of the config, with its overlays.
        id_: such as ``network_def`` or ``optimizer::lr``.
        composition: the same config before it was parsed, with the file of each part.

    Raises:
        OSError: for a file that a component cannot read.
        ValueError: for a part that cannot be built, or that refuses its arguments.
    """
    try:
        return parser.get_parsed_content(id_)
    except Exception as error:  # whatever the constructor of any class raises
        if reason := why_not_built(error, composition):
            raise ValueError(reason) from error
        cause = first_cause(error)
        if isinstance(cause, SPEAKING):
            raise cause from None
        place = composition.place_of(id_)
        raise ValueError(f"{place}: cannot be built: {reason_of(cause)}") from error


@contextmanager
def naming_faults(composition: Composition) -> Iterator[None]:
    """Name the id and the file when a part of a config cannot be built.

    Raises:
        ValueError: for a fault of the config itself, see :func:`why_not_built`; any other error
            passes unchanged.
    """
    try:
        yield
    except Exception as error:
        if reason := why_not_built(error, composition):
            raise ValueError(reason) from error
        raise


def why_not_built(error: BaseException, composition: Composition) -> str:
    """Say which part of a config made MONAI fail; empty if the config is not the reason.

    Reasons are a class that does not exist, or does not take the arguments, a reference to nothing
    or to itself, and an expression that is not Python or fails by itself. An error inside a class
    or function that a config calls does not count.

    Args:
        error: as MONAI raised it.
        composition: the config that was built.
    """
    cause = first_cause(error)
    text = str(cause)
    if match := _NO_TARGET.match(text):
        return _no_target(match[1], composition)
    if match := _NO_REFERENCE.search(text):
        return _no_reference(match[1], composition)
    if match := _CIRCULAR.search(text):
        return f"{composition.place_of(match[2])}: refers to itself, through @{match[1]}"
    if isinstance(cause, SyntaxError) and cause.filename in ("<string>", "<unknown>"):
        return _of_expression(f"${(cause.text or '').strip()}", cause, composition)
    return _of_wrapper(error, cause, composition)


def _no_target(target: str, composition: Composition) -> str:
    near = _near_names(target)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    said = f"_target_: {target} does not exist{hint}"
    for id_, value in walk(composition.config):
        if isinstance(value, dict) and value.get("_target_") == target:
            return f"{composition.place_of(id_)}: {said}"
    return said


def _no_reference(wanted: str, composition: Composition) -> str:
    ids = list(all_ids(composition.config))
    near = difflib.get_close_matches(wanted, ids, n=2, cutoff=_NEAR)
    hint = f"; did you mean {' or '.join(f'@{one}' for one in near)}?" if near else ""
    said = f"@{wanted} refers to nothing{hint}"
    for id_, value in walk(composition.config):
        if wanted in references_of(value):
            return f"{composition.place_of(id_)}: {said}"
    return said


def _of_wrapper(error: BaseException, cause: BaseException, composition: Composition) -> str:
    """Say what is wrong if the error arose in the expression itself, or by a class's arguments."""
    wrapper = error
    while wrapper.__cause__ is not None and wrapper.__cause__ is not cause:
        wrapper = wrapper.__cause__
    code = _code_of(cause)
    if code is None or isinstance(cause, OSError):
        return ""
    if code.co_filename == "<string>" and (match := _EXPRESSION.match(str(wrapper))):
        return _of_expression(match[1], cause, composition)
    of_call = code == _code_of(wrapper) or code.co_name == "__init__"
    if isinstance(cause, TypeError) and of_call and (match := _COMPONENT.match(str(wrapper))):
        return _of_call(match, cause, composition)
    return ""


def _of_expression(text: str, cause: BaseException, composition: Composition) -> str:
    written = _RESOLVED.sub(r"@\1", text)
    said = f"{written}: {type(cause).__name__}: {getattr(cause, 'msg', None) or cause}"
    for id_, value in walk(composition.config):
        if isinstance(value, str) and _plain(value) == _plain(written):
            return f"{composition.place_of(id_)}: {said}"
    return said


def _of_call(match: re.Match[str], cause: BaseException, composition: Composition) -> str:
    """Say which component, known by its class and the names of its arguments, refuses them."""
    name, given = match[1].rpartition(".")[2], {one for one in match[2].split(",") if one}
    for id_, value in walk(composition.config):
        if not isinstance(value, dict) or "_target_" not in value:
            continue
        same = str(value["_target_"]).rpartition(".")[2] == name
        if same and {key for key in value if not key.startswith("_")} == given:
            return f"{composition.place_of(id_)}: {cause}"
    return f"{match[1]}: {cause}"


def _plain(text: str) -> str:
    return "".join(text.split()).replace("#", "::")


def _code_of(error: BaseException) -> CodeType | None:
    """Return the code that raised an error; for a missing attribute or key, that which asked."""
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    while codes and codes[-1].co_name in ("__getattr__", "__getitem__"):
        codes.pop()
    return codes[-1] if codes else None


def _near_names(target: str) -> list[str]:
    """Return the most similar names to one that does not exist.

    Example:
        >>> import torch
        >>> _near_names("torch.nn.Conv-1d")[0], _near_names("SimpleInfererr")[0]
        ('torch.nn.Conv1d', 'SimpleInferer')
    """
    if "." not in target:
        monai = [module for name, module in sys.modules.items() if name.startswith("monai.")]
        return _similar(target, {name for module in monai for name in vars(module)})
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:length]))
        if module is not None:
            inner = [one.name for one in pkgutil.iter_modules(getattr(module, "__path__", []))]
            near = _similar(parts[length], [*inner, *vars(module)])
            return [".".join([*parts[:length], one, *parts[length + 1 :]]) for one in near]
    roots = _similar(parts[0], {name.partition(".")[0] for name in sys.modules})
    return [".".join([root, *parts[1:]]) for root in roots]


def _similar(name: str, names: Iterable[str]) -> list[str]:
    public = sorted({one for one in names if not one.startswith("_")})
    return difflib.get_close_matches(name, public, n=2, cutoff=_NEAR)
