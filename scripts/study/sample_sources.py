"""The source of a study's samples: phantoms, a data set on disk, or a prepared folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from scripts.datasets.datalist import content_sha256
from scripts.datasets.luna16.outline_files import outlines_path
from scripts.preparation.prepare_command import signature_of
from scripts.preparation.prepare_options import SplitOptions
from scripts.preparation.splits import ALL_TEST
from scripts.study.choices import Bundle
from scripts.study.declaration import Study
from scripts.study.further_data import OtherDomain, Pretraining
from scripts.study.prepared_folder import read_prepared_folder
from scripts.study.workshop import Task

PHANTOMS = "phantoms"
DRAWN = ("masks",)  # folders of reference annotation that are part of phantoms


@dataclass(frozen=True)
class Source:
    """The data that the user provides.

    Args:
        data: folder of the data set, or one that ``prepare`` made; None for phantoms.
        label_folders: option of ``prepare`` -> folder of reference annotation outside ``data``, or
            database of it.
        pretraining_data: as ``data``, for a pretraining with separate data.
        test_data: as ``data``, of which everything is the test set of every network.
        timed_ct: a CT, as ``predict`` reads it, whose prediction by every network is timed.
    """

    data: Path | None = None
    label_folders: Mapping[str, Path] = field(default_factory=dict)
    pretraining_data: Path | None = None
    test_data: Path | None = None
    timed_ct: Path | None = None

    @property
    def is_prepared(self) -> bool:
        """Whether ``prepare`` made the folder."""
        return self.data is not None and (self.data / "datalist.json").is_file()

    @property
    def of_pretraining(self) -> Source:
        """Source of a pretraining with separate data."""
        return Source(self.pretraining_data)

    @property
    def of_test(self) -> Source:
        """Source of the test set, if it has its own."""
        return Source(self.test_data, self.label_folders)

    def describe(self, bundle: Bundle, data: Mapping[str, Any]) -> str:
        """Describe the data of a study or its pretraining, which declares ``data``."""
        if self.data is None:
            options = ", ".join(f"{name} {value}" for name, value in data["phantoms"].items())
            return (
                f"synthetic phantoms ({options}). Phantoms show that the software works; they "
                "allow no conclusion about patients"
            )
        if not self.is_prepared:
            return f"{bundle.data.title}, in {self.data}"
        given = read_prepared_folder(self.data)
        return (
            f"prepared data in {self.data}: {bundle.data.title}, label {', '.join(given.labels)}, "
            f"split {given.split} with seed {given.seed}"
            + "".join(f", {name} {value}" for name, value in given.options.items())
        )


def choose_source(
    study: Study,
    data: str | None,
    outlines: str | None,
    masks: str | None,
    *,
    pretraining_data: str | None = None,
    test_source: str | None = None,
) -> Source:
    """Return the source of the command line; the small form runs on phantoms without ``data``.

    A pretraining with separate data runs on phantoms, in both forms, unless its data are given.

    Raises:
        ValueError: when the full form has no data, a label kind lacks its folder, a prepared
            folder differs from the declaration, or no pretraining needs the given data.
        FileNotFoundError: for a folder that does not exist.
    """
    if data is None and not study.small:
        raise ValueError(
            f"data: the full form of {study.name} needs real scans; give --data DIR (the "
            f"source of prepare {study.bundle.data_set}, or a prepared folder), --data phantoms, "
            "or --small"
        )
    folders = {"data": data, "masks": masks, "pretraining_data": pretraining_data}
    folders["test_source"] = test_source
    paths = {
        name: None if value in (None, PHANTOMS) else Path(str(value)).resolve()
        for name, value in folders.items()
    }
    for name, path in paths.items():
        if path is not None and not path.is_dir():
            raise FileNotFoundError(f"{name}: no such folder: {path}")
    label_folders = {} if paths["masks"] is None else {"masks": paths["masks"]}
    if outlines is not None:
        label_folders["outlines"] = outlines_path(outlines).resolve()
    source = Source(paths["data"], label_folders, paths["pretraining_data"], paths["test_source"])
    if source.data is None and "phantoms" not in study.data:
        raise ValueError("data: the study declares no phantoms; give --data DIR")
    _check_labels(study, source)
    _check_pretraining_data(study, source)
    _check_test_data(study, source)
    return source


def _check_test_data(study: Study, source: Source) -> None:
    """Refuse further test data that the study cannot use.

    Raises:
        ValueError: for a study without a test, or a label whose folder is not given.
    """
    if source.test_data is None:
        return
    if study.rows == "validated_stages":
        raise ValueError("test_source: the rows of this study are validated, none is tested")
    for kind, option in study.bundle.data.label_folders.items():
        tested = kind in {method.tested_label for method in study.methods}
        if tested and not source.of_test.is_prepared and option not in source.label_folders:
            raise ValueError(f"{option}: the test set has labels of kind {kind}; give --{option}")


def _check_pretraining_data(study: Study, source: Source) -> None:
    if source.pretraining_data is None:
        return
    used = [study.pretrainings.get(name) for name in {m.weights for m in study.methods}]
    needed = {p.bundle.data_set: p.bundle for p in used if p is not None and p.bundle is not None}
    if study.other_domain is not None:
        needed[study.other_domain.bundle.data_set] = study.other_domain.bundle
    if len(needed) != 1:
        raise ValueError(
            "pretraining_data: must be for pretrainings or a domain with data of one data set, "
            f"those of the methods of {study.name} have "
            f"{' and '.join(sorted(needed)) or 'no separate data'}"
        )
    (bundle,) = needed.values()
    folder = source.pretraining_data
    if source.of_pretraining.is_prepared:
        given = read_prepared_folder(folder)
        given.check(bundle, folder, label=bundle.labels[0], split=given.split)


def _check_labels(study: Study, source: Source) -> None:
    kinds = {label for m in study.methods for label in (m.label, m.tested_label)}
    if source.is_prepared and source.data is not None:
        splits = {method.split for method in study.methods}
        if len(kinds) > 1 or len(splits) > 1 or len(study.seeds) > 1 or len(study.folds) > 1:
            raise ValueError(
                f"data: {source.data} is prepared with one label, split and seed, the study has "
                f"{', '.join(sorted(kinds | splits))} and seeds {list(study.seeds)}; give the "
                f"source of prepare {study.bundle.data_set} instead"
            )
        (label,), (split,) = kinds, splits
        options = study.data.get("prepare", {})
        given = read_prepared_folder(source.data)
        given.check(study.bundle, source.data, label=label, split=split, options=options)
        return
    for kind, option in study.bundle.data.label_folders.items():
        drawn = source.data is None and option in DRAWN
        if kind in kinds and not drawn and option not in source.label_folders:
            raise ValueError(f"{option}: the study has labels of kind {kind}; give --{option} DIR")


def prepared_task(
    study: Study, source: Source, kind: tuple[str, str, int], *, fold: int | None = None
) -> Task:
    """Make the step that prepares data of a ``kind``: label, split and seed; and a test fold."""
    return _prepared(study.bundle, study.data, source, kind, fold)


def test_task(study: Study, source: Source, label: str) -> Task:
    """Make the step that prepares the further test data; all seeds and folds share it."""
    return _prepared(study.bundle, study.data, source.of_test, (label, ALL_TEST, 0))


def pretraining_data_task(pretraining: Pretraining, source: Source, seed: int) -> Task | None:
    """Make the step that prepares a pretraining's separate data, split by patient."""
    if pretraining.bundle is None:
        return None
    return _of_another_bundle(pretraining.bundle, pretraining.data, source, seed)


def other_domain_task(other: OtherDomain, source: Source, seed: int) -> Task:
    """Make the step that prepares the data of the other domain, split by patient."""
    return _of_another_bundle(other.bundle, other.data, source, seed)


def _of_another_bundle(bundle: Bundle, data: Mapping[str, Any], source: Source, seed: int) -> Task:
    return _prepared(bundle, data, source.of_pretraining, (bundle.labels[0], "patient", seed))


def given_task(folder: Path) -> Task:
    """Make the step of data that are prepared already."""
    file = folder / "datalist.json"
    state = file.stat()
    facts = {"datalist": _content(file, (state.st_mtime_ns, state.st_size))}
    return Task("prepared", "given", made_of=facts, given=folder)


@cache  # every cell of a study asks for it, and it takes a second for a thousand scans
def _content(datalist: Path, state: tuple[int, int]) -> str:
    return content_sha256(datalist)


def _prepared(
    bundle: Bundle,
    data: Mapping[str, Any],
    source: Source,
    kind: tuple[str, str, int],
    fold: int | None = None,
) -> Task:
    """Prepare a label, split and seed (``kind``) of a bundle's data set, with a test fold."""
    if source.is_prepared and source.data is not None:
        return given_task(source.data)
    (label, split, seed), data_set = kind, bundle.data_set
    needs = () if source.data is not None else (cohort_task(bundle, data["phantoms"]),)
    folder = "<need0>" if needs else str(source.data)
    unused = SplitOptions(split).unused(bundle.data)  # declared for other rows
    declared = {name: value for name, value in bundle.options.items() if name not in unused}
    options = {**declared, "split": split, "seed": seed, "jobs": 1}
    if fold is not None:
        options["test_fold"] = fold
    words = ["-m", "scripts", "prepare", data_set, "--source", folder, "--output", "<out>"]
    if "label" in signature_of(data_set).parameters:
        options["label"] = label
    option = bundle.data.label_folders.get(label)
    if option is not None:
        options[option] = source.label_folders.get(option, f"<need0>/{option}")
    for name, path in source.label_folders.items():
        if path.is_file() and name in signature_of(data_set).parameters:
            options[name] = path  # a database names the patients, for every label
    words += _options(options)
    of_fold = "" if fold is None else f" {fold}"
    name = f"{data_set} {label} {split}{of_fold} seed {seed}"
    return Task("prepared", name, tuple(words), needs)


def cohort_task(bundle: Bundle, options: Mapping[str, Any]) -> Task:
    """Make the step that makes phantoms."""
    command = ["-m", "scripts", "phantom", str(bundle.data.phantom)]
    words = [*command, "--output", "<out>", *_options(options)]
    return Task("cohorts", f"{bundle.data_set} phantoms", tuple(words))


def _options(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
