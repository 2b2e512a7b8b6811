"""Display windows, colours and the headline, shared by the picture and the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scripts.evaluation.colours import COLOURS, OURS_COLOUR
from scripts.prediction.result import Prediction, Segment

NODULE = "nodule"
# name -> lowest (black) and highest (white) HU
WINDOWS = {
    "lung": (-1000.0, 400.0),
    "soft tissue": (-160.0, 240.0),
    "bone": (-450.0, 1050.0),
}
# without the nodules' own, and without the last, too dark on a CT's greys
ORGAN_COLOURS = tuple(colour for colour in COLOURS[:-1] if colour != OURS_COLOUR)
NOT_FOR_DIAGNOSIS = "Research only. Not for diagnosis."


def colours_of(segments: Sequence[Segment]) -> dict[int, str]:
    """Give each segment's number a colour (#rrggbb): all nodules one, organs each their own.

    Example:
        >>> colours_of((Segment(4, "nodule", "nodule 1"), Segment(9, "bone", "bone")))
        {4: '#56B4E9', 9: '#E69F00'}
    """
    organs = [segment.number for segment in segments if segment.kind != NODULE]
    colours = {s.number: OURS_COLOUR for s in segments}
    for k, number in enumerate(organs):
        colours[number] = ORGAN_COLOURS[k % len(ORGAN_COLOURS)]
    return colours


def first_window(prediction: Prediction) -> str:
    """Return the name of the first display window: lung where the lungs were segmented."""
    nodules = any(segment.kind == NODULE for segment in prediction.segments)
    return "lung" if nodules or prediction.lungs is not None else "soft tissue"


def headline(statistics: dict[str, Any]) -> str:
    """Summarise the findings on one line.

    Args:
        statistics: of :func:`scripts.prediction.measures.statistics.measure`.

    Example:
        >>> organs = [{"kind": "liver", "name": "liver", "voxels": 0}]
        >>> headline({"nodules": [{}, {}], "organs": organs, "looked_for": ["nodule"]})
        '2 nodules; not found: liver'
        >>> headline({"nodules": [], "organs": [], "looked_for": ["nodule"]})
        'No nodule found'
    """
    nodules, organs = statistics["nodules"], statistics["organs"]
    present = [organ["name"] for organ in organs if organ["voxels"]]
    missing = [organ["name"] for organ in organs if not organ["voxels"]]
    listed = {NODULE, *(organ["kind"] for organ in organs)}
    missing += [kind for kind in statistics["looked_for"] if kind not in listed]
    parts = [f"{len(nodules)} nodule{'s' if len(nodules) > 1 else ''}"] if nodules else []
    if not nodules and NODULE in statistics["looked_for"]:
        parts = ["no nodule found"]
    parts += [", ".join(present)] if present else []
    parts += [f"not found: {', '.join(missing)}"] if missing else []
    words = "; ".join(parts) or "no finding: nothing was segmented in this scan"
    return words[0].upper() + words[1:]
