"""Command line: ``python -m scripts COMMAND ...``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import fire

from scripts.commands import COMMANDS


def resolve(target: str) -> Callable[..., Any]:
    """Import ``module:function``."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def split_command(arguments: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Separate the command's words from its options.

    Raises:
        SystemExit: for an unknown command, listing the valid ones.
    """
    for length in (2, 1):
        words = tuple(arguments[:length])
        if words in COMMANDS:
            return words, list(arguments[length:])
    listing = "\n".join(f"  python -m scripts {' '.join(words)} --help" for words in COMMANDS)
    asked = " ".join(arguments) or "(nothing)"
    helped = bool(arguments) and arguments[0] in ("-h", "--help")
    print(f"{'' if helped else f'unknown command: {asked}' + chr(10)}commands:\n{listing}")
    raise SystemExit(0 if helped else 2)


def refuse_unknown_options(function: Callable[..., Any], options: Sequence[str]) -> None:
    """Stop before anything runs when an option is misspelt.

    Fire would call the function first and complain afterwards, when hours of work with a default
    value are already done.

    Raises:
        SystemExit: naming the option and the nearest valid ones.
    """
    valid = list(inspect.signature(function).parameters)
    for option in options:
        if not option.startswith("--") or option in ("--", "--help"):
            continue
        name = option[2:].split("=", 1)[0].replace("-", "_")
        positive = name.removeprefix("no") if name not in valid else name
        if positive not in valid:
            near = difflib.get_close_matches(name, valid, n=3) or valid
            print(f"unknown option --{name}; did you mean {', '.join('--' + n for n in near)}?")
            raise SystemExit(2)


def first_cause(error: BaseException) -> BaseException:
    """Find what went wrong first: MONAI wraps each error of a config in errors of its own."""
    while error.__cause__ is not None and isinstance(error, RuntimeError):
        error = error.__cause__
    return error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake ends in one line and exit code 2."""
    words, options = split_command(sys.argv[1:] if arguments is None else arguments)
    try:
        function = resolve(COMMANDS[words].target)
        refuse_unknown_options(function, options)
        fire.Fire(function, command=options, name=f"python -m scripts {' '.join(words)}")
    except (ValueError, OSError, RuntimeError) as error:
        mistake = first_cause(error)
        if not isinstance(mistake, (ValueError, OSError)):
            raise
        print(f"error: {mistake}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        print("\nstopped by the user; the same command goes on where it stopped", file=sys.stderr)
        raise SystemExit(130) from None


def leave(number: int, frame: object) -> None:
    """End as Ctrl-C does, so that temporary files, unpacked patients among them, are removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    main()
