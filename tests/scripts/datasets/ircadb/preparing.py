"""Preparation of a tiny cohort, and what tests ask of its datalist."""

import json
from pathlib import Path

from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.preparation.cohort import Request
from scripts.preparation.prepare_command import command_of
from scripts.preparation.prepare_options import SliceOptions


def run(source: Path, **options) -> tuple[dict, Path]:
    output = source.parent / "out"
    command_of("ircadb")(str(source), str(output), jobs=1, **options)
    return json.loads((output / "datalist.json").read_text()), output


def every_sample(datalist):
    return [s for section in ("training", "validation", "test") for s in datalist[section]]


def request_for(source, **options):
    return Request(Ircadb(**options), source, source.parent / "out", SliceOptions("all"))
