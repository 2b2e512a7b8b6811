"""A command of ``monai.bundle run``, checked in this process."""

import sys

import monai.bundle

from scripts.bundle.launch import check_run
from tests.bundles.config_files import ROOT

MODULE = monai.bundle.__path__[0] + "/__main__.py"
WORKFLOWS = [
    str(path.relative_to(ROOT))
    for path in sorted(ROOT.glob("bundles/*/configs/*.json"))
    if path.stem != "metadata"
]
LUNG, LIVER = (f"bundles/{name}_ct_segmentation/configs" for name in ("lung_nodule", "liver"))


def run_words(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", [MODULE, "run", *words])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    check_run()
