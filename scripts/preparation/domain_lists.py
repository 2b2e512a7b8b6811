"""``python -m scripts domains``: several prepared data sets as one datalist, for joint training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance, sha256_of
from scripts.datasets.datalist import load_datalist, read_datalist
from scripts.datasets.shares import PARTITIONS
from scripts.running.options import read_words
from scripts.storage.files import write_json
from scripts.storage.locks import claimed
from scripts.transforms.domains import DOMAIN

KIND = "domains"


def join_domains(domains: str, output: str) -> None:
    """Write one datalist of several prepared data sets, for a network that learns all of them.

    Each sample says its ``domain``. Partitions stay as they are: training slices of each data set
    are training slices here. Files are not copied. For configs/data/nodules_and_organs.json.

    Args:
        domains: name=datalist.json, separated by commas; for example
            nodules=prepared/luna16/datalist.json,organs=prepared/ircadb/datalist.json.
        output: folder to write datalist.json into.

    Raises:
        FileNotFoundError: when a datalist, or a file that it lists, does not exist.
        ValueError: for fewer than two domains, or a patient in different partitions of them.
    """
    paths = named_paths(domains)
    entries: dict[str, list[dict[str, Any]]] = {name: [] for name in PARTITIONS}
    for domain, path in paths.items():
        for name in PARTITIONS:
            entries[name] += [{**one, DOMAIN: domain} for one in load_datalist(path, name)]
    refuse_leaks(entries)
    for listed in entries.values():
        for case, entry in enumerate(listed):
            entry["case"] = case
    with claimed(Path(output)):
        write_json(Path(output) / "datalist.json", content_of(paths, entries))
    for name, listed in entries.items():
        counts = ", ".join(f"{sum(e[DOMAIN] == d for e in listed)} {d}" for d in paths)
        print(f"{name}: {counts}")
    print(f"written to {output}")


def named_paths(domains: object) -> dict[str, Path]:
    """Read names and datalists from the command line.

    Raises:
        ValueError: for anything but two or more of name=path, with different names.

    Example:
        >>> sorted(named_paths("nodules=a.json,organs=b.json"))
        ['nodules', 'organs']
    """
    pairs = [word.partition("=") for word in read_words("domains", domains)]
    names = [name for name, _, _ in pairs]
    if len(names) < 2 or len(set(names)) < len(names) or not all(a and c for a, _, c in pairs):
        raise ValueError(
            f"domains: must be two or more of name=datalist.json with different names, separated "
            f"by commas, got {domains!r}"
        )
    return {name: Path(path) for name, _, path in pairs}


def refuse_leaks(entries: Mapping[str, list[dict[str, Any]]]) -> None:
    """Refuse a patient who is in different partitions of the domains.

    Raises:
        ValueError: with the partitions.
    """
    places: dict[str, set[str]] = {}
    for name, listed in entries.items():
        for entry in listed:
            places.setdefault(str(entry.get("patient_id", entry["series_uid"])), set()).add(name)
    twice = [names for names in places.values() if len(names) > 1]
    if twice:
        raise ValueError(
            f"domains: {len(twice)} patients are in several partitions, the first in "
            f"{' and '.join(sorted(twice[0]))}; the network would be tested on patients that it "
            "learnt from: prepare the data sets with splits that agree"
        )


def content_of(
    paths: Mapping[str, Path], entries: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return the datalist: the partitions, and what the domains are."""
    described = {
        name: {
            "data_set": read_datalist(path).get("name"),
            "kind": read_datalist(path).get("kind"),
            "datalist_sha256": sha256_of(path),
        }
        for name, path in paths.items()
    }
    return {
        "name": "+".join(str(one["data_set"]) for one in described.values()),
        "kind": KIND,
        **entries,
        "domains": described,
        "provenance": provenance(split={"kind": "of each domain"}),
    }
