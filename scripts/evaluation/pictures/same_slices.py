"""Slices chosen by annotation only, so that networks and stages are compared on the same ones."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine

from scripts.evaluation.collection import Case, CollectingHandler
from scripts.evaluation.kinds import Instances
from scripts.evaluation.pictures.chosen_slices import Candidate, list_candidates, read_hu
from scripts.evaluation.series import Series
from scripts.storage.files import write_bytes


class SameSlices(CollectingHandler):
    """Ignite handler that writes ``same_slices.npz``: slices of three nodules.

    They are those of the largest, the median and the smallest nodule, independent of the
    prediction. For slice n the file contains ``hu_n`` (Y, X), ``pred_n`` and ``manual_n`` (Y, X)
    masks, ``spacing_n`` (y, x in mm) and ``dice_n`` of the nodule. Without nodules no file is
    written.

    Args:
        cases: as for :class:`~scripts.evaluation.pictures.chosen_slices.EvaluationPictures`.
        output_dir: folder to write to.
    """

    def __init__(self, cases: Sequence[Case], output_dir: str | Path) -> None:
        self.kind = Instances()
        super().__init__(cases, output_dir, self.kind)

    def finish(self, engine: Engine, series: Iterable[Series]) -> None:
        """Choose three slices and write them."""
        cases = self.collection.cases
        candidates = list_candidates(self.kind, series, cases)
        if idist.get_rank() != 0 or not candidates:
            return
        arrays: dict[str, Any] = {}
        for number, candidate in enumerate(spread_by_size(candidates)):
            image_hu = read_hu(cases[candidate.case], candidate.slice_index)
            arrays |= {
                f"hu_{number}": image_hu.astype(np.int16),
                f"pred_{number}": candidate.prediction.unpack() > 0,
                f"manual_{number}": candidate.annotation.unpack() > 0,
                f"spacing_{number}": np.array(candidate.spacing_mm),
                f"dice_{number}": np.array(candidate.score),
            }
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_bytes(self.output_dir / "same_slices.npz", content.getvalue())


def spread_by_size(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Choose the largest, the median and the smallest nodule, or all of fewer than three."""
    ranked = sorted(candidates, key=lambda c: (-c.size, c.uid, c.nodule))
    ranks = dict.fromkeys((0, (len(ranked) - 1) // 2, len(ranked) - 1))
    return [ranked[rank] for rank in ranks]
