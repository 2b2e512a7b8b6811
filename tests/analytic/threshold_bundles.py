"""The two bundles with a network that compares HU with a threshold, so that masks are exact."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.prediction.predict_options import Options
from tests.analytic.phantom import THRESHOLD_HU
from tests.scripts.prediction.studies import LUNG, options_of

SHARP = 1000.0  # logit for the whole window


def threshold_options(bundle: Path, folder: Path, **others) -> Options:
    """Options of predict: everything above the phantom's threshold is nodule, or liver.

    Args:
        bundle: :data:`LUNG` or :data:`LIVER`.
        folder: for weights and overlays.
        others: further fields of Options.
    """
    low, high = _trained_window(bundle)
    above = (-SHARP * (THRESHOLD_HU - low) / (high - low), SHARP)
    never = (-1e4, 0.0)
    rules = [above] if bundle == LUNG else [(0.0, 0.0), above, never, never]
    options = options_of(bundle, folder, rules)
    exact = folder / "float32.json"
    exact.write_text(json.dumps({"precision": "float32"}))
    files = (*options.config_files, str(exact))
    return Options(**{**vars(options), "config_files": files, **others})


def _trained_window(bundle: Path) -> tuple[float, float]:
    low, high = json.loads((bundle / "configs" / "train.json").read_text())["window_hu"]
    return low, high
