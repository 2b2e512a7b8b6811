"""Pictures of chosen slices at the end of an evaluation: CT, annotation and prediction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import numpy as np
import numpy.typing as npt
from ignite.engine import Engine

from scripts.evaluation.collection import Annotated, Case, CollectingHandler
from scripts.evaluation.evaluation_page import SUMMARY, write_evaluation_page
from scripts.evaluation.packed_slices import PackedArray
from scripts.evaluation.pictures.drawing import Panel
from scripts.evaluation.series import Series
from scripts.volumes.readers import read_volume

logger = logging.getLogger(__name__)

Choice = tuple["Candidate", str]
"""A slice to show, and the reason for the choice."""


@dataclass(frozen=True)
class Candidate:
    """A slice that may be shown, because of a nodule or of its classes.

    Args:
        uid: UID of its series.
        slice_index: index in the volume.
        case: index of its case.
        score: Dice of the nodule, or mean IoU of the classes; NaN for a slice without classes.
        size: diameter of the nodule in mm, or voxels annotated as the first foreground class.
        prediction: packed (Y, X) mask or class values.
        annotation: packed (Y, X) map of nodules or class values.
        spacing_mm: y, x.
        nodule: id of the nodule in the map; the slice is that with most of its voxels.
        unknown: names of the classes that were not annotated in the patient.
    """

    uid: str
    slice_index: int
    case: int
    score: float
    size: float
    prediction: PackedArray
    annotation: PackedArray
    spacing_mm: tuple[float, float]
    nodule: int = 0
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, series: Series, row: int, **more: Any) -> Candidate:
        """Create a candidate from one of a series' evaluated slices."""
        return cls(
            uid=series.uid,
            slice_index=int(series.slices[row]),
            case=series.cases[row],
            prediction=PackedArray.pack(np.asarray(series.prediction[row], np.uint8)),
            annotation=PackedArray.pack(series.instances[row]),
            spacing_mm=series.spacing_mm[1:],
            **more,
        )


class Shown(Annotated, Protocol):
    """A kind of annotation of which pictures can be drawn."""

    @property
    def picture(self) -> str:
        """Name of the picture's file."""

    @property
    def window_hu(self) -> tuple[float, float]:
        """Default of the lowest (black) and highest (white) HU shown."""

    def candidates(self, series: Series, case: Case) -> Iterable[Candidate]:
        """Return the slices of a series that may be shown; ``case`` is one of the series."""

    def choose(self, candidates: Sequence[Candidate], count: int) -> list[Choice]:
        """Choose at most ``count`` slices; none if no slice contains an annotation."""

    def panel(self, choice: Choice, image_hu: npt.NDArray[Any]) -> Panel:
        """Return the panel of a chosen slice."""

    def draw(self, panels: Sequence[Panel], path: Path, *, window_hu: tuple[float, float]) -> None:
        """Write the panels as one picture."""


class EvaluationPictures(CollectingHandler):
    """Ignite handler that writes one picture of chosen slices, ``overlays.png``, ``pictures.png``.

    The kind of annotation determines the choice and the drawing of slices. If there is no slice to
    show, a warning is logged and no file is written.

    Args:
        cases: as for :class:`~scripts.evaluation.report.EvaluationReport`; ``image`` is the
            ``.npy`` stack of HU that ``rows`` index, or a volume file.
        output_dir: folder to write to.
        kind: kind of annotation, see :mod:`scripts.evaluation.kinds`.
        count: largest number of slices.
        slices: series UID and slice index of each slice to show, instead of a choice by the kind.
        window_hu: lowest (black) and highest (white) HU shown; None for the kind's default.

    Raises:
        ValueError: for a count below 1.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        output_dir: str | Path,
        *,
        kind: Shown,
        count: int = 6,
        slices: Sequence[tuple[str, int]] = (),
        window_hu: tuple[float, float] | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"count: must be at least 1, got {count}")
        super().__init__(cases, output_dir, kind)
        self.kind = kind
        self.path = self.output_dir / kind.picture
        self.count = count
        self.slices = [(str(uid), int(index)) for uid, index in slices]
        low, high = window_hu or kind.window_hu
        self.window_hu = (float(low), float(high))

    def finish(self, engine: Engine, series: Iterable[Series]) -> None:
        """Choose slices and draw them.

        Raises:
            ValueError: when a requested slice was not evaluated.
        """
        candidates = list_candidates(self.kind, series, self.collection.cases)
        if idist.get_rank() != 0:
            return
        if self.slices:
            chosen = self._requested(candidates)
        else:
            chosen = self.kind.choose(candidates, self.count)
        if not chosen:
            logger.warning("no slice to show was evaluated: %s is not written", self.path)
            return
        panels = [
            self.kind.panel((one, why), read_hu(self.collection.cases[one.case], one.slice_index))
            for one, why in chosen
        ]
        self.kind.draw(panels, self.path, window_hu=self.window_hu)
        if (self.output_dir / SUMMARY).is_file():
            write_evaluation_page(self.output_dir)  # now with this picture
        logger.info("shown: %d of %d candidates, in %s", len(panels), len(candidates), self.path)

    def _requested(self, candidates: Sequence[Candidate]) -> list[Choice]:
        """Return the requested slices."""
        evaluated = {(one.uid, one.slice_index): one for one in candidates}
        missing = [wanted for wanted in self.slices if wanted not in evaluated]
        if missing:
            raise ValueError(f"slices: must be among those evaluated, {missing} are not")
        return [(evaluated[wanted], "Asked for") for wanted in self.slices]


def list_candidates(
    kind: Shown, series: Iterable[Series], cases: Sequence[Case]
) -> list[Candidate]:
    """Return the candidates of all series."""
    return [c for one in series for c in kind.candidates(one, cases[one.cases[0]])]


def choose_ranks(total: int, count: int, *, first: Sequence[int], between: int) -> list[int]:
    """Choose at most ``count`` of the ranks 0 to ``total`` - 1, in order of preference.

    Args:
        total: number of ranks.
        count: largest number of ranks to choose.
        first: ranks to choose first.
        between: number of ranks at even intervals to choose next; the others follow in order.

    Example:
        >>> choose_ranks(9, 4, first=(0, 8), between=2)
        [0, 8, 3, 5]
    """
    spread = np.linspace(0, max(total - 1, 0), between + 2).round().astype(int).tolist()
    order = dict.fromkeys([*first, *spread[1:-1], *range(total)])
    return [rank for rank in order if 0 <= rank < total][:count]


def read_hu(case: Case, slice_index: int) -> npt.NDArray[Any]:
    """Read one slice of a case's CT as (Y, X) in HU, rows to posterior, columns to the left.

    Args:
        case: ``image`` is a ``.npy`` stack in which the middle one of ``rows`` is the slice, or a
            volume file.
        slice_index: index in the volume, from feet to head.
    """
    path = str(case["image"])
    if "rows" in case:
        row = case["rows"][len(case["rows"]) // 2]
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[row])
    return np.array(read_volume(path).in_lps().hu[slice_index])
