"""What a pickle would import: read from its opcodes, never unpickled."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from torch._weights_only_unpickler import _get_allowed_globals

from scripts.audit.names import judge

MOST_PICKLES = 8  # a file of torch's old format holds five, one after another
TEXTS = {
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING"),
}
GETS = {"GET", "BINGET", "LONG_BINGET"}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
SILENT = {"PROTO", "FRAME"}
UNKNOWN = "(a name built as it is unpickled)"
# TorchScript's own reader makes these, and runs nothing of Python
OF_TORCHSCRIPT = ("__torch__.", "torch.jit._pickle.")


def globals_in(content: bytes) -> list[str]:
    """List what the pickles at the start of some bytes would import.

    Args:
        content: one or more pickles, one after another; what follows them is not looked at.

    Returns:
        ``module.name`` in order, each once; :data:`UNKNOWN` for a name that no opcode states.

    Raises:
        ValueError: where the first pickle is damaged.

    Example:
        >>> globals_in(b"cos\\nsystem\\n(S'ls'\\ntR.")
        ['os.system']
    """
    stream = BytesIO(content)
    found: dict[str, None] = {}
    for number in range(MOST_PICKLES):
        try:
            for name in _globals_of_one(stream):
                found[name] = None
        except (ValueError, UnicodeDecodeError) as error:
            if number == 0:
                raise ValueError(f"is no pickle that can be read: {error}") from error
            break
        if stream.tell() >= len(content):
            break
    return list(found)


def _globals_of_one(stream: BytesIO) -> Iterator[str]:
    """Go through one pickle's opcodes; texts are followed as far as they are stated."""
    memo: dict[Any, str | None] = {}
    last: list[str | None] = []
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)
        elif name.startswith("EXT"):
            yield UNKNOWN
        elif name == "STACK_GLOBAL":
            stated = len(last) > 1 and None not in last[-2:]
            yield f"{last[-2]}.{last[-1]}" if stated else UNKNOWN
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
    """List what ``torch.load(weights_only=True)`` would refuse, so that it would need a pickle.

    Args:
        content: as :func:`globals_in`.
        torchscript: whether TorchScript's own reader reads it.

    Raises:
        ValueError: where it is no pickle.
    """
    allowed = set(_get_allowed_globals())
    found = [name for name in globals_in(content) if name not in allowed]
    if torchscript:
        return [name for name in found if not name.startswith(OF_TORCHSCRIPT)]
    return found


def why_of(name: str) -> str:
    """Say what an import of a pickle would do."""
    return "cannot be known" if name == UNKNOWN else judge(name).why
