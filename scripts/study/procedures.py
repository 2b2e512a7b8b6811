"""Commands that make rows or data of a study: ``configs/procedures`` and ``configs/derivations``.

A *procedure* segments the cases of a datalist by a command of its own and writes the tables of an
evaluation, such as ``graph_cut``. A *derivation* makes another prepared data set of a datalist, on
which the ordinary training and evaluation run, such as one with pseudo-labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from scripts.commands import COMMANDS, sketch
from scripts.storage.files import read_json
from scripts.storage.shipped import shipped
from scripts.study.choices import Bundle, check_keys, check_name, data_file, named

PROCEDURES, DERIVATIONS = "configs/procedures", "configs/derivations"
# options that the study sets itself
OF_PROCEDURES = ("datalist", "output", "section", "seed", "model", "overwrite")
OF_DERIVATIONS = ("datalist", "output", "seed", "bundle", "config_file")


@dataclass(frozen=True)
class Procedure:
    """A command that segments the cases of a datalist and evaluates the result.

    It has the options ``--datalist``, ``--output``, ``--section`` and ``--seed``, ``--model`` if it
    begins with a trained network, and ``--overwrite`` if it keeps other evaluations in its output;
    it writes the files of an evaluation.

    Args:
        name: of its file.
        command: words after ``python -m scripts``.
        options: further options and their values.
        kinds: of data sets that it can segment: instances, classes.
        given: what it is given of the position of each lesion, with ``{lesion}`` for the word;
            None if nothing.
    """

    name: str
    command: tuple[str, ...]
    options: Mapping[str, Any]
    kinds: tuple[str, ...]
    given: str | None = None

    @property
    def takes_model(self) -> bool:
        """Whether the command begins with a trained network."""
        return "model" in option_names(self.command)

    def words(
        self, seed: int, settings: Mapping[str, Any], *, model: str | None = None
    ) -> list[str]:
        """Return Python's arguments; ``<need0>`` has the datalist.

        Args:
            seed: of the study's cell.
            settings: options that take precedence over those of the file.
            model: path of the trained network, for a command that takes one.
        """
        options = {**self.options, **settings, "section": "test", "seed": seed}
        options |= {} if model is None else {"model": model}
        return _words(self.command, options)


@dataclass(frozen=True)
class Derivation:
    """A command that makes a prepared data set of another one.

    It has the options ``--datalist``, ``--output`` and ``--seed``, and, if it trains networks,
    ``--bundle`` and ``--config_file`` (list of files that are laid over the bundle's train.json,
    the last with the study's settings). It writes ``datalist.json`` into its output.

    Args:
        name: of its file.
        command: words after ``python -m scripts``.
        options: further options and their values.
        kinds: of data sets that it can read: instances, classes.
        data: config of configs/data for the networks that it trains, in place of the row's; ""
            for the bundle's own; None for the row's.
        test: whether the cases of the test partition are derived as well (such as context maps).
            Otherwise the row is evaluated on the data as prepared.
        note: on a row of such data, for the report, with ``{row}`` for its name and names of
            ``options`` for their values.
    """

    name: str
    command: tuple[str, ...]
    options: Mapping[str, Any]
    kinds: tuple[str, ...]
    data: str | None = None
    test: bool = False
    note: str = ""

    @property
    def trains(self) -> bool:
        """Whether the command trains networks, with the config files of the row."""
        return "config_file" in option_names(self.command)

    def remark(self, row: str, settings: Mapping[str, Any]) -> str:
        """Return what a report says of a row, whose settings take precedence over the options."""
        return self.note.format(**{**self.options, **settings, "row": row})

    def words(
        self, seed: int, settings: Mapping[str, Any], *, bundle: str, files: Sequence[str]
    ) -> list[str]:
        """Return Python's arguments; ``<need0>`` has the datalist.

        Args:
            seed: of the study's cell.
            settings: options that take precedence over those of the file.
            bundle: folder of the bundle.
            files: laid over its train.json.
        """
        options = {**self.options, **settings, "seed": seed}
        if self.trains:
            options |= {"bundle": bundle, "config_file": repr(list(files))}
        return _words(self.command, options)


def option_names(command: Sequence[str]) -> tuple[str, ...]:
    """List the options of a command, without importing it.

    Example:
        >>> option_names(["graph_cut"])
        ('datalist', 'output', 'section', 'smoothness_mm', 'seed', 'overwrite')
    """
    return tuple(inspect.signature(sketch(COMMANDS[tuple(command)].target)).parameters)


def read_procedure(name: str) -> Procedure:
    """Read a file of ``configs/procedures``.

    Raises:
        ValueError: for a name, command or option that does not exist.
    """
    check_name("procedure", name, named(PROCEDURES))
    content = _read(PROCEDURES, name, ("given",), OF_PROCEDURES)
    return Procedure(name, *_parts(content), given=content.get("given"))


def read_derivation(name: str) -> Derivation:
    """Read a file of ``configs/derivations``.

    Raises:
        ValueError: for a name, command, option or data config that does not exist; for a note with
            other words in braces than the row and the options of the file.
    """
    check_name("derived", name, named(DERIVATIONS))
    content = _read(DERIVATIONS, name, ("data", "test", "note"), OF_DERIVATIONS)
    data = content.get("data")
    if data and not data_file(data).is_file():
        check_name(f"{DERIVATIONS}/{name}.json: data", data, named("configs/data"))
    test, note = bool(content.get("test", False)), str(content.get("note", ""))
    _check_note(f"{DERIVATIONS}/{name}.json: note", note, ("row", *content.get("options", {})))
    return Derivation(name, *_parts(content), data=data, test=test, note=note)


def _check_note(where: str, note: str, known: Sequence[str]) -> None:
    """Refuse a note that could not be filled in when the report is written, after the trainings."""
    try:
        words = [word for _, word, _, _ in Formatter().parse(note) if word is not None]
    except ValueError as error:
        raise ValueError(f"{where}: {error}, in {note!r}") from error
    for word in words:
        check_name(where, word, known)


def check_kind(where: str, one: Procedure | Derivation, bundle: Bundle) -> None:
    """Refuse a command that cannot read the labels of a bundle's data set.

    Raises:
        ValueError: with the kinds that it can read.
    """
    if bundle.data.kind not in one.kinds:
        raise ValueError(
            f"{where}: {one.name} is for labels of kind {' or '.join(one.kinds)}; those of "
            f"{bundle.data_set} are {bundle.data.kind}"
        )


def _read(
    folder: str, name: str, own: tuple[str, ...], reserved: tuple[str, ...]
) -> Mapping[str, Any]:
    file = f"{folder}/{name}.json"
    content = read_json(shipped(file))
    check_keys(file, content, ("command", "options", "kinds", *own))
    known = {" ".join(words): words for words in COMMANDS}
    command = known[check_name(f"{file}: command", " ".join(content["command"]), list(known))]
    free = [option for option in option_names(command) if option not in reserved]
    check_keys(f"{file}: options", content.get("options", {}), free)
    return content


def _parts(
    content: Mapping[str, Any],
) -> tuple[tuple[str, ...], Mapping[str, Any], tuple[str, ...]]:
    kinds = content.get("kinds", ("instances", "classes"))
    return tuple(content["command"]), content.get("options", {}), tuple(kinds)


def _words(command: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    words = ["-m", "scripts", *command, "--datalist", "<need0>/datalist.json", "--output", "<out>"]
    return [
        *words,
        *(text for name, value in options.items() for text in (f"--{name}", str(value))),
    ]
