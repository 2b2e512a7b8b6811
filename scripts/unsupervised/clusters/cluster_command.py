"""``python -m scripts cluster``: one CT divided into clusters, without annotations or training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.bundle.record import provenance
from scripts.evaluation.earlier_result import DATA, SUMMARY, refuse_another
from scripts.preparation.prepare_options import check_window
from scripts.running.options import check_device, read_truth
from scripts.storage.files import atomic_path, plain, write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import writing_into
from scripts.unsupervised.clusters.cluster_evaluate_command import DEFINITIONS
from scripts.unsupervised.clusters.jule import JuleOptions
from scripts.unsupervised.clusters.picture import write_clusters
from scripts.unsupervised.clusters.scores import Agreement, agreement
from scripts.unsupervised.clusters.segmentation import (
    METHODS,
    SHOWN,
    ClusterOptions,
    Prepared,
    Segmentation,
    prepared,
)
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import grid_difference
from scripts.volumes.readers import read_volume
from scripts.volumes.volume import Volume, turned

REFERENCE = "reference"
MOST_CLASSES = 255


def cluster(
    image: str,
    output: str,
    *,
    clusters: int = 3,
    reference: str | None = None,
    region: str = "body",
    window_hu: tuple[float, float] | None = None,
    dimensions: int = 2,
    patch: int = 27,
    stride: int | None = None,
    patches: int = 2000,
    periods: int = 5,
    epochs: int = 2,
    series_uid: str | None = None,
    device: str = "cpu",
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Divide one CT into clusters that have no names, without annotations.

    By JULE: a network learns features of the image's own patches, and K-means divides them; and,
    for comparison, by K-means on intensity and by Otsu's thresholds. Writes jule.nii.gz,
    k_means.nii.gz and otsu.nii.gz (1 ... clusters from dark to bright, 0 outside the region) in the
    geometry of the image, clusters.png and summary.json. Research only, not for diagnosis.

    Args:
        image: a .mhd, .mha, .nrrd, .nii or .nii.gz file, or a folder with a DICOM CT series.
        output: folder to write.
        clusters: number of clusters, 2 to 5.
        reference: file with annotated classes (0 is the rest) on the grid of the image: adds NMI
            and the best matching to summary.json.
        region: part of the CT: body, lung, their boxes body_box and lung_box, or all.
        window_hu: HU outside are clipped, such as -1000,400; by default the range of the region
            without its lowest and highest half per cent.
        dimensions: 2 (patches of three slices) or 3 (cubes, as in the paper; for a GPU).
        patch: edge of a patch in pixels, at least 12.
        stride: distance of patches in pixels, and edge of the cells that get one label; by default
            3, or the least with at most 60,000 patches.
        patches: number of patches to train on.
        periods: how often patches are clustered and the network is trained, at least 2.
        epochs: in each period.
        series_uid: SeriesInstanceUID, if the DICOM folder holds several CT series.
        device: cpu, cuda:0 ...
        seed: of everything random; on one machine, the same seed gives the same labels.
        overwrite: replace the result of another image or of other options in the output.

    Raises:
        ValueError: for an invalid option or image, another result in the output, or a reference on
            another grid.
        OSError: when a file does not exist, or the output cannot be written.
    """
    options = ClusterOptions(
        clusters=clusters,
        region=region,
        window_hu=None if window_hu is None else check_window(window_hu),
        dimensions=dimensions,
        patch=patch,
        stride=stride,
        patches=patches,
        jule=JuleOptions(periods=periods, epochs=epochs),
        device=check_device(device),
        seed=seed,
    )
    folder = Path(str(output))
    source = read_volume(str(image), series_uid=series_uid)
    classes = None if reference is None else read_reference(str(reference), source)
    volume = source.in_lps()
    ready = prepared(volume, options)
    made_of = plain({"image_sha256": _hash_of(source), "method": asdict(options)})
    with claimed(folder):
        if not read_truth("overwrite", overwrite):
            refuse_another(folder, made_of)
        found = {name: segment(ready, options) for name, segment in METHODS.items()}
        scores = _scores(found, classes, ready)
        with writing_into(folder):
            for name, labels in found.items():
                _write_mask(labels, volume, source, folder / f"{name}.nii.gz")
            _draw(volume, found, classes, ready, folder)
            summary = _summary(found, scores, ready, options, source)
            write_json(folder / SUMMARY, {**summary, DATA: made_of})
    for name, score in scores.items():
        print(f"{SHOWN[name]}: NMI {score.nmi:.3f}, accuracy after matching {score.accuracy:.3f}")
    print(f"written: {folder}")


def _hash_of(volume: Volume) -> str:
    """Return the SHA-256 of the voxels and their place."""
    place = np.round(volume.affine_lps, 3).tolist()
    digest = hashlib.sha256(f"{volume.hu.shape} {volume.hu.dtype} {place}".encode())
    digest.update(volume.hu.tobytes())
    return digest.hexdigest()


def read_reference(path: str, image: Volume) -> NDArray[np.uint8]:
    """Read annotated classes on the grid of an image, in LPS index order.

    Raises:
        ValueError: for another grid, or values other than whole numbers from 0 to 255.
        OSError: when it cannot be read.
    """
    classes = read_volume(path)
    if difference := grid_difference(image.in_lps().to_image(), classes.in_lps().to_image()):
        raise ValueError(
            f"reference: {path} must be on the grid of the image: {difference}; resample it with "
            "nearest neighbours"
        )
    values = classes.hu
    small = np.clip(values, 0, MOST_CLASSES).astype(np.uint8)
    if not np.array_equal(small, values):
        raise ValueError(
            f"reference: {path} must hold whole numbers from 0 to {MOST_CLASSES}, got "
            f"{values.min():g} to {values.max():g}"
        )
    return turned(small, classes.affine_lps)


def _scores(
    found: Mapping[str, Segmentation], classes: NDArray[np.uint8] | None, ready: Prepared
) -> dict[str, Agreement]:
    if classes is None:
        return {}
    inside = classes[ready.region]
    return {name: agreement(labels[ready.region], inside) for name, labels in found.items()}


def _write_mask(labels: Segmentation, volume: Volume, source: Volume, path: Path) -> None:
    """Write labels in the index order of the source."""
    own = turned(labels, volume.affine_lps, source.affine_lps)
    with atomic_path(path) as part:
        nifti_of(own, source.affine_lps).to_filename(part)


def _draw(
    volume: Volume,
    found: Mapping[str, Segmentation],
    classes: NDArray[np.uint8] | None,
    ready: Prepared,
    folder: Path,
) -> None:
    annotated = {} if classes is None else {REFERENCE: np.where(ready.region, classes, 0)}
    columns = annotated | {SHOWN[name]: labels for name, labels in found.items()}
    write_clusters(
        *(volume.hu, columns, ready.region, folder / "clusters.png"),
        spacing_mm=ready.spacing_mm,
        window_hu=ready.window_hu,
    )


def _summary(
    found: Mapping[str, Segmentation],
    scores: Mapping[str, Agreement],
    ready: Prepared,
    options: ClusterOptions,
    source: Volume,
) -> dict[str, Any]:
    settings = {**asdict(options), "window_hu": ready.window_hu, "stride": ready.stride}
    return {
        "note": "clusters without names, found without annotations; not for diagnosis",
        "methods": {
            name: {
                "file": f"{name}.nii.gz",
                "clusters": _described(labels, ready),
                **({"agreement": _record(scores[name])} if scores else {}),
            }
            for name, labels in found.items()
        },
        "definitions": DEFINITIONS if scores else {},
        "settings": settings,
        "notes_of_the_image": list(source.notes),
        "provenance": provenance(seed=options.seed),
    }


def _described(labels: Segmentation, ready: Prepared) -> dict[str, dict[str, float]]:
    """Return volume and mean HU (within the window) of each cluster."""
    voxel_ml = float(np.prod(ready.spacing_mm)) / 1000
    return {
        str(number): {
            "volume_ml": float((labels == number).sum()) * voxel_ml,
            "mean_hu": float(ready.values[labels == number].mean()),
        }
        for number in np.unique(labels[labels > 0]).tolist()
    }


def _record(score: Agreement) -> dict[str, Any]:
    return {
        "nmi": score.nmi,
        "accuracy_after_matching": score.accuracy,
        "dice_after_matching": score.dice,
        "cluster_of_class": score.cluster_of,
        "voxels_of_region": score.voxels,
    }
