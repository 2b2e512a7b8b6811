"""A picture of chosen slices at the end of an evaluation: CT, annotation, network."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events

from scripts.evaluation.class_drawing import ClassPanel, class_grid
from scripts.evaluation.class_results import known_of
from scripts.evaluation.classes import class_confusion, confusion_matrix
from scripts.evaluation.collection import Case, SeriesCollection
from scripts.evaluation.pictures import read_hu
from scripts.evaluation.series import PackedArray, Series

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A slice that may be shown.

    Args:
        uid: of its series.
        slice_index: in the volume.
        case: index of its case.
        iou: mean over the known foreground classes that are annotated or predicted on it.
        prediction: packed (Y, X) class values.
        annotation: packed (Y, X) class values.
        spacing_mm: y, x.
        unknown: names of the classes that nobody annotated in the patient.
    """

    uid: str
    slice_index: int
    case: int
    iou: float
    prediction: PackedArray
    annotation: PackedArray
    spacing_mm: tuple[float, float]
    unknown: tuple[str, ...]


class ClassPictures:
    """Ignite handler that writes ``pictures.png``: a row of three pictures for chosen slices.

    Candidates are the slices that show a foreground class, manual or predicted. Of each series the
    one with the most annotated voxels of the first foreground class (the liver) comes first, as far
    as there is room; the rest is filled with the worst and the best slices and an even spread
    between. Or ``slices`` says which.

    Args:
        output_dir: where to write.
        cases: as for :class:`~scripts.evaluation.class_report.ClassReport`; ``image`` is the
            ``.npy`` stack of HU that ``rows`` index, or a volume file.
        class_names: of all classes, background first.
        annotation: key of the annotated class values in the samples.
        count: how many slices at most.
        slices: series and slice index of each slice to show, instead of a choice.
        window_hu: lowest (black) and highest (white) HU shown.

    Raises:
        ValueError: for a count below 1.
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: Sequence[Case],
        *,
        class_names: Sequence[str],
        annotation: str = "annotation",
        count: int = 6,
        slices: Sequence[tuple[str, int]] = (),
        window_hu: tuple[float, float] = (-150.0, 250.0),
    ) -> None:
        if count < 1:
            raise ValueError(f"count: must be at least 1, got {count}")
        self.collection = SeriesCollection(cases, annotation=annotation, classes=len(class_names))
        self.known = [known_of(case, len(class_names)) for case in cases]
        self.path = Path(output_dir) / "pictures.png"
        self.class_names = list(class_names)
        self.count = count
        self.slices = [(str(uid), int(index)) for uid, index in slices]
        self.window_hu = (float(window_hu[0]), float(window_hu[1]))

    def attach(self, engine: Engine) -> None:
        """Collect every iteration of ``engine`` and draw at its end."""
        engine.add_event_handler(Events.STARTED, lambda: self.collection.clear())
        engine.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda e: self.collection.add(e.state.output, e.state.batch),
        )
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Choose and draw.

        Raises:
            ValueError: when a slice that was asked for was not evaluated.
        """
        found = [c for series in self.collection.series() for c in self._candidates(series)]
        self.collection.clear()
        if idist.get_rank() != 0:
            return
        chosen = self._asked(found) if self.slices else choose(found, self.count)
        if not chosen:
            logger.warning("no slice shows a class: %s is not written", self.path)
            return
        panels = [self._panel(candidate) for candidate in chosen]
        class_grid(panels, self.path, class_names=self.class_names, window_hu=self.window_hu)
        logger.info("%d of %d slices: %s", len(panels), len(found), self.path)

    def _candidates(self, series: Series) -> Iterable[Candidate]:
        """Find the slices of a series."""
        known = self.known[series.cases[0]]
        names = zip(self.class_names, known, strict=True)
        unknown = tuple(name for name, is_known in names if not is_known)
        predictions = np.asarray(series.prediction, np.uint8)
        for row, index in enumerate(series.slices.tolist()):
            prediction, annotation = predictions[row], series.instances[row]
            yield Candidate(
                uid=series.uid,
                slice_index=index,
                case=series.cases[row],
                iou=slice_iou(confusion_matrix(prediction, annotation, known)),
                prediction=PackedArray.pack(prediction),
                annotation=PackedArray.pack(annotation),
                spacing_mm=series.spacing_mm[1:],
                unknown=unknown,
            )

    def _asked(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Find the slices that were asked for."""
        by_place = {(c.uid, c.slice_index): c for c in found}
        missing = [place for place in self.slices if place not in by_place]
        if missing:
            raise ValueError(f"slices: must be among those evaluated, {missing} are not")
        return [by_place[place] for place in self.slices]

    def _panel(self, candidate: Candidate) -> ClassPanel:
        """Load a slice and say what it shows."""
        iou = "-" if math.isnan(candidate.iou) else f"{candidate.iou:.2f}"
        unknown = "".join(f"{name} not annotated  ·  " for name in candidate.unknown)
        return ClassPanel(
            image_hu=read_hu(self.collection.cases[candidate.case], candidate.slice_index),
            manual=candidate.annotation.unpack(),
            ours=candidate.prediction.unpack(),
            spacing_mm=candidate.spacing_mm,
            title=f"…{candidate.uid[-12:]}, slice {candidate.slice_index}",
            caption=f"{unknown}mean IoU {iou}",
        )


def slice_iou(matrix: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    """Mean IoU of the foreground classes that a slice shows; NaN where it shows none."""
    every = [class_confusion(matrix, value) for value in range(1, len(matrix))]
    shown = [confusion.iou for confusion in every if not confusion.is_empty]
    return float(np.mean(shown)) if shown else math.nan


def choose(found: Sequence[Candidate], count: int) -> list[Candidate]:
    """Choose slices to show, in the order of series and slice."""
    showing = [candidate for candidate in found if not math.isnan(candidate.iou)]
    largest: dict[str, tuple[int, Candidate]] = {}
    for candidate in showing:
        size = int(np.count_nonzero(candidate.annotation.unpack() == 1))
        if candidate.uid not in largest or size > largest[candidate.uid][0]:
            largest[candidate.uid] = size, candidate
    ranked = sorted(showing, key=lambda c: (c.iou, c.uid, c.slice_index))
    spread = np.linspace(0, max(len(ranked) - 1, 0), num=count).round().astype(int).tolist()
    order = [0, -1, *spread[1:-1], *range(len(ranked))] if ranked else []
    wanted = [candidate for _, candidate in largest.values()] + [ranked[rank] for rank in order]
    chosen = list({(c.uid, c.slice_index): c for c in wanted}.values())[:count]
    return sorted(chosen, key=lambda c: (c.uid, c.slice_index))
