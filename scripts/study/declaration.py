"""The declaration of a study: a JSON file, checked before anything runs; see docs/studies.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from custom_nets.encoders import ENCODERS
from scripts.preparation.splits import FOLD_SPLITS
from scripts.running.options import check_whole
from scripts.storage.files import read_json
from scripts.storage.shipped import shipped
from scripts.study.choices import (
    IMAGENET,
    Bundle,
    bundle_of,
    check_files,
    check_keys,
    check_name,
    named,
)
from scripts.study.further_data import (
    DATA_KEYS,
    OtherDomain,
    Pretraining,
    read_data,
    read_other_domain,
    read_pretrainings,
)
from scripts.study.methods import Method, domains_of, read_methods
from scripts.study.reporting.figures import check_figures

ROWS = ("methods", "stages", "validated_stages")
PAPER_KEYS = ("source", "note", "rows", "epochs")
ENGINES = ("auto", "torch", "openvino", "openvino-int8")  # of the command predict
EPOCHS = ("updates", "total", "per_stage")
STUDY_KEYS = (
    *("title", "question", "bundle", "data_set", "rows", "reference", "figures", "common"),
    *("methods", "seeds", "folds", "epochs", "files", "training_files", "settings", "data"),
    *("pretraining", "pretrainings", "other_domain", "engines", "paper", "small"),
)
NEEDED = ("title", "question", "bundle", "figures", "methods", "seeds", "epochs", "data")
BASE = "based_on"  # key of a small form: the file with the entries that it shares with others


@dataclass(frozen=True)
class Study:
    """A declared study.

    Args:
        name: of its file.
        small: whether this is the small form.
        title: heading of the report.
        question: that it answers.
        bundle: the bundle that is trained, and its data set.
        rows: ``methods``; ``stages``, each evaluated by itself; or ``validated_stages``, with the
            figures of the training's own validation.
        reference: the method that the others are tested against.
        figures: heading -> name in the evaluation's summary; the first is tested.
        methods: the rows.
        seeds: of split and training.
        folds: test folds of each seed; empty for a single test partition. The cases of a seed's
            folds are reported together.
        epochs: ``{"updates": n}``: optimiser steps, ``{"total": n}``: epochs, both divided among
            the stages of a strategy, or ``{"per_stage": n}``: epochs.
        files: further config files.
        training_files: further config files of the training only.
        settings: ids of the configs and their values.
        data: ``prepare`` and ``phantoms``: options of those commands.
        pretrainings: by the name that methods use for their weights.
        paper: source, note and rows of the paper's figures.
        engines: of ``predict``, with each of which a whole CT is timed if one is given.
        left_out: the methods that are not to be run.
        other_domain: a second data set, for networks that learn several domains.
    """

    name: str
    small: bool
    title: str
    question: str
    bundle: Bundle
    rows: str
    reference: str
    figures: Mapping[str, str]
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    folds: tuple[int, ...]
    epochs: Mapping[str, int]
    files: tuple[str, ...]
    training_files: tuple[str, ...]
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    pretrainings: Mapping[str, Pretraining]
    paper: Mapping[str, Any]
    engines: tuple[str, ...] = ()
    left_out: tuple[Method, ...] = ()
    other_domain: OtherDomain | None = None


def read_study(
    path: str | Path, *, small: bool = False, with_data: bool = False, paper_epochs: bool = False
) -> Study:
    """Read a study's file.

    Args:
        path: of the JSON file.
        small: replace or merge entries by those of its key ``small``.
        with_data: the command names the data, so that the key ``data`` may be left out.
        paper_epochs: use the epochs of the key ``paper``.

    Raises:
        FileNotFoundError: when the file does not exist, with a list of the available studies.
        ValueError: for an invalid declaration.
    """
    file = shipped(path)
    if not file.is_file():
        names = ", ".join(named("configs/studies"))
        raise FileNotFoundError(f"config: no file {file}; configs/studies has {names}")
    content = read_json(file)
    check_keys(str(file), content, STUDY_KEYS)
    if small and "small" not in content:
        raise ValueError(f"{file}: has no key small; run it without --small")
    if small:
        content = _small_form(content, str(file))
    if paper_epochs:
        if "epochs" not in content.get("paper", {}):
            raise ValueError(f"paper_epochs: {file} states no epochs of the paper; omit the option")
        content = {**content, "epochs": content["paper"]["epochs"]}
    if with_data:
        content = {"data": {}, **content}
    lacking = [key for key in NEEDED if key not in content]
    if lacking:
        hint = "; or give --data" if lacking == ["data"] else ""
        raise ValueError(f"{file}: lacks {', '.join(lacking)}{hint}")
    return _study(content, file.stem, small=small)


def with_weights(study: Study, given: str) -> Study:
    """Return a study whose methods with the weights ``imagenet`` read them from files.

    Args:
        study: the study.
        given: a file, if all these methods have one encoder; or encoder=file, separated by commas:
            methods with other encoders keep the published weights.

    Raises:
        FileNotFoundError: when a file does not exist.
        ValueError: when no method has these weights, or of which encoder a file is is not said.
    """
    # a study run in parts has the same command for each: a part may need none of the files
    all_rows, rows = _encoders((*study.methods, *study.left_out)), _encoders(study.methods)
    files = _weight_files(given, rows or all_rows, all_rows, study.name)
    return replace(
        study,
        methods=tuple(
            replace(method, weights=files[str(method.encoder)])
            if method.weights == IMAGENET and method.encoder in files
            else method
            for method in study.methods
        ),
    )


def _encoders(methods: Sequence[Method]) -> list[str]:
    """List the encoders that start from ImageNet weights."""
    return sorted({str(method.encoder) for method in methods if method.weights == IMAGENET})


def _weight_files(
    given: str, encoders: Sequence[str], known: Sequence[str], study: str
) -> dict[str, str]:
    """Return encoder -> absolute path; a file without a name is for all of ``encoders``."""
    pairs = [word.partition("=") for word in given.split(",")]
    named_files = all(equals and name in ENCODERS for name, equals, _ in pairs)
    files = (
        {name: path for name, _, path in pairs} if named_files else dict.fromkeys(encoders, given)
    )
    for path in files.values() or [given]:
        if not Path(path).is_file():
            raise FileNotFoundError(f"imagenet_weights: no file {path}")
    if set(files) - set(known) or not files or (not named_files and len(files) > 1):
        raise ValueError(
            f"imagenet_weights: the methods of {study} with the weights {IMAGENET} have the "
            f"encoders {', '.join(known) or 'none'}; give encoder=FILE for some of these, "
            f"separated by commas, got {given}"
        )
    return {name: str(Path(path).resolve()) for name, path in files.items()}


def with_methods(study: Study, names: Sequence[str]) -> Study:
    """Return a study of some of its methods; the reference is the first of them if left out.

    Raises:
        ValueError: for a name that is not one of its methods.
    """
    known = [method.name for method in study.methods]
    chosen = {check_name("only", name, known) for name in names}
    methods = tuple(method for method in study.methods if method.name in chosen)
    others = tuple(method for method in study.methods if method.name not in chosen)
    reference = study.reference if study.reference in chosen else methods[0].name
    return replace(study, methods=methods, left_out=others, reference=reference)


def _small_form(content: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Overlay the full form with the file that ``small`` is based on, and its own entries."""
    own = dict(content["small"])
    base = own.pop(BASE, None)
    shared = {}
    if base is not None:
        shared = read_json(shipped(*check_files(f"{file}: small", [base])))
    for where, entries in ((base, shared), (f"{file}: small", own)):
        check_keys(str(where), entries, [key for key in STUDY_KEYS if key != "small"])
    return merged(merged(content, shared), own)


def merged(content: Mapping[str, Any], small: Mapping[str, Any]) -> dict[str, Any]:
    """Overlay the full form with the small one: objects are merged, other values replaced.

    Each of ``pretrainings`` is merged with the one of its name.

    Example:
        >>> merged({"seeds": [0, 1], "data": {"a": 1}}, {"seeds": [0], "data": {"b": 2}})
        {'seeds': [0], 'data': {'a': 1, 'b': 2}}
    """
    whole = dict(content)
    for key, value in small.items():
        both = isinstance(value, Mapping) and isinstance(whole.get(key), Mapping)
        if both and key == "pretrainings":
            whole[key] = merged(whole[key], value)
        else:
            whole[key] = {**whole[key], **value} if both and key != "epochs" else value
    return whole


def _study(content: Mapping[str, Any], name: str, *, small: bool) -> Study:
    data = content["data"]
    check_keys("data", data, DATA_KEYS)
    bundle = bundle_of(content["bundle"], data.get("prepare", {}), content.get("data_set"))
    pretrainings = read_pretrainings(content, bundle)
    methods = read_methods(content, bundle, pretrained=tuple(pretrainings))
    names = [method.name for method in methods]
    rows = check_name("rows", content.get("rows", "methods"), ROWS)
    other = read_other_domain(content.get("other_domain"), methods, bundle)
    return Study(
        name=name,
        small=small,
        title=content["title"],
        question=content["question"],
        bundle=bundle,
        rows=rows,
        reference=check_name("reference", content.get("reference", names[0]), names),
        figures=check_figures(content["figures"], bundle.data.kind, rows),
        methods=tuple(methods),
        seeds=_whole_numbers("seeds", content["seeds"]),
        folds=_folds(content, methods, rows),
        epochs=_epochs(content["epochs"]),
        files=tuple(check_files("files", content.get("files", ()))),
        training_files=tuple(check_files("training_files", content.get("training_files", ()))),
        settings=content.get("settings", {}),
        data=read_data(data, bundle),
        pretrainings=pretrainings,
        paper=_paper(content.get("paper", {}), content["figures"]),
        other_domain=other,
        engines=_engines(content.get("engines", ()), methods, rows),
    )


def _engines(names: Sequence[str], methods: Sequence[Method], rows: str) -> tuple[str, ...]:
    """Read the engines of a timed CT.

    Raises:
        ValueError: for an unknown one, or a study with networks that are not timed.
    """
    engines = tuple(check_name("engines", name, ENGINES) for name in names)
    joint = [method.name for method in methods if domains_of(method.network)]
    if engines and (rows != "methods" or joint):
        got = f"the row {joint[0]!r}, a network of several domains" if joint else f"rows {rows}"
        raise ValueError(f"engines: only networks of rows methods are timed, got {got}; omit it")
    return engines


def _whole_numbers(key: str, numbers: object) -> tuple[int, ...]:
    if not isinstance(numbers, list) or not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"{key}: must be a list of different whole numbers, got {numbers!r}")
    for number in numbers:
        check_whole(key, number, 0)
    return tuple(numbers)


def _folds(content: Mapping[str, Any], methods: Sequence[Method], rows: str) -> tuple[int, ...]:
    if "folds" not in content:
        return ()
    splits = sorted({method.split for method in methods} - {*FOLD_SPLITS})
    if splits:
        kinds = " or ".join(FOLD_SPLITS)
        raise ValueError(
            f"folds: every method must have the split {kinds}, got {', '.join(splits)}"
        )
    if rows == "validated_stages":
        raise ValueError("folds: rows must be methods or stages, got validated_stages")
    return _whole_numbers("folds", content["folds"])


def _epochs(epochs: object) -> Mapping[str, int]:
    if not isinstance(epochs, Mapping) or len(epochs) != 1:
        kinds = " or ".join(f'{{"{kind}": n}}' for kind in EPOCHS)
        raise ValueError(f"epochs: must be {kinds}, got {epochs!r}")
    for kind, number in epochs.items():
        check_name("epochs", kind, EPOCHS)
        check_whole(f"epochs: {kind}", number, 1)
    return epochs


def _paper(paper: Mapping[str, Any], figures: Mapping[str, str]) -> Mapping[str, Any]:
    check_keys("paper", paper, PAPER_KEYS)
    if paper.get("rows") and not paper.get("source"):
        raise ValueError("paper: figures need their source")
    for name, row in paper.get("rows", {}).items():
        check_keys(f"paper: {name}", row, figures)
    return paper
