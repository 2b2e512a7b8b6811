"""Display windows and headline, shared by the overview picture and the page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from scripts.prediction.result import Prediction

# name -> lowest (black) and highest (white) HU
WINDOWS = {
    "lung": (-1000.0, 400.0),
    "soft tissue": (-160.0, 240.0),
    "bone": (-450.0, 1050.0),
}


def first_window(prediction: Prediction) -> str:
    """Return the name of the first window: that of the lungs if there is a lung field.

    Otherwise the one nearest to the input window of the network, ``facts["window_hu"]``.
    """
    if prediction.lungs is not None:
        return "lung"
    low, high = prediction.facts.get("window_hu") or WINDOWS["soft tissue"]
    return min(WINDOWS, key=lambda name: abs(WINDOWS[name][0] - low) + abs(WINDOWS[name][1] - high))


def plural(kind: str) -> str:
    """Return the plural of a class's name.

    Example:
        >>> plural("liver tumour"), plural("metastasis"), plural("lesions")
        ('liver tumours', 'metastases', 'lesions')
    """
    if kind.endswith("sis"):
        return kind.removesuffix("is") + "es"
    return kind if kind.endswith("s") else f"{kind}s"


def lesion_word(statistics: dict[str, Any]) -> str:
    """Return the word for a lesion of this result: the name of its class if there is only one."""
    kinds = statistics["lesion_kinds"]
    return str(kinds[0]) if len(kinds) == 1 else "lesion"


def missed_lesions(statistics: dict[str, Any]) -> list[str]:
    """List the lesion classes of the model of which none was found."""
    present = {lesion["kind"] for lesion in statistics["lesions"]}
    return [kind for kind in statistics["lesion_kinds"] if kind not in present]


def headline(statistics: dict[str, Any]) -> str:
    """Summarise the findings in a few words.

    Args:
        statistics: of :func:`scripts.prediction.measures.statistics.measure`.

    Example:
        >>> organs = [{"kind": "liver", "name": "liver", "voxels": 0}]
        >>> looked = {"looked_for": ["nodule"], "lesion_kinds": ["nodule"]}
        >>> headline({"lesions": [{"kind": "nodule"}] * 2, "organs": organs, **looked})
        '2 nodules; not found: liver'
        >>> headline({"lesions": [], "organs": [], **looked})
        'No nodule found'
    """
    organs, kinds = statistics["organs"], statistics["lesion_kinds"]
    present = [organ["name"] for organ in organs if organ["voxels"]]
    missing = [organ["name"] for organ in organs if not organ["voxels"]]
    listed = {*kinds, *(organ["kind"] for organ in organs)}
    missing += [kind for kind in statistics["looked_for"] if kind not in listed]
    counts = Counter(lesion["kind"] for lesion in statistics["lesions"])
    parts = [f"{n} {plural(kind) if n > 1 else kind}" for kind, n in counts.items()]
    parts += [f"no {kind} found" for kind in missed_lesions(statistics)]
    parts += [", ".join(present)] if present else []
    parts += [f"not found: {', '.join(missing)}"] if missing else []
    words = "; ".join(parts) or "no finding: nothing was segmented in this scan"
    return words[0].upper() + words[1:]
