"""Preparation of a tiny cohort, and what tests ask of its datalist."""

import json
from pathlib import Path

from scripts.datasets.ircadb.options import PatientOptions, SplitOptions
from scripts.datasets.ircadb.preparation import Request, prepare


def run(source: Path, **options) -> tuple[dict, Path]:
    output = source.parent / "out"
    prepare(str(source), str(output), jobs=1, **options)
    return json.loads((output / "datalist.json").read_text()), output


def every_sample(datalist):
    return [s for section in ("training", "validation", "test") for s in datalist[section]]


def request_for(source, **options):
    return Request(source, source.parent / "out", PatientOptions(**options), SplitOptions())
