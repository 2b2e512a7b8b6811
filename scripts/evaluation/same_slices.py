"""The same slices from every evaluation, so that networks and stages can be shown side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine

from scripts.evaluation.collection import Case
from scripts.evaluation.pictures import Candidate, OverlayPictures
from scripts.storage.files import write_bytes


class SameSlices(OverlayPictures):
    """Ignite handler that writes ``same_slices.npz``: slices chosen by their annotation alone.

    They are those of the largest, the median and the smallest nodule, whatever the network says
    there. For slice n the file holds ``hu_n`` (Y, X), ``pred_n`` and ``manual_n`` (Y, X) masks,
    ``spacing_n`` (y, x in mm) and ``dice_n`` of the nodule.

    Args:
        output_dir: where to write.
        cases: as for :class:`~scripts.evaluation.pictures.OverlayPictures`.
    """

    def __init__(self, output_dir: str | Path, cases: Sequence[Case]) -> None:
        super().__init__(output_dir, cases, count=3)
        self.path = Path(output_dir) / "same_slices.npz"

    def __call__(self, engine: Engine) -> None:
        """Choose and write."""
        found = [c for series in self.collection.series() for c in self._candidates(series)]
        self.collection.clear()
        if idist.get_rank() != 0 or not found:
            return
        arrays: dict[str, Any] = {}
        for number, candidate in enumerate(spread_by_size(found)):
            panel = self._panel(candidate, "")
            arrays |= {
                f"hu_{number}": panel.image_hu.astype(np.int16),
                f"pred_{number}": panel.ours,
                f"manual_{number}": panel.manual,
                f"spacing_{number}": np.array(panel.spacing_mm),
                f"dice_{number}": np.array(candidate.dice),
            }
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_bytes(self.path, content.getvalue())


def spread_by_size(found: Sequence[Candidate]) -> list[Candidate]:
    """Choose the largest, the median and the smallest nodule; fewer where there are fewer."""
    ranked = sorted(found, key=lambda c: (-c.diameter_mm, c.uid, c.nodule))
    places = dict.fromkeys((0, (len(ranked) - 1) // 2, len(ranked) - 1))
    return [ranked[place] for place in places]
