"""``python -m scripts cluster evaluate``: clusters of each test volume against its classes."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.datasets.datalist import class_names_of, load_datalist, read_datalist
from scripts.evaluation.collection import Case
from scripts.evaluation.figures.intervals import mean
from scripts.evaluation.figures.summary import entry_of, headline
from scripts.evaluation.report import Evaluation, EvaluationReport
from scripts.evaluation.series import Series
from scripts.evaluation.tables import Tables
from scripts.running.options import check_choice, read_truth
from scripts.running.progress import Progress
from scripts.storage.locks import claimed
from scripts.unsupervised.clusters.jule import JuleOptions
from scripts.unsupervised.clusters.scores import Agreement, agreement
from scripts.unsupervised.clusters.segmentation import METHODS, SHOWN, ClusterOptions, prepared
from scripts.unsupervised.ct_stacks import as_output, read_label, stack_of
from scripts.volumes.readers import read_volume

REST, NODULE = "rest", "nodule"
AFTER = "after_matching"
SECTIONS = ("training", "validation", "test")
DEFINITIONS = {
    "nmi": "normalised mutual information of clusters and classes, over the voxels of the region; "
    "0 for clusters that say nothing of the classes, 1 for the same division",
    AFTER: "clusters have no names: in each volume they are matched one to one with the classes so "
    "that the sum of the classes' Dice coefficients is largest. This needs the annotation, so the "
    "figures are not those of a method that names its classes",
    "accuracy": "share of the region's voxels whose cluster is that of their class",
    "dice": "2TP/(2TP+FP+FN) of a class and its cluster; 0 for a class without a cluster, "
    "undefined for one that the region does not contain",
    REST: "voxels of the region that belong to no annotated class",
    "interval_95": "percentile bootstrap over patients",
}


@dataclass
class ClusterKind:
    """Clusters against annotated classes, as a kind of evaluation.

    Args:
        label_kind: of the datalist: ``instances`` (nodules against the rest) or ``classes``.
        names: of the classes by value, the rest first.
        clusters: number of clusters.
        settings: of the segmentation, for the record.
    """

    label_kind: str
    names: Sequence[str]
    clusters: int
    settings: Mapping[str, Any]

    annotation = "annotation"
    candidate_threshold = None

    @property
    def values(self) -> int:
        """Number of values of a prediction, 0 outside the region included."""
        return self.clusters + 1

    @property
    def class_names(self) -> None:
        """None: the names are those of the datalist itself."""

    def check(self, case: Case) -> None:
        """Accept every case."""

    def evaluate(self, series: Iterable[Series], cases: Sequence[Case], *, seed: int) -> Evaluation:
        """Compare the clusters of each volume with its classes."""
        found = [(one.uid, one.patient, len(one.slices), _compared(one)) for one in series]
        patients = [patient for _, patient, _, _ in found]
        entries = {
            f"{name}_per_volume_mean": entry_of(mean(values, patients, seed=seed))
            for name, values in self._columns([each for *_, each in found]).items()
        }
        return Evaluation(
            figures=entries,
            counts={
                "patients": len(set(patients)),
                "series": len(found),
                "slices": sum(slices for _, _, slices, _ in found),
            },
            definitions=DEFINITIONS,
            settings=dict(self.settings),
            tables=self._tables(found),
            metrics=headline(entries),
            shown="\n".join(f"{name:<45} {one['value']:.4f}" for name, one in entries.items()),
        )

    def _columns(self, found: Sequence[Agreement]) -> dict[str, list[float]]:
        """Return the figures of each volume, by name."""
        columns = {
            "nmi": [each.nmi for each in found],
            f"accuracy_{AFTER}": [each.accuracy for each in found],
        }
        for value, name in enumerate(self.names):
            key = f"dice_{name.replace(' ', '_')}_{AFTER}"
            columns[key] = [each.dice.get(value, float("nan")) for each in found]
        return columns

    def _tables(self, found: Sequence[tuple[str, str, int, Agreement]]) -> Tables:
        """Return per_volume; patients are numbered in the order of their series."""
        numbers = {name: k for k, name in enumerate(dict.fromkeys(p for _, p, _, _ in found), 1)}
        columns = self._columns([each for *_, each in found])
        rows = [
            {
                "series_uid": uid,
                "patient": numbers[patient],
                "slices_evaluated": slices,
                "voxels_of_region": each.voxels,
                **{name: values[row] for name, values in columns.items()},
                "cluster_of_class": " ".join(
                    f"{self.names[value].replace(' ', '_')}:{cluster}"
                    for value, cluster in each.cluster_of.items()
                ),
            }
            for row, (uid, patient, slices, each) in enumerate(found)
        ]
        return {"per_volume": (list(rows[0]), rows)}


def _compared(series: Series) -> Agreement:
    region = series.prediction > 0
    return agreement(np.asarray(series.prediction[region], np.uint8), series.instances[region])


def evaluate_clusters(
    datalist: str,
    output: str,
    *,
    section: str = "test",
    method: str = "jule",
    clusters: int = 3,
    region: str = "body",
    patch: int = 27,
    stride: int | None = None,
    patches: int = 2000,
    periods: int = 5,
    epochs: int = 2,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Cluster each whole volume of a section by itself and compare the clusters with its classes.

    Nothing is learned from other patients, and labels are read for the figures only. Clusters have
    no names, so the figures are NMI and those "after matching", which are not to be compared with
    the Dice of methods that name their classes. Writes summary.json and per_volume.csv.

    Args:
        datalist: datalist.json with whole volumes (prepare with --volumes true).
        output: folder to write into.
        section: training, validation or test; whole volumes.
        method: jule (learned features), k_means (on intensity) or otsu (thresholds).
        clusters: number of clusters, 2 to 5.
        region: part of the CT: body, lung, their boxes body_box and lung_box, or all.
        patch: for jule, edge of a patch in pixels, at least 12.
        stride: for jule, distance of patches in pixels, and edge of the cells of one label; by
            default 3, or the least with at most 60,000 patches.
        patches: for jule, number of patches to train on.
        periods: for jule, how often patches are clustered and the network is trained.
        epochs: for jule, in each period.
        seed: of everything random, and of the bootstrap for the intervals.
        overwrite: replace another evaluation in the output.

    Raises:
        ValueError: for an invalid option, another evaluation in the output, or a volume without
            lungs if those are wanted.
        FileNotFoundError: when the datalist or one of its files does not exist.
    """
    check_choice("section", section, SECTIONS)
    check_choice("method", method, METHODS)
    options = ClusterOptions(
        clusters=clusters,
        region=region,
        patch=patch,
        stride=stride,
        patches=patches,
        jule=JuleOptions(periods=periods, epochs=epochs),
        seed=seed,
    )
    cases = load_datalist(datalist, f"volumes/{section}")
    content = read_datalist(Path(datalist))
    kind = _kind(content, options, method)
    report = EvaluationReport(
        cases,
        output,
        kind=kind,
        datalist=datalist,
        section=f"volumes/{section}",
        seed=seed,
        method={**kind.settings, "seed": seed},
        overwrite=read_truth("overwrite", overwrite),
    )
    with claimed(Path(output)):
        report.check_output()
        for case in Progress(cases, desc=f"by {SHOWN[method]}", unit="volume"):
            report.collection.add([_segmented(case, kind, options, method)])
        evaluation = report.evaluate(report.collection.series())
        report.write(evaluation)
    print(f"{evaluation.shown}\nwritten to {output}")


def _kind(content: Mapping[str, Any], options: ClusterOptions, method: str) -> ClusterKind:
    """Return the kind of evaluation of a datalist's labels."""
    classes = content.get("kind") == "classes"
    names = [REST, *class_names_of(content)[1:]] if classes else [REST, NODULE]
    of_method = {"method": method, "clusters": options.clusters, "region": options.region}
    of_patches = {
        **{name: getattr(options, name) for name in ("patch", "stride", "patches")},
        **{name: getattr(options.jule, name) for name in ("periods", "epochs")},
    }
    settings = of_method | (of_patches if method == "jule" else {})
    return ClusterKind("classes" if classes else "instances", names, options.clusters, settings)


def _segmented(
    case: Case, kind: ClusterKind, options: ClusterOptions, method: str
) -> dict[str, Any]:
    """Cluster one volume; return what a report collects."""
    volume = read_volume(case["image"]).in_lps()
    label = read_label(case)
    if kind.label_kind == "instances":
        label = (label > 0).astype(np.uint8)
    show = functools.partial(print, "  ", flush=True)
    try:
        ready = prepared(volume, options)
        found = METHODS[method](ready, options, show)
    except ValueError as error:
        raise ValueError(f"{case['series_uid']}: {error}") from error
    predicted, annotated = as_output(found, label, stack_of(volume))
    return {"pred": predicted, kind.annotation: annotated, "case": case["case"]}
