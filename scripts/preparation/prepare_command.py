"""The command ``prepare DATASET``: options and help of each data set, and its execution."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from scripts.datasets.contract import DataSet, Kind
from scripts.datasets.known import data_set_class
from scripts.datasets.problems import Problem
from scripts.datasets.shares import read_shares
from scripts.preparation.prepare_options import (
    SLICE_KINDS,
    SliceOptions,
    SplitOptions,
    check_window,
)
from scripts.preparation.splits import kinds_of, splits_of
from scripts.running.late_imports import late_imports
from scripts.running.options import cores, read_truth

EITHER: tuple[Kind, ...] = ("instances", "classes")


@dataclass(frozen=True)
class Shared:
    """An option that several data sets share.

    Args:
        type: type of its value, as a Python annotation.
        default: default value; None if it depends on the data set.
        meaning: text of the help; if empty, it is composed for each data set.
        kinds: the kinds of data set that have it.
    """

    type: str
    default: Any
    meaning: str
    kinds: tuple[Kind, ...] = EITHER


SHARED: Mapping[str, Shared] = {
    "split": Shared("str", "patient", ""),
    "shares": Shared("str", "8:1:1", "for patient: relative sizes of the three partitions."),
    "folds": Shared("int", 5, "for fold: number of folds."),
    "test_fold": Shared("int", 0, "for folds: the test fold, from 0; the next is for validation."),
    "block": Shared("int", 10, "for slice_block: slices per block.", ("classes",)),
    "seed": Shared("int", 0, "seed of all random draws."),
    "slices": Shared("str", None, ""),
    "every": Shared("int", 1, "use every n-th of these slices.", ("classes",)),
    "neighbours": Shared("int", 1, "slices on either side of each, for 2.5D input."),
    "empty_share": Shared(
        "float", 0.1, "share of slices without a nodule among the samples.", ("instances",)
    ),
    "window_hu": Shared(
        "tuple[float, float]",
        None,
        "display window in HU, kept in the datalist; for classes, the mean of the training images "
        "is taken after it.",
    ),
    "jobs": Shared(
        "int",
        None,
        "scans prepared in parallel; by default up to one per core, fewer for few scans.",
    ),
    "volumes": Shared(
        "bool",
        True,
        "write whole volumes as NIfTI too; they are listed if the split keeps scans whole.",
    ),
    "check_hu": Shared(
        "bool",
        True,
        "refuse a scan whose values cannot be HU; false if they are known to be right.",
    ),
}
SLICE_MEANINGS: Mapping[Kind, str] = {
    "instances": "central (one per nodule, as in the paper) or all slices of each nodule.",
    "classes": "all, or organ for those that show one of the organs.",
}
PATH_MEANINGS = {
    "source": "folder that holds the scans.",
    "output": "folder to write.",
    "audit": "only list the contents of the source; with an output, write the list too.",
    "crops": "only write crops around the listed nodules, with the readers' votes, as a source of "
    "prepare lidc_nodules.",
}
WRITTEN = (
    "Writes OUTPUT/datalist.json, scans/, volumes/, report.json and report.csv. A scan that cannot "
    "be used is reported and left out, the others are still prepared, and the exit code is 1. The "
    "same command resumes an interrupted run."
)


def prepare(dataset: str, **options: Any) -> None:
    """Prepare a data set for training.

    Args:
        dataset: name of the data set.
        options: see :func:`help_of`.

    Raises:
        ValueError: for an unknown data set or option, or one that does not fit the data.
        OSError: for a source in another layout, or an output that cannot be written.
        SystemExit: 1 when a scan, file or row could not be used, or only with an assumption.
    """
    values = _with_defaults(dataset, options)
    data_set = _built(data_set_class(dataset), values)
    source = Path(str(values["source"]))
    output = None if values["output"] is None else Path(str(values["output"]))
    if data_set.auditable and read_truth("audit", values["audit"]):
        jobs = cores() if values["jobs"] is None else values["jobs"]
        problems = data_set.audit(source, output, jobs=jobs)
    elif output is None:
        raise ValueError("output: must name a folder to write, got nothing")
    elif data_set.croppable and read_truth("crops", values["crops"]):
        problems = data_set.crop(source, output, jobs=values["jobs"])
    else:
        problems = _prepare(data_set, source, output, values)
    if problems:
        raise SystemExit(1)


def command_of(dataset: str) -> Callable[..., None]:
    """Return :func:`prepare` for one data set, as a function with its signature and docstring."""
    signature = signature_of(dataset)

    def command(*paths: Any, **options: Any) -> None:
        prepare(dataset, **signature.bind(*paths, **options).arguments)

    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__doc__ = help_of(dataset)
    return command


def _prepare(
    data_set: DataSet, source: Path, output: Path, values: Mapping[str, Any]
) -> list[Problem]:
    """Prepare with checked values of the options, print the summary and return the problems."""
    if isinstance(values["jobs"], int) and values["jobs"] > 1:
        from scripts.running.workers import start_early

        start_early("scripts.preparation.cases")
    with late_imports():
        from scripts.preparation.cohort import Request, prepare_cohort
        from scripts.preparation.cohort_report import summary

    data_set = data_set.at(source)
    shared = {name: values.get(name, option.default) for name, option in SHARED.items()}
    slices, window = shared["slices"], shared["window_hu"]
    request = Request(
        data_set,
        source,
        output,
        SliceOptions(
            SLICE_KINDS[data_set.kind][0] if slices is None else slices,
            *(shared[name] for name in ("neighbours", "every", "empty_share", "seed")),
        ),
        SplitOptions(
            shared["split"],
            shared["seed"],
            read_shares(shared["shares"]),
            *(shared[name] for name in ("folds", "test_fold", "block")),
        ),
        None if window is None else check_window(window),
        jobs=shared["jobs"],
        volumes=read_truth("volumes", shared["volumes"]),
        check_hu=read_truth("check_hu", shared["check_hu"]),
    )
    report = prepare_cohort(request)
    print(summary(report))
    return report.problems


def _with_defaults(dataset: str, options: Mapping[str, Any]) -> dict[str, Any]:
    parameters = signature_of(dataset).parameters
    for name in options:
        if name not in parameters:
            raise ValueError(
                f"{name}: not an option of prepare {dataset}, which has {', '.join(parameters)}"
            )
    for name, parameter in parameters.items():
        if parameter.default is Parameter.empty and options.get(name) is None:
            raise ValueError(f"{name}: must name a folder, got nothing")
    return {name: options.get(name, p.default) for name, p in parameters.items()}


def _built(data_set: type[DataSet], values: Mapping[str, Any]) -> DataSet:
    built = data_set(**{name: values[name] for name in _own_options(data_set)})
    for name, option in SHARED.items():
        changed = name in values and values[name] != option.default
        if changed and built.kind not in option.kinds:
            raise ValueError(f"{name}: is not for data of kind {built.kind}, got {values[name]!r}")
    return built


def signature_of(dataset: str) -> Signature:
    """Return the options of ``prepare DATASET``: paths, own options and shared options.

    Raises:
        ValueError: for an unknown data set.
    """
    data_set = data_set_class(dataset)
    parameters = [
        Parameter("source", Parameter.POSITIONAL_OR_KEYWORD, annotation="str"),
        Parameter(
            "output",
            Parameter.POSITIONAL_OR_KEYWORD,
            default=None if data_set.auditable else Parameter.empty,
            annotation="str | None" if data_set.auditable else "str",
        ),
    ]
    own = _own_options(data_set)
    types = {name: option.type for name, option in SHARED.items()}
    defaults: dict[str, Any] = {"audit": False} if data_set.auditable else {}
    defaults |= {"crops": False} if data_set.croppable else {}
    defaults |= {
        name: Parameter.empty if option.default is MISSING else option.default
        for name, option in own.items()
    }
    defaults |= {name: _default(name, data_set) for name in _shared_by(data_set)}
    parameters += [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=default,
            annotation=own[name].type if name in own else types.get(name, "bool"),
        )
        for name, default in defaults.items()
    ]
    return Signature(parameters, return_annotation=None)


def _own_options(data_set: type[DataSet]) -> dict[str, Field[Any]]:
    options = fields(data_set)  # type: ignore[arg-type]
    return {option.name: option for option in options if option.init}


def _shared_by(data_set: type[DataSet]) -> list[str]:
    kinds = set(kinds_of(data_set))
    return [name for name, option in SHARED.items() if kinds & set(option.kinds)]


def _default(name: str, data_set: type[DataSet]) -> Any:
    """Return the default of a shared option; None if it depends on another option."""
    kinds = kinds_of(data_set)
    if name == "slices" and len(kinds) == 1:
        return SLICE_KINDS[kinds[0]][0]
    if name == "window_hu" and isinstance(data_set.window_hu, tuple):
        return data_set.window_hu
    return SHARED[name].default


def help_of(dataset: str) -> str:
    """Return the help of ``prepare DATASET`` as a docstring: a description, and its options.

    Raises:
        ValueError: for an unknown data set.
    """
    data_set = data_set_class(dataset)
    text, own = _read_docstring(inspect.getdoc(data_set) or "")
    kinds = kinds_of(data_set)
    meanings = {**PATH_MEANINGS, **{name: option.meaning for name, option in SHARED.items()}, **own}
    splits = [f"{name} ({split.meaning})" for name, split in splits_of(data_set).items()]
    meanings["split"] = f"{', '.join(splits[:-1])} or {splits[-1]}."
    meanings["slices"] = " ".join(
        f"for {kind}: {SLICE_MEANINGS[kind]}" if len(kinds) > 1 else SLICE_MEANINGS[kind]
        for kind in kinds
    )
    lines = [
        f"    {name}: {meanings.get(name, '')}".rstrip()
        for name in signature_of(dataset).parameters
    ]
    return "\n".join([text, "", WRITTEN, "", "Args:", *lines])


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into the text before ``Args:``, and the meaning of each option."""
    before, _, after = text.partition("\nArgs:\n")
    meanings: dict[str, str] = {}
    for line in after.splitlines():
        entry = re.match(r"    (\w+): (.*)", line)
        if entry:
            meanings[entry[1]] = entry[2]
        elif line.startswith("        ") and meanings:
            last = next(reversed(meanings))
            meanings[last] = f"{meanings[last]} {line.strip()}"
        elif line.strip():
            break
    return before.strip(), meanings
