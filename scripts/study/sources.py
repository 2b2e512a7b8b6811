"""Where a study's samples come from: phantoms, a download, or a folder that is already prepared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bundle.record import sha256_of
from scripts.datasets.shares import PARTITIONS
from scripts.preparation.command import signature_of
from scripts.study.choices import Bundle
from scripts.study.declaration import Pretraining, Study
from scripts.study.workshop import Task

PHANTOMS = "phantoms"
DRAWN = ("masks",)  # folders of reference annotation that phantoms come with


@dataclass(frozen=True)
class Given:
    """What the datalist of a prepared folder says of it.

    Args:
        data_set: name of the data set.
        kind: instances or classes.
        labels: kinds of reference annotation of its samples.
        split: that it was divided by.
        seed: of that split.
    """

    data_set: str
    kind: str
    labels: tuple[str, ...]
    split: str
    seed: int

    def check(self, bundle: Bundle, folder: Path, *, label: str, split: str) -> None:
        """Refuse a folder that holds something else than what is to be trained and reported.

        Raises:
            ValueError: with what it holds, what is wanted, and what to do.
        """
        wanted = {"data set": bundle.data_set, "kind": bundle.data.kind}
        wanted |= {"label": label, "split": split}
        held = {"data set": self.data_set, "kind": self.kind}
        held |= {"label": ", ".join(self.labels), "split": self.split}
        wrong = [key for key in wanted if held[key] != wanted[key]]
        if wrong:
            raise ValueError(
                f"data: {folder} holds {_listed(held, wrong)}, the study declares "
                f"{_listed(wanted, wrong)}; declare in the study's file what the folder holds, or "
                "prepare again"
            )


def _listed(values: Mapping[str, str], keys: list[str]) -> str:
    return ", ".join(f"{key} {values[key]}" for key in keys)


def read_given(folder: Path) -> Given:
    """Read what a prepared folder holds.

    Raises:
        ValueError: when its datalist does not say so.
    """
    file = folder / "datalist.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    try:
        samples = [sample for partition in PARTITIONS for sample in content[partition]]
        split = content["provenance"]["split"]
        labels = tuple(sorted({str(sample["label_kind"]) for sample in samples}))
        return Given(content["name"], content["kind"], labels, split["kind"], split["seed"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"data: {file} lacks {error}: it does not say how it was prepared; prepare again"
        ) from error


@dataclass(frozen=True)
class Source:
    """What the user gave.

    Args:
        data: folder of a download, or one that ``prepare`` made; None for phantoms.
        label_folders: option of ``prepare`` -> folder of reference annotation outside ``data``.
        pretraining_data: as ``data``, for the pretraining that has data of its own.
    """

    data: Path | None = None
    label_folders: Mapping[str, Path] = field(default_factory=dict)
    pretraining_data: Path | None = None

    @property
    def is_prepared(self) -> bool:
        """Whether ``prepare`` made the folder."""
        return self.data is not None and (self.data / "datalist.json").is_file()

    @property
    def of_pretraining(self) -> Source:
        """Source of the pretraining that has data of its own."""
        return Source(self.pretraining_data)

    def describe(self, bundle: Bundle, data: Mapping[str, Any]) -> str:
        """Say in words what a study, or its pretraining, is run on; ``data`` as it declares it."""
        if self.data is None:
            made = data["phantoms"]
            drawn = ", ".join(f"{name} {value}" for name, value in made.items())
            return (
                f"synthetic phantoms ({drawn}). Phantoms show that the software works; they say "
                "nothing about patients"
            )
        if not self.is_prepared:
            return f"{bundle.data.title}, in {self.data}"
        given = read_given(self.data)
        return (
            f"prepared data in {self.data}: {bundle.data.title}, label {', '.join(given.labels)}, "
            f"split {given.split} drawn with seed {given.seed}"
        )


def choose_source(
    study: Study,
    data: str | None,
    readers_xml: str | None,
    masks: str | None,
    *,
    pretraining_data: str | None = None,
) -> Source:
    """Take what the command line gave; the small form runs on phantoms without ``data``.

    A pretraining that has data of its own runs on phantoms in both forms where none are given.

    Raises:
        ValueError: when the full form has no data, a label kind lacks its folder, a prepared
            folder holds something else, or no pretraining asks for what is given.
        FileNotFoundError: for a folder that is not there.
    """
    if data is None and not study.small:
        raise ValueError(
            f"data: the full form of {study.name} is for real scans; give --data DIR (the "
            f"source of prepare {study.bundle.data_set}, or a prepared folder), --data phantoms, "
            "or --small"
        )
    folders = {"data": data, "readers_xml": readers_xml, "masks": masks}
    folders["pretraining_data"] = pretraining_data
    paths = {
        name: None if value in (None, PHANTOMS) else Path(str(value)).resolve()
        for name, value in folders.items()
    }
    for name, path in paths.items():
        if path is not None and not path.is_dir():
            raise FileNotFoundError(f"{name}: no folder {path}")
    label_folders = {
        name: path for name in ("readers_xml", "masks") if (path := paths[name]) is not None
    }
    source = Source(paths["data"], label_folders, paths["pretraining_data"])
    if source.data is None and "phantoms" not in study.data:
        raise ValueError("data: the study declares no phantoms; give --data DIR")
    _check_labels(study, source)
    _check_pretraining_data(study, source)
    return source


def _check_pretraining_data(study: Study, source: Source) -> None:
    if source.pretraining_data is None:
        return
    used = [study.pretrainings.get(name) for name in {m.weights for m in study.methods}]
    asking = {p.bundle.data_set: p.bundle for p in used if p is not None and p.bundle is not None}
    if len(asking) != 1:
        raise ValueError(
            "pretraining_data: must be for pretrainings with data of one set, those that methods "
            f"of {study.name} start from have {' and '.join(sorted(asking)) or 'none of their own'}"
        )
    (bundle,) = asking.values()
    folder = source.pretraining_data
    if source.of_pretraining.is_prepared:
        given = read_given(folder)
        given.check(bundle, folder, label=bundle.labels[0], split=given.split)


def _check_labels(study: Study, source: Source) -> None:
    kinds = {label for m in study.methods for label in (m.label, m.tested_label)}
    if source.is_prepared and source.data is not None:
        splits = {method.split for method in study.methods}
        if len(kinds) > 1 or len(splits) > 1 or len(study.seeds) > 1:
            raise ValueError(
                f"data: {source.data} is prepared with one label, split and seed, the study has "
                f"{', '.join(sorted(kinds | splits))} and seeds {list(study.seeds)}; give the "
                f"source of prepare {study.bundle.data_set} instead"
            )
        (label,), (split,) = kinds, splits
        read_given(source.data).check(study.bundle, source.data, label=label, split=split)
        return
    for kind, option in study.bundle.data.label_folders.items():
        drawn = source.data is None and option in DRAWN
        if kind in kinds and not drawn and option not in source.label_folders:
            raise ValueError(f"{option}: the study has labels of kind {kind}; give --{option} DIR")


def prepared_task(study: Study, source: Source, *, label: str, split: str, seed: int) -> Task:
    """Make the step that prepares one kind of label and split for one seed."""
    return _prepared(study.bundle, study.data, source, (label, split, seed))


def pretraining_data_task(pretraining: Pretraining, source: Source, seed: int) -> Task | None:
    """Make the step that prepares a pretraining's own data, split by patient; None without."""
    if pretraining.bundle is None:
        return None
    kind = (pretraining.bundle.labels[0], "patient", seed)
    return _prepared(pretraining.bundle, pretraining.data, source.of_pretraining, kind)


def _prepared(
    bundle: Bundle, data: Mapping[str, Any], source: Source, kind: tuple[str, str, int]
) -> Task:
    """Prepare a label, split and seed (``kind``) of a bundle's data set."""
    if source.is_prepared and source.data is not None:
        facts = {"datalist": sha256_of(source.data / "datalist.json")}
        return Task("prepared", "given", made_of=facts, given=source.data)
    (label, split, seed), data_set = kind, bundle.data_set
    needs = () if source.data is not None else (cohort_task(bundle, data["phantoms"]),)
    folder = "<need0>" if needs else str(source.data)
    options = {**bundle.options, "split": split, "seed": seed, "jobs": 1}
    words = ["-m", "scripts", "prepare", data_set, "--source", folder, "--output", "<out>"]
    if "label" in signature_of(data_set).parameters:
        options["label"] = label
    option = bundle.data.label_folders.get(label)
    if option is not None:
        options[option] = source.label_folders.get(option, f"<need0>/{option}")
    words += _options(options)
    return Task("prepared", f"{data_set} {label} {split} seed {seed}", tuple(words), needs)


def cohort_task(bundle: Bundle, options: Mapping[str, Any]) -> Task:
    """Make the step that draws phantoms."""
    command = ["-m", "scripts", "phantom", str(bundle.data.phantom)]
    words = [*command, "--output", "<out>", *_options(options)]
    return Task("cohorts", f"{bundle.data_set} phantoms", tuple(words))


def _options(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
