"""A picture of typical and of bad outlines at the end of an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from ignite.engine import Engine, Events

from scripts.evaluation.collection import Case, SeriesCollection
from scripts.evaluation.drawing import LUNG_WINDOW, Panel, outline_grid
from scripts.evaluation.nodules import MARGIN_MM, evaluate_nodules
from scripts.evaluation.series import PackedArray, Series

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A nodule that may be shown, on the slice that holds most of it.

    Args:
        uid: of its series.
        nodule: its id.
        dice: per nodule, over all its evaluated slices.
        diameter_mm: see :class:`~scripts.evaluation.nodules.NoduleResult`.
        case: index of the case of the slice.
        slice_index: in the volume.
        prediction: packed (Y, X) mask.
        instances: packed (Y, X) map.
        spacing_mm: y, x.
    """

    uid: str
    nodule: int
    dice: float
    diameter_mm: float
    case: int
    slice_index: int
    prediction: PackedArray
    instances: PackedArray
    spacing_mm: tuple[float, float]


class OverlayPictures:
    """Ignite handler that writes ``overlays.png``: outlines on the slices of chosen nodules.

    Shown are the nodules with the best, the median and the worst Dice, the largest, and others
    spread evenly over the order of Dice, from best to worst. Without any annotated nodule there is
    nothing to choose from: the log says so and no file is written.

    Args:
        output_dir: where to write.
        cases: as for :class:`~scripts.evaluation.case_report.CaseReport`; ``image`` is the ``.npy``
            stack of HU that ``rows`` index, or a volume file.
        count: how many nodules at most.
        margin_mm: as for the report, so that its Dice is the one in the titles.
        window_hu: lowest (black) and highest (white) HU shown.

    Raises:
        ValueError: for a count below 1.
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: Sequence[Case],
        *,
        count: int = 6,
        margin_mm: float = MARGIN_MM,
        window_hu: tuple[float, float] = LUNG_WINDOW,
    ) -> None:
        if count < 1:
            raise ValueError(f"count: must be at least 1, got {count}")
        self.collection = SeriesCollection(cases)
        self.path = Path(output_dir) / "overlays.png"
        self.count = count
        self.margin_mm = margin_mm
        self.window_hu = window_hu

    def attach(self, engine: Engine) -> None:
        """Collect every iteration of ``engine`` and draw at its end."""
        engine.add_event_handler(Events.STARTED, lambda: self.collection.clear())
        engine.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda e: self.collection.add(e.state.output, e.state.batch),
        )
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Choose and draw."""
        found = [c for series in self.collection.series() for c in self._candidates(series)]
        self.collection.clear()
        if idist.get_rank() != 0:
            return
        if not found:
            logger.warning("no annotated nodule was evaluated: %s is not written", self.path)
            return
        panels = [self._panel(candidate, why) for candidate, why in choose(found, self.count)]
        outline_grid(panels, self.path, window_hu=self.window_hu)
        logger.info("outlines of %d of %d nodules: %s", len(panels), len(found), self.path)

    def _candidates(self, series: Series) -> Iterable[Candidate]:
        """Find each nodule's slice in a series."""
        for result in evaluate_nodules(series, margin_mm=self.margin_mm):
            row = int((series.instances == result.nodule).sum(axis=(1, 2)).argmax())
            yield Candidate(
                uid=series.uid,
                nodule=result.nodule,
                dice=result.confusion.dice,
                diameter_mm=result.diameter_mm,
                case=series.cases[row],
                slice_index=int(series.slices[row]),
                prediction=PackedArray.pack(series.prediction[row]),
                instances=PackedArray.pack(series.instances[row]),
                spacing_mm=series.spacing_mm[1:],
            )

    def _panel(self, candidate: Candidate, why: str) -> Panel:
        """Load the slice of a nodule and say what it shows."""
        instances = candidate.instances.unpack()
        return Panel(
            image_hu=read_hu(self.collection.cases[candidate.case], candidate.slice_index),
            ours=candidate.prediction.unpack() > 0,
            manual=instances > 0,
            focus=instances == candidate.nodule,
            spacing_mm=candidate.spacing_mm,
            title=f"{why}: Dice {candidate.dice:.2f}",
            caption=f"nodule {candidate.nodule}  ·  {candidate.diameter_mm:.1f} mm  ·  "
            f"slice {candidate.slice_index}  ·  series …{candidate.uid[-8:]}",
        )


def choose(found: Sequence[Candidate], count: int) -> list[tuple[Candidate, str]]:
    """Choose nodules to show, from best to worst, each with the reason.

    Where there is no room for all, best, worst, median and largest go first, in this order.
    """
    ranked = sorted(found, key=lambda c: (-c.dice, c.uid, c.nodule))
    last = len(ranked) - 1
    largest = max(range(len(ranked)), key=lambda rank: ranked[rank].diameter_mm)
    reasons: dict[int, list[str]] = {}
    for rank, why in ((0, "Best"), (last, "Worst"), (last // 2, "Median"), (largest, "Largest")):
        if rank in reasons or len(reasons) < count:
            reasons.setdefault(rank, []).append(why)
    spread = np.linspace(0, last, num=min(count, len(ranked)) + 2).round().astype(int).tolist()
    for rank in (*spread[1:-1], *range(len(ranked))):
        if rank not in reasons and len(reasons) < count:
            reasons[rank] = [f"Rank {rank + 1} of {len(ranked)}"]
    return [(ranked[rank], ", ".join(reasons[rank])) for rank in sorted(reasons)]


def read_hu(case: Case, slice_index: int) -> npt.NDArray[Any]:
    """Read one slice of a case's CT as (Y, X) in HU, rows to posterior, columns to the left.

    Args:
        case: ``image`` is a ``.npy`` stack whose ``rows`` (the middle one) hold the slice, or a
            volume file that SimpleITK reads.
        slice_index: counted head-wards in the volume.
    """
    path = str(case["image"])
    if "rows" in case:
        row = case["rows"][len(case["rows"]) // 2]
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[row])
    volume = sitk.DICOMOrient(sitk.ReadImage(path), "LPS")
    plane: npt.NDArray[Any] = sitk.GetArrayFromImage(volume[:, :, slice_index])
    return plane
