"""A prepared folder that is given to a study, and its comparison with what the study declares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.datasets.shares import PARTITIONS
from scripts.study.choices import Bundle

PREPARED = ("slices", "neighbours", "every", "empty_share", "min_readers", "tumour")


@dataclass(frozen=True)
class PreparedFolder:
    """Description of a prepared folder, from its datalist.

    Args:
        data_set: name of the data set.
        kind: instances or classes.
        labels: kinds of reference annotation of its samples.
        split: kind of split.
        seed: of that split.
        options: further options of ``prepare`` that its samples depend on.
    """

    data_set: str
    kind: str
    labels: tuple[str, ...]
    split: str
    seed: int
    options: Mapping[str, str] = field(default_factory=dict)

    def check(
        self,
        bundle: Bundle,
        folder: Path,
        *,
        label: str,
        split: str,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Refuse a folder that differs from the declaration of the study.

        Raises:
            ValueError: with the content of the folder, the declaration, and what to do.
        """
        declared = {"data set": bundle.data_set, "kind": bundle.data.kind}
        declared |= {"label": label, "split": split}
        held = {"data set": self.data_set, "kind": self.kind}
        held |= {"label": ", ".join(self.labels), "split": self.split}
        for name, value in (options or {}).items():
            if name in self.options:
                declared[name], held[name] = str(value), self.options[name]
        different = [key for key in declared if held[key] != declared[key]]
        if different:
            raise ValueError(
                f"data: {folder} holds {_listed(held, different)}, the study declares "
                f"{_listed(declared, different)}; change the study's file, or prepare again"
            )


def _listed(values: Mapping[str, str], keys: list[str]) -> str:
    return ", ".join(f"{key} {values[key]}" for key in keys)


def read_prepared_folder(folder: Path) -> PreparedFolder:
    """Read the description of a prepared folder.

    Raises:
        ValueError: when its datalist lacks it.
    """
    file = folder / "datalist.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    try:
        samples = [sample for partition in PARTITIONS for sample in content[partition]]
        known = content["provenance"]
        split = known["split"]
        labels = tuple(sorted({str(sample["label_kind"]) for sample in samples}))
        options = {name: str(known[name]) for name in PREPARED if name in known}
        options |= {name: str(split[name]) for name in ("folds", "test_fold") if name in split}
        if "shares" in split:
            options["shares"] = ":".join(map(str, split["shares"]))
        described = content["name"], content["kind"], labels, split["kind"], split["seed"]
        return PreparedFolder(*described, options)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"data: {file} lacks {error}, which describes how it was prepared; prepare again"
        ) from error
