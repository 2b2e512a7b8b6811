"""How long the networks of a study take for one whole CT, with each engine of ``predict``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from scripts.pages.report_page import Table
from scripts.storage.files import read_json
from scripts.study.cells import Cell
from scripts.study.declaration import Study
from scripts.study.reporting.drawings import save, tidy
from scripts.study.reporting.statistics import estimate
from scripts.study.reporting.tables import NOTHING, Rows, number
from scripts.study.workshop import Workshop

MANIFESTS = "*/manifest.json"


@dataclass(frozen=True)
class Timing:
    """The prediction of the timed CT, or of several.

    Args:
        row: the method.
        engine: that was asked for.
        computed: engine and precision that computed the network, as the manifest states them.
        seconds: of a CT: start, reading, network and writing; the mean of several.
        network_seconds: of these, in the network.
        processor_seconds: of a CT, user and system time of the command, its start included; None
            where an earlier version did not keep it.
        peak_mb: largest memory of the process.
        cts: number of CTs.
    """

    row: str
    engine: str
    computed: str
    seconds: float
    network_seconds: float
    processor_seconds: float | None
    peak_mb: float
    cts: int = 1


def timings(cells: Sequence[Cell], workshop: Workshop) -> list[Timing]:
    """Read the finished predictions of the timed CT."""
    found = []
    for cell in cells:
        for engine, task in cell.timings.items():
            if (record := workshop.record(task)) is not None:
                spent = record.get("processor_seconds")
                found.append(_read(cell.method.name, engine, task.out(workshop.work), spent))
    return found


def _read(row: str, engine: str, out: Path, spent: float | None) -> Timing:
    manifests = [read_json(file) for file in sorted(out.glob(MANIFESTS))]
    computed: Mapping[str, object] = manifests[0]["engine"]
    return Timing(
        row,
        engine,
        " ".join(str(computed[key]) for key in ("name", "precision") if computed.get(key)),
        mean(sum(manifest["parts"].values()) for manifest in manifests),
        mean(manifest["parts"]["network"] for manifest in manifests),
        None if spent is None else spent / len(manifests),
        max(manifest["peak_memory_mb"] for manifest in manifests),
        len(manifests),
    )


def speed_table(study: Study, rows: Rows, timed: Sequence[Timing]) -> Table | None:
    """Put the first figure of each row beside its seconds for a CT; None if none was timed."""
    if not timed:
        return None
    heading = next(iter(study.figures))
    body = []
    for one in timed:
        value = estimate(rows.get(one.row, ()), heading)
        body.append(
            [
                *(one.row, one.engine, one.computed),
                number(value.value) if value.seeds else NOTHING,
                *(number(seconds, 1) for seconds in (one.seconds, one.network_seconds)),
                NOTHING if one.processor_seconds is None else number(one.processor_seconds, 1),
                number(one.peak_mb, 0),
            ]
        )
    headings = ["method", "engine", "computed by", heading, "seconds for the CT"]
    headings += ["of these in the network", "processor seconds", "peak MB"]
    cts = max(one.cts for one in timed)
    which = "one CT" if cts == 1 else f"{cts} CTs, of which the means are shown"
    note = (
        f"One prediction each of {which}, the network of the first seed and fold, one after the "
        "other; other processes on the machine make them slower, but hardly change the processor "
        "seconds: user and system time, summed over threads, start included. The figure is that of "
        "the row, computed by the evaluation, not by the engine."
    )
    return Table("Speed for a whole CT", headings, body, (note,))


def draw_speed(study: Study, rows: Rows, timed: Sequence[Timing], path: Path) -> None:
    """Draw the first figure of each row over the seconds for a CT, a colour for each engine."""
    heading = next(iter(study.figures))
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for engine in dict.fromkeys(one.engine for one in timed):
        own = [one for one in timed if one.engine == engine]
        values = [estimate(rows.get(one.row, ()), heading).value for one in own]
        seconds = [one.seconds for one in own]
        (line,) = axes.plot(seconds, values, "o", label=engine)
        for one, x, y in zip(own, seconds, values, strict=True):
            axes.text(x, y, f"  {one.row}", color=line.get_color(), fontsize=7, va="bottom")
    axes.set(xscale="log", xlabel="seconds for the CT", ylabel=heading)
    axes.margins(x=0.15)
    tidy(axes)
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)
