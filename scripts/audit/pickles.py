"""Imports of a pickle, read from its opcodes without unpickling."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from torch._weights_only_unpickler import _get_allowed_globals

from scripts.audit.names import judge

MOST_PICKLES = 8  # a file in torch's old format contains five in a row
TEXTS = {
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
}
GETS = {"GET", "BINGET", "LONG_BINGET"}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
SILENT = {"PROTO", "FRAME"}
UNKNOWN = "(a name computed while unpickling)"
# created by TorchScript's reader, which runs no Python
OF_TORCHSCRIPT = ("__torch__.", "torch.jit._pickle.")


def globals_in(content: bytes) -> list[str]:
    """List the names that loading pickles would import.

    Args:
        content: one or more pickles in a row; bytes after them are ignored.

    Returns:
        ``module.name`` in order, each once; :data:`UNKNOWN` for a name computed while unpickling.

    Raises:
        ValueError: when the first pickle is damaged.

    Example:
        >>> globals_in(b"cos\\nsystem\\n(S'ls'\\ntR.")
        ['os.system']
    """
    stream = BytesIO(content)
    imported: dict[str, None] = {}
    for number in range(MOST_PICKLES):
        try:
            for name in _globals_of_one(stream):
                imported[name] = None
        except (ValueError, UnicodeDecodeError) as error:
            if number == 0:
                raise ValueError(f"cannot be read as a pickle: {error}") from error
            break
        if stream.tell() >= len(content):
            break
    return list(imported)


def _globals_of_one(stream: BytesIO) -> Iterator[str]:
    """Yield the imports of one pickle; names are followed through its memo."""
    memo: dict[Any, str | None] = {}
    last: list[str | None] = []
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)
        elif name.startswith("EXT"):
            yield UNKNOWN
        elif name == "STACK_GLOBAL":
            is_known = len(last) > 1 and None not in last[-2:]
            yield f"{last[-2]}.{last[-1]}" if is_known else UNKNOWN
        if name in TEXTS:
            last.append(str(argument))
        elif name in GETS:
            last.append(memo.get(argument))
        elif name in PUTS:
            memo[argument] = last[-1] if last else None
        elif name == "MEMOIZE":
            memo[len(memo)] = last[-1] if last else None
        elif name not in SILENT:
            last = [None]


def unsafe_globals(content: bytes, *, torchscript: bool = False) -> list[str]:
    """List the imports of pickles that ``torch.load(weights_only=True)`` refuses.

    Args:
        content: as for :func:`globals_in`.
        torchscript: whether the file is read by TorchScript's reader.

    Raises:
        ValueError: when it is not a pickle.
    """
    allowed = set(_get_allowed_globals())
    unsafe = [name for name in globals_in(content) if name not in allowed]
    if torchscript:
        return [name for name in unsafe if not name.startswith(OF_TORCHSCRIPT)]
    return unsafe


def why_of(name: str) -> str:
    """Describe the effect of an import of a pickle."""
    return "cannot be known" if name == UNKNOWN else judge(name).why
