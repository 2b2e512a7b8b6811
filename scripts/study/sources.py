"""Where a study's samples come from: phantoms, a download, or a folder that is prepared already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bundle.record import sha256_of
from scripts.study.choices import Bundle
from scripts.study.declaration import Pretraining, Study
from scripts.study.workshop import Task

PHANTOMS = "phantoms"


@dataclass(frozen=True)
class Source:
    """What the user gave.

    Args:
        data: folder of a download, or one that ``prepare`` made; None for phantoms.
        readers_xml: folder of LIDC XML files, for the label ``readers``.
        masks: folder of masks, for the label ``masks``.
        pretraining_data: as ``data``, for the pretraining that has data of its own.
    """

    data: Path | None = None
    readers_xml: Path | None = None
    masks: Path | None = None
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
        kind = "prepared data" if self.is_prepared else f"{bundle.data_set} as downloaded"
        return f"{kind} in {self.data}"


def choose_source(
    study: Study,
    data: str | None,
    readers_xml: str | None,
    masks: str | None,
    *,
    pretraining_data: str | None = None,
) -> Source:
    """Take what the command line gave; the small form is content with phantoms.

    A pretraining that has data of its own is content with phantoms in both forms.

    Raises:
        ValueError: when the full form has no data, a label kind lacks its folder, or no
            pretraining asks for what is given.
        FileNotFoundError: for a folder that is not there.
    """
    if data is None and not study.small:
        raise ValueError(
            f"data: the full form of {study.name} is for real scans; give --data DIR (the "
            f"download of {study.bundle.data_set}, or a prepared folder), --data phantoms, or "
            "--small"
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
    source = Source(**paths)
    if source.data is None and "phantoms" not in study.data:
        raise ValueError("data: the study declares no phantoms; give --data DIR")
    _check_labels(study, source)
    used = [study.pretrainings.get(name) for name in {m.weights for m in study.methods}]
    asking = {p.bundle.data_set for p in used if p is not None and p.bundle is not None}
    if source.pretraining_data is not None and len(asking) != 1:
        raise ValueError(
            "pretraining_data: must be for pretrainings with data of one set, those that methods "
            f"of {study.name} start from have {' and '.join(sorted(asking)) or 'none of their own'}"
        )
    return source


def _check_labels(study: Study, source: Source) -> None:
    kinds = {label for m in study.methods for label in (m.label, m.tested_label)}
    if source.is_prepared:
        splits = {method.split for method in study.methods}
        if len(kinds) > 1 or len(splits) > 1 or len(study.seeds) > 1:
            raise ValueError(
                f"data: {source.data} is prepared with one label, split and seed, the study has "
                f"{', '.join(sorted(kinds | splits))} and seeds {list(study.seeds)}; give the "
                "download instead"
            )
        return
    if "readers" in kinds and source.readers_xml is None:
        raise ValueError("readers_xml: the study has reader labels; give --readers_xml DIR")
    if "masks" in kinds and source.masks is None and source.data is not None:
        raise ValueError("masks: the study has labels from masks; give --masks DIR")


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
    options = {**data.get("prepare", {}), "split": split, "seed": seed, "jobs": 1}
    words = ["-m", "scripts", "prepare", data_set, "--source", folder, "--output", "<out>"]
    if data_set == "luna16":
        options["label"] = label
        options |= _label_folders(label, source)
    words += _options(options)
    return Task("prepared", f"{data_set} {label} {split} seed {seed}", tuple(words), needs)


def _label_folders(label: str, source: Source) -> dict[str, Any]:
    if label == "readers":
        return {"readers_xml": source.readers_xml}
    if label == "masks":
        return {"masks": "<need0>/masks" if source.data is None else source.masks}
    return {}


def cohort_task(bundle: Bundle, options: Mapping[str, Any]) -> Task:
    """Make the step that draws phantoms."""
    words = ["-m", "scripts", "phantom", bundle.data_set, "--output", "<out>", *_options(options)]
    return Task("cohorts", f"{bundle.data_set} phantoms", tuple(words))


def _options(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
