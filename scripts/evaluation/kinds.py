"""Kinds of annotation: instances (nodules, numbered) and classes (organs, by value).

A kind determines the required entries of samples, the figures of an evaluation, and the choice and
drawing of slices. Reports and pictures are otherwise independent of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.datasets.datalist import class_names_of
from scripts.datasets.instance_maps import number_components
from scripts.evaluation.collection import Case
from scripts.evaluation.figures.classes import Matrix, class_confusion, confusion_matrix
from scripts.evaluation.figures.nodules import MARGIN_MM, evaluate_nodules
from scripts.evaluation.figures.summary import (
    CLASS_DEFINITIONS,
    NODULE_HEADLINES,
    class_table,
    counts,
    headline,
    nodule_definitions,
    nodule_table,
    summarise_classes,
    summarise_nodules,
    textures_of,
)
from scripts.evaluation.pictures.chosen_slices import Candidate, Choice, choose_ranks
from scripts.evaluation.pictures.class_drawing import write_classes
from scripts.evaluation.pictures.drawing import Panel
from scripts.evaluation.pictures.outline_drawing import LUNG_WINDOW, write_outlines
from scripts.evaluation.report import Evaluation
from scripts.evaluation.results import evaluate_classes, evaluate_instances, pooled_matrix
from scripts.evaluation.scan_score import ScanScore
from scripts.evaluation.series import Series
from scripts.evaluation.tables import class_tables, nodule_tables


class Instances:
    """Nodules: figures for each nodule, slice and volume, and pooled; pictures of outlines.

    Tables: ``per_nodule.csv``, ``per_slice.csv``, ``per_volume.csv``; of whole scans with
    probabilities also ``candidates.csv``, ``froc.csv`` and ``froc.png``. ``overlays.png`` shows the
    nodules with the best, the median and the worst Dice, the largest, and others at even intervals
    of rank, from best to worst.

    Args:
        margin_mm: margin of a nodule's neighbourhood, see
            :mod:`scripts.evaluation.figures.nodules`.
        candidate_threshold: least probability of a voxel of a candidate, see
            :mod:`scripts.evaluation.figures.series_candidates`.

    Raises:
        ValueError: for a negative margin, or a threshold that is no probability.
    """

    label_kind = "instances"
    class_names = None
    annotation = "instances"
    values = 2
    picture = "overlays.png"
    window_hu = LUNG_WINDOW

    def __init__(self, margin_mm: float = MARGIN_MM, candidate_threshold: float = 0.1) -> None:
        if margin_mm < 0:
            raise ValueError(f"margin_mm: must be at least 0, got {margin_mm}")
        if not 0 < candidate_threshold < 1:
            raise ValueError(
                f"candidate_threshold: must be between 0 and 1, got {candidate_threshold}"
            )
        self.margin_mm = margin_mm
        self.candidate_threshold: float | None = candidate_threshold

    def check(self, case: Case) -> None:
        """Accept every case."""

    def evaluate(self, series: Iterable[Series], cases: Sequence[Case], *, seed: int) -> Evaluation:
        """Evaluate every nodule, slice and volume."""
        results = [
            evaluate_instances(numbered(one, cases[one.cases[0]]), margin_mm=self.margin_mm)
            for one in series
        ]
        figures = summarise_nodules(results, seed=seed)
        crops = any(case.get("crop") for case in cases)
        score = ScanScore(results, crops=crops, seed=seed)
        first = score.headline(figures)
        return Evaluation(
            figures=figures,
            counts=counts(
                results,
                slices_with_nodule=sum(n > 0 for result in results for _, n, _ in result.planes),
                nodules=sum(len(result.nodules) for result in results),
                contradicting_duplicates=sum(result.contradictions for result in results),
            ),
            definitions=nodule_definitions(self.margin_mm, rated=bool(textures_of(results))),
            settings={
                "margin_mm": self.margin_mm,
                "candidate_threshold": self.candidate_threshold,
            },
            tables={**nodule_tables(results), **score.tables()},
            metrics=headline(figures, NODULE_HEADLINES),
            shown=f"{nodule_table(figures)}\n{first}",
            more={"headline": first, "froc": score.record()},
            drawings=score.drawings(),
        )

    def candidates(self, series: Series, case: Case) -> Iterable[Candidate]:
        """Yield one slice per nodule, that with most of its voxels."""
        series = numbered(series, case)
        for result in evaluate_nodules(series, (), margin_mm=self.margin_mm):
            row = int((series.instances == result.nodule).sum(axis=(1, 2)).argmax())
            score, size = result.confusion.dice, result.diameter_mm
            yield Candidate.of(series, row, score=score, size=size, nodule=result.nodule)

    def choose(self, candidates: Sequence[Candidate], count: int) -> list[Choice]:
        """Choose nodules, sorted from best to worst, each with the reason.

        Best, worst, median and largest are chosen first, in this order.
        """
        ranked = sorted(candidates, key=lambda c: (-c.score, c.uid, c.nodule))
        if not ranked:
            return []
        last = len(ranked) - 1
        largest = max(range(len(ranked)), key=lambda rank: ranked[rank].size)
        named = ((0, "Best"), (last, "Worst"), (last // 2, "Median"), (largest, "Largest"))
        first = [rank for rank, _ in named]
        chosen = choose_ranks(len(ranked), count, first=first, between=min(count, len(ranked)))
        reasons = {k: ", ".join(why for rank, why in named if rank == k) for k in chosen}
        return [
            (ranked[rank], reasons[rank] or f"Rank {rank + 1} of {len(ranked)}")
            for rank in sorted(chosen)
        ]

    def panel(self, choice: Choice, image_hu: npt.NDArray[Any]) -> Panel:
        """Return the panel of a nodule, which is enlarged, with its Dice."""
        candidate, why = choice
        instances = candidate.annotation.unpack()
        return Panel(
            image_hu=image_hu,
            ours=candidate.prediction.unpack() > 0,
            manual=instances > 0,
            focus=instances == candidate.nodule,
            spacing_mm=candidate.spacing_mm,
            title=f"{why}: Dice {candidate.score:.2f}",
            caption=f"nodule {candidate.nodule}  ·  {candidate.size:.1f} mm  ·  "
            f"slice {candidate.slice_index}  ·  series …{candidate.uid[-8:]}",
        )

    def draw(self, panels: Sequence[Panel], path: Path, *, window_hu: tuple[float, float]) -> None:
        """Write a page of slices with outlines."""
        write_outlines(panels, path, window_hu=window_hu)


class Classes:
    """Organs: figures for each class per volume and pooled; pictures of classes in colour.

    Tables: ``per_class.csv``, ``per_volume.csv``, ``confusion.csv``. The row of an unknown class
    has ``known`` False and no figures. ``pictures.png`` shows the slice of each series with the
    most annotated voxels of the first foreground class (the liver); remaining places are filled
    with the worst and the best slice and others at even intervals of rank.

    Args:
        names: names of all classes, background first.
        annotation: key of the annotated class values in the samples.
    """

    label_kind = "classes"
    candidate_threshold = None
    picture = "pictures.png"
    window_hu = (-150.0, 250.0)

    def __init__(self, names: Sequence[str], *, annotation: str = "annotation") -> None:
        self.names = self.class_names = list(names)
        self.annotation = annotation
        self.values = len(names)

    def check(self, case: Case) -> None:
        """Check that a case states which of the classes were annotated.

        Raises:
            ValueError: when it does not, or was prepared with another number of classes.
        """
        known = case.get("class_known")
        if known is None or len(known) != self.values:
            raise ValueError(
                f"cases: each must have class_known, {self.values} times true or false, got "
                f"{known}; prepare again, with the classes that the config names"
            )

    def evaluate(self, series: Iterable[Series], cases: Sequence[Case], *, seed: int) -> Evaluation:
        """Evaluate every class of every series."""
        results = [evaluate_classes(one, _known(cases[one.cases[0]])) for one in series]
        names = self.names
        figures = summarise_classes(results, names, seed=seed)
        known = {n: sum(r.known[k] for r in results) for k, n in enumerate(names) if k}
        return Evaluation(
            figures=figures,
            counts=counts(results, series_in_which_known=known),
            definitions=CLASS_DEFINITIONS,
            settings={},
            tables=class_tables(results, names),
            metrics=headline(figures),
            shown=class_table(figures, names),
            more={"confusion": {"classes": names, "voxels": pooled_matrix(results, len(names))}},
        )

    def candidates(self, series: Series, case: Case) -> Iterable[Candidate]:
        """Yield every slice of a series."""
        known = _known(case)
        names = zip(self.names, known, strict=True)
        unknown = tuple(name for name, is_known in names if not is_known)
        predictions = np.asarray(series.prediction, np.uint8)
        for row, annotation in enumerate(series.instances):
            score = slice_iou(confusion_matrix(predictions[row], annotation, known))
            size = int(np.count_nonzero(annotation == 1))
            yield Candidate.of(series, row, score=score, size=size, unknown=unknown)

    def choose(self, candidates: Sequence[Candidate], count: int) -> list[Choice]:
        """Choose slices with a foreground class, sorted by series and slice."""
        showing = [candidate for candidate in candidates if not math.isnan(candidate.score)]
        ranked = sorted(showing, key=lambda c: (c.score, c.uid, c.slice_index))
        largest: dict[str, Candidate] = {}
        for candidate in showing:
            if candidate.uid not in largest or candidate.size > largest[candidate.uid].size:
                largest[candidate.uid] = candidate
        first = [*(ranked.index(one) for one in largest.values()), 0, len(ranked) - 1]
        chosen = choose_ranks(len(ranked), count, first=first, between=max(count - 2, 0))
        slices = sorted((ranked[rank] for rank in chosen), key=lambda c: (c.uid, c.slice_index))
        return [(candidate, "") for candidate in slices]

    def panel(self, choice: Choice, image_hu: npt.NDArray[Any]) -> Panel:
        """Return the panel of a slice with its mean IoU and the classes that were not annotated."""
        candidate, _ = choice
        iou = "-" if math.isnan(candidate.score) else f"{candidate.score:.2f}"
        unknown = "".join(f"{name} not annotated  ·  " for name in candidate.unknown)
        return Panel(
            image_hu=image_hu,
            ours=candidate.prediction.unpack(),
            manual=candidate.annotation.unpack(),
            spacing_mm=candidate.spacing_mm,
            title=f"…{candidate.uid[-12:]}, slice {candidate.slice_index}",
            caption=f"{unknown}mean IoU {iou}",
        )

    def draw(self, panels: Sequence[Panel], path: Path, *, window_hu: tuple[float, float]) -> None:
        """Write a row of CT, annotation and prediction for each slice."""
        write_classes(panels, path, class_names=self.names, window_hu=window_hu)


def kind_of(datalist: Mapping[str, Any]) -> Instances | Classes:
    """Return the kind of annotation that the content of a datalist states.

    Example:
        >>> kind_of({"kind": "classes", "classes": {"0": "background", "1": "liver"}}).label_kind
        'classes'
    """
    if datalist.get("kind") == Classes.label_kind:
        return Classes(class_names_of(datalist))
    return Instances()


def numbered(series: Series, case: Case) -> Series:
    """Number the 26-connected components of a binary mask of a whole volume, one for each nodule.

    Only if the case lists no ``nodules``: otherwise the numbers are those of the list.
    """
    binary = series.is_whole and len(np.unique(series.instances[series.instances > 0])) == 1
    if "nodules" in case or not binary:
        return series
    return replace(series, instances=number_components(series.instances > 0, series.uid))


def _known(case: Case) -> list[bool]:
    return [bool(value) for value in case["class_known"]]


def slice_iou(matrix: Matrix) -> float:
    """Return the mean IoU of the foreground classes in a slice; NaN if there are none."""
    every = [class_confusion(matrix, value) for value in range(1, len(matrix))]
    shown = [confusion.iou for confusion in every if not confusion.is_empty]
    return float(np.mean(shown)) if shown else math.nan
