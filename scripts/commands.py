"""The commands of ``python -m scripts``: their words, what they run, and one line about each.

The table holds text only, so that the command line can list and explain its commands, and the audit
can recognise their modules, without importing any of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command.

    Args:
        target: the function that runs, as ``module:function``.
        summary: what it does, on one line.
    """

    target: str
    summary: str

    @property
    def module(self) -> str:
        """The module of the function.

        >>> COMMANDS["predict",].module
        'scripts.prediction.command'
        """
        return self.target.partition(":")[0]


COMMANDS: dict[tuple[str, ...], Command] = {
    ("phantom", "luna16"): Command(
        "scripts.phantom.chest.luna16:make_cohort",
        "draw a synthetic cohort of chest CTs with nodules, in LUNA16's files",
    ),
    ("phantom", "ircadb"): Command(
        "scripts.phantom.abdomen.ircadb:make_cohort",
        "draw a synthetic cohort of abdominal CTs, in 3D-IRCADb-01's files",
    ),
    ("prepare", "luna16"): Command(
        "scripts.preparation.cohort:prepare",
        "turn LUNA16 into slices, labels, partitions and a datalist",
    ),
    ("prepare", "ircadb"): Command(
        "scripts.datasets.ircadb.preparation:prepare",
        "turn 3D-IRCADb-01 into slices, labels, partitions and a datalist",
    ),
    ("run",): Command(
        "scripts.audit.run:run_bundle",
        "audit a bundle, then run it with python -m monai.bundle",
    ),
    ("predict",): Command(
        "scripts.prediction.command:predict",
        "segment CTs: NIfTI mask, DICOM SEG and RTSTRUCT, statistics, a page to read",
    ),
    ("graph_cut",): Command(
        "scripts.evaluation.graph_cut_evaluation:evaluate_graph_cut",
        "evaluate segmentation by graph cut, the classical comparator",
    ),
    ("study",): Command(
        "scripts.study.command:study",
        "train and compare several settings over seeds and folds, with statistics",
    ),
    ("package",): Command(
        "scripts.packaging.command:package",
        "pack a trained bundle into an archive that stands alone",
    ),
    ("audit",): Command(
        "scripts.audit.audit:audit",
        "list what a bundle would run when it is loaded, without running it",
    ),
    ("demo",): Command(
        "scripts.demo.demo:demo",
        "lung nodules on phantoms, from pretraining to a prediction, in minutes",
    ),
    ("demo", "liver"): Command(
        "scripts.demo.liver:demo",
        "liver, bone and kidney on phantoms, from DICOM to a prediction",
    ),
}
