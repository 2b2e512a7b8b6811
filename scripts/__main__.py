"""Command line: ``ctseg COMMAND ...``, the same as ``python -m scripts COMMAND ...``."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import PurePath
from typing import Any, NoReturn

import fire
from fire.helptext import HelpText
from fire.trace import FireTrace

from scripts.commands import COMMANDS, sketch, written
from scripts.running.late_imports import late_imports
from scripts.running.noise import silence_noise
from scripts.running.options import read_truth
from scripts.running.reasons import first_cause, reason_of

HELP = ("-h", "--help")
INSTALLED = "ctseg"  # the console command of an installation
MOST_LISTED = 8  # options in a message
BY_FILE = 'by a JSON file in --config_file, such as {"network_def::norm": "batch"}'
OVERRIDES = "overrides"  # words of `run`, ids of the config with their values
BY_WORD = "ids of the bundle's config are given as id=value, such as encoder=resnet34, without --"
ALIKE = 0.75  # least similarity of a word to the second word of a command, by difflib


def called() -> str:
    """Return how this program was called, for the lines of help."""
    return INSTALLED if PurePath(sys.argv[0]).stem == INSTALLED else "python -m scripts"


def resolve(target: str) -> Callable[..., Any]:
    """Import ``module:function``."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def split_command(arguments: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Separate the words of the command from its options.

    Raises:
        SystemExit: 0 after listing the commands, if help was requested; 2 for an unknown command,
            with the most similar ones.
    """
    first = arguments[0] if arguments else HELP[0]
    group = {words[1]: words for words in COMMANDS if words[0] == first and len(words) > 1}
    second = arguments[1] if len(arguments) > 1 else ""
    if second in group:
        return group[second], list(arguments[2:])
    if (first,) in COMMANDS:
        if near := difflib.get_close_matches(second, group, cutoff=ALIKE):
            _refuse(f"unknown command: {first} {second}", [f"{first} {word}" for word in near])
        return (first,), list(arguments[1:])
    if first in HELP or (group and second in HELP):
        print(listing(list(group.values()) or COMMANDS))
        raise SystemExit(0)
    return _refuse_command(first, second, group)


def _refuse_command(first: str, second: str, group: Collection[str]) -> NoReturn:
    """Exit with code 2 for an unknown command, and suggest similar ones."""
    if group:
        near = difflib.get_close_matches(second, group) or list(group)
        problem = f"unknown command: {first} {second}" if second else f"incomplete: {first}"
        _refuse(problem, [f"{first} {word}" for word in near])
    near = difflib.get_close_matches(first, dict.fromkeys(words[0] for words in COMMANDS))
    _refuse(f"unknown command: {first}", near, listing(COMMANDS))


def listing(commands: Collection[tuple[str, ...]]) -> str:
    """List commands, one line each."""
    width = max(len(" ".join(words)) for words in commands)
    lines = [f"  {' '.join(words):<{width}}  {COMMANDS[words].summary}" for words in commands]
    head = [f"usage: {called()} COMMAND ...", "", "commands:"]
    return "\n".join([*head, *lines, "", f"options of a command: {called()} COMMAND --help"])


def refuse_unknown_options(function: Callable[..., Any], options: Sequence[str]) -> None:
    """Exit before anything runs when an option is misspelt.

    Fire would call the function first and report the option afterwards, possibly after hours of
    work with a default value.

    Raises:
        SystemExit: 2 for an unknown option, with the most similar ones.
    """
    parameters = inspect.signature(function).parameters
    valid = [name for name, one in parameters.items() if one.kind is not one.VAR_POSITIONAL]
    by_word = OVERRIDES in parameters
    for option in options:
        if not option.startswith("--") or option in ("--", "--help"):
            continue
        name = option[2:].split("=", 1)[0].replace("-", "_")
        positive = name.removeprefix("no") if name not in valid else name
        if positive not in valid:
            near = difflib.get_close_matches(name, valid, n=3)
            if by_word:
                _refuse(f"unknown option --{name}; {BY_WORD}", [f"--{word}" for word in near])
            if near or len(valid) <= MOST_LISTED:
                _refuse(f"unknown option --{name}", [f"--{word}" for word in near or valid])
            of_config = "config_file" in valid
            _refuse(
                f"unknown option --{name}, and none is similar; see --help"
                + (f"; an id of the bundle's config is set {BY_FILE}" if of_config else "")
            )


def refuse_empty(words: Sequence[str]) -> None:
    """Exit with code 2 for an option without a value, which as a path would be the current folder.

    Raises:
        SystemExit: 2, naming the option.
    """
    for before, word in zip(("", *words), words, strict=False):
        if not word.strip() or (word.startswith("--") and word.endswith("=")):
            name = word.strip().rstrip("=") or before or "an argument"
            _refuse(f"{name}: is empty, as of an unset variable; give a value, or leave it out")


def expand_home(words: Sequence[str]) -> list[str]:
    """Replace ``~`` by the home folder where the shell leaves it, as in ``--source=~/scans``.

    Example:
        >>> expand_home(["--source", "scans~1", "--flips=x"])
        ['--source', 'scans~1', '--flips=x']
    """
    home = os.path.expanduser("~")
    return [re.sub(r"(^|(?<=[=,]))~(?=/|,|$)", lambda _: home, word) for word in words]


def with_booleans_read(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a command so that it accepts true, false, yes, no, 1 and 0 as booleans.

    Fire only converts True and False; any other word would count as true.

    Raises:
        ValueError: when called with another value of a boolean option, which is named.
    """
    signature = inspect.signature(function)
    booleans = [name for name, p in signature.parameters.items() if _is_boolean(p.annotation)]

    @functools.wraps(function)
    def call(*positional: Any, **options: Any) -> Any:
        given = signature.bind(*positional, **options)
        for name in booleans:
            if given.arguments.get(name) is not None:
                given.arguments[name] = read_truth(name, given.arguments[name])
        return function(*given.args, **given.kwargs)

    return call


def _is_boolean(annotation: object) -> bool:
    return annotation is bool or str(annotation).removesuffix(" | None") == "bool"


def _refuse(problem: str, near: Collection[str] = (), rest: str = "") -> NoReturn:
    """Exit with code 2 after printing the problem and suggestions."""
    question = f"; did you mean {', '.join(near)}?" if near else ""
    print(f"{problem}{question}", *filter(None, [rest]), sep="\n\n", file=sys.stderr)
    raise SystemExit(2)


def sketch_of(words: tuple[str, ...]) -> Callable[..., Any]:
    """Return a function with a command's signature and docstring, without importing torch."""
    if words[0] == "prepare":  # its options depend on the data set
        return written(resolve("scripts.preparation.prepare_command:command_of")(words[1]))
    return sketch(COMMANDS[words].target)


def explain(words: tuple[str, ...], function: Callable[..., Any]) -> str:
    """Return the help of a command, with the types, defaults and descriptions of its arguments."""
    name = f"{called()} {' '.join(words)}"
    text: str = HelpText(function, FireTrace(function, name=name))
    return text.replace(shlex.quote(name), name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; an error of the user is reported on one line, with exit code 2."""
    words, options = split_command(sys.argv[1:] if arguments is None else arguments)
    sketched = sketch_of(words)
    if any(option in HELP for option in options):
        print(explain(words, sketched))
        return
    refuse_unknown_options(sketched, options)
    refuse_empty(options)
    options = expand_home(options)
    silence_noise()
    try:
        with late_imports():
            command = sketched if words[0] == "prepare" else resolve(COMMANDS[words].target)
        function = with_booleans_read(command)
        fire.Fire(function, command=options, name=f"{called()} {' '.join(words)}")
    except (ValueError, OSError, RuntimeError) as error:
        cause = first_cause(error)
        if isinstance(cause, BrokenPipeError) or not isinstance(cause, (ValueError, OSError)):
            raise
        print(f"error: {reason_of(cause)}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        print("\nstopped by the user; the same command resumes the run", file=sys.stderr)
        raise SystemExit(130) from None


def leave(number: int, frame: object) -> None:
    """Exit as after Ctrl-C, so that temporary files, such as unpacked patients, are removed."""
    raise SystemExit(128 + number)


def run() -> None:
    """Run as a program: clean up when terminated, and exit silently when the output is closed."""
    signal.signal(signal.SIGTERM, leave)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that are not UTF-8 must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None


if __name__ == "__main__":
    run()
