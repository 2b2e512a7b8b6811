"""Evaluation of graph cut on prepared samples, with the same report as the other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from scripts.datasets.datalist import load_datalist
from scripts.datasets.stored_slices import LPS_TO_RAS, read_rows
from scripts.evaluation.graph_cut import GraphCutOptions, segment_nodule
from scripts.evaluation.kinds import Instances
from scripts.evaluation.report import EvaluationReport
from scripts.running.options import read_truth
from scripts.running.progress import Progress
from scripts.storage.locks import claimed
from scripts.volumes.geometry import affine_of, spacing_of, to_lps, world_to_index
from scripts.volumes.readers import read_image

LEAST_SHARE = 0.25
"""Smallest radius of a nodule's disc in a slice, as a share of the nodule's radius."""


def evaluate_graph_cut(
    datalist: str,
    output: str,
    *,
    section: str = "test",
    smoothness_mm: float = 1.0,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Segment every annotated nodule of a section by graph cut and write the usual report.

    Seeds are the annotated centres and diameters: like the voxel-wise networks, and unlike those
    that search whole slices, this method is given the positions of the nodules. Writes
    ``summary.json``, ``per_nodule.csv``, ``per_slice.csv`` and ``per_volume.csv``.

    Args:
        datalist: ``datalist.json`` of instances, as ``prepare`` writes it.
        output: folder to write into.
        section: training, validation or test: slices, one by one (2D); volumes/test and so on:
            whole volumes (3D).
        smoothness_mm: weight of the boundary's area (mm^2) relative to the density of the regions
            (mm^3); larger values give smoother nodules.
        seed: of the bootstrap for the intervals.
        overwrite: replace another evaluation in the output.

    Raises:
        ValueError: for an invalid option, another evaluation in the output, or a nodule outside its
            image.
        FileNotFoundError: when the datalist or one of its files does not exist.
    """
    options = GraphCutOptions(smoothness_mm=smoothness_mm)
    cases = load_datalist(datalist, section)
    report = EvaluationReport(
        cases,
        output,
        kind=Instances(),
        datalist=datalist,
        section=section,
        seed=seed,
        method={"name": "graph cut", **asdict(options)},
        overwrite=read_truth("overwrite", overwrite),
    )
    with claimed(Path(output)):
        report.check_output()
        _segment_all(cases, report, options)
        evaluation = report.evaluate(report.collection.series())
        report.write(evaluation)
    print(f"{evaluation.shown}\nwritten to {output}")


def _segment_all(
    cases: Sequence[Mapping[str, Any]], report: EvaluationReport, options: GraphCutOptions
) -> None:
    for case in Progress(cases, desc="graph cut", unit="case"):
        segment = segment_slice if "slice" in case else segment_volume
        try:
            predicted, instances = segment(case, options)
        except ValueError as error:
            location = f"slice {case['slice']}" if "slice" in case else "volume"
            raise ValueError(f"{case['series_uid']}, {location}: {error}") from error
        item = {"pred": predicted, "instances": instances, "case": case["case"]}
        report.collection.add([item])


def segment_slice(
    case: Mapping[str, Any], options: GraphCutOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """Segment a prepared slice: prediction and map of nodules, both (1, H, W)."""
    row = [case["rows"][len(case["rows"]) // 2]]
    hu = read_rows(case["image"], row, np.float64)[0]
    x, y, z = (float(mm) for mm in case["spacing_mm"])
    segmented = np.zeros(hu.shape, bool)
    for nodule in case["nodules"]:
        i, j, k = world_to_index(nodule["centre_lps_mm"], case["affine_lps"])
        diameter = disc_diameter_mm(nodule["diameter_mm"], (k - case["slice"]) * z)
        segmented |= segment_nodule(hu, (j, i), diameter, spacing_mm=(y, x), options=options)
    label = read_rows(case["label"], row, np.uint8)
    return torch.from_numpy(segmented[None].astype(np.uint8)), torch.from_numpy(label)


def segment_volume(
    case: Mapping[str, Any], options: GraphCutOptions
) -> tuple[torch.Tensor, torch.Tensor]:
    """Segment a whole volume: prediction and map of nodules, both (1, Z, Y, X) with the affine."""
    image, label = (to_lps(read_image(case[key])) for key in ("image", "label"))
    hu, affine = sitk.GetArrayViewFromImage(image), affine_of(image)
    spacing = spacing_of(affine)[::-1]
    segmented = np.zeros(hu.shape, bool)
    for nodule in case["nodules"]:
        centre = world_to_index(nodule["centre_lps_mm"], affine)[::-1]
        box, corner = _surroundings(hu.shape, centre, 2 * nodule["diameter_mm"] / spacing + 12)
        segmented[box] |= segment_nodule(
            hu[box],
            centre - corner,
            nodule["diameter_mm"],
            spacing_mm=spacing,
            options=options,
        )
    affine_ras = torch.from_numpy(LPS_TO_RAS @ affine[:, [2, 1, 0, 3]])
    instances = sitk.GetArrayFromImage(label).astype(np.uint8)
    arrays = (segmented.astype(np.uint8), instances)
    first, second = (MetaTensor(torch.from_numpy(a[None]), affine=affine_ras) for a in arrays)
    return first, second


def disc_diameter_mm(diameter_mm: float, offset_mm: float) -> float:
    """Return the diameter of a ball's cross-section at a distance from its centre.

    A slice outside the ball that is annotated nevertheless gets a small disc, as a seed.

    Example:
        >>> disc_diameter_mm(10, 3), disc_diameter_mm(10, 6)
        (8.0, 2.5)
    """
    radius = diameter_mm / 2
    cross_section = np.sqrt(max(radius**2 - offset_mm**2, 0.0))
    return 2 * max(float(cross_section), LEAST_SHARE * radius)


def _surroundings(
    shape: tuple[int, ...], centre: NDArray[np.float64], reach: NDArray[np.float64]
) -> tuple[tuple[slice, ...], NDArray[np.int64]]:
    """Return the slices and the first index of the box that a nodule's segmentation needs."""
    low = np.clip(np.floor(centre - reach), 0, np.array(shape) - 1).astype(np.int64)
    high = np.clip(np.ceil(centre + reach) + 1, 1, shape).astype(np.int64)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), low
