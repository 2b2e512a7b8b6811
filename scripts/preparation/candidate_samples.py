"""Crops of the candidates of one scan, each with its target: nodule or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.candidate_truth import distance_to_edge_mm, truth_of
from scripts.datasets.candidates import Candidate
from scripts.datasets.problems import Problem
from scripts.storage.files import atomic_path, plain, read_json, write_json
from scripts.storage.output_folder import OutputError, writing_into
from scripts.transforms.candidate_crops import cut_crops, nearest_voxels
from scripts.transforms.lung_field import NoLungsError, lung_field
from scripts.volumes.geometry import index_to_world
from scripts.volumes.readers import read_volume
from scripts.volumes.volume import Volume
from scripts.volumes.volume_files import files_of

FORMAT = 1  # version of a scan's crops; after a change they are cut again
EACH_SIDE = 1  # neighbouring slices
RANDOM_MARGIN_MM = 10.0  # of a random position to the edge of every nodule and finding
TRIES = 10_000  # for each random position

CANDIDATE, ANNOTATED, RANDOM = "candidate", "annotation", "random"


@dataclass(frozen=True)
class CropOptions:
    """Options of the crops.

    Args:
        size: rows and columns of a crop in pixels.
        negatives: least number of crops without a nodule of a training or validation scan; random
            positions in the lungs are added to fewer candidates.
        seed: of the random positions.
    """

    size: int = 96
    negatives: int = 8
    seed: int = 0


@dataclass(frozen=True)
class CropTask:
    """One scan and its candidates.

    Args:
        volume: the entry of the datalist, with absolute paths.
        section: the partition.
        candidates: of this scan.
        output: the prepared folder.
        options: see :class:`CropOptions`.
    """

    volume: Mapping[str, Any]
    section: str
    candidates: tuple[Candidate, ...]
    output: Path
    options: CropOptions

    @property
    def uid(self) -> str:
        """The series."""
        return str(self.volume["series_uid"])

    @property
    def folder(self) -> Path:
        """The folder of its crops."""
        return self.output / "scans" / self.uid

    def request(self) -> dict[str, Any]:
        """Return everything the crops depend on."""
        files = [path.stat() for path in files_of(Path(self.volume["image"]))]
        request: dict[str, Any] = plain(
            {
                "format": FORMAT,
                "section": self.section,
                "patient": self.volume["patient_id"],
                "nodules": self.volume.get("nodules", ()),
                "excluded": self.volume.get("excluded", ()),
                "files": [[each.st_size, each.st_mtime_ns] for each in files],
                "candidates": [[*c.centre_lps_mm, c.probability] for c in self.candidates],
                "options": asdict(self.options),
            }
        )
        return request


@dataclass(frozen=True)
class Position:
    """A position to crop.

    Args:
        centre_lps_mm: in LPS mm.
        target: 1 for a nodule, 0 for none.
        origin: :data:`CANDIDATE`, :data:`ANNOTATED` (a nodule's own centre) or :data:`RANDOM`.
        nodule: id of the nodule; None for none.
        confidence: of the first stage, for candidates.
    """

    centre_lps_mm: tuple[float, float, float]
    target: float
    origin: str
    nodule: int | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class CropOutcome:
    """The samples of a scan, or the problem that excludes it.

    Args:
        task: the scan.
        samples: entries of the datalist.
        excluded: number of candidates on excluded findings, which are not among the samples.
        problem: why there are no samples.
    """

    task: CropTask
    samples: tuple[dict[str, Any], ...] = ()
    excluded: int = 0
    problem: Problem | None = None


def crop_scan(task: CropTask) -> CropOutcome:
    """Cut the crops of one scan, or take those of an earlier run; errors become a problem.

    Raises:
        OutputError: when the output cannot be written.
    """
    try:
        request = task.request()
        record = _known(task, request)
        if record is None:
            record = _cut(task, request)
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        return CropOutcome(task, problem=Problem(task.uid, "", str(error)))
    return CropOutcome(task, tuple(record["samples"]), int(record["excluded"]))


def lost_scan(task: CropTask, reason: str) -> CropOutcome:
    """Report a scan whose process died."""
    return CropOutcome(task, problem=Problem(task.uid, "", reason))


def _known(task: CropTask, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record of an earlier run with the same request; None if there is none."""
    try:
        record = read_json(task.folder / "crops.json")
    except (OSError, ValueError):
        return None
    complete = not record.get("samples") or (task.folder / "image.npy").is_file()
    return record if record.get("request") == request and complete else None


def _cut(task: CropTask, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the crops of a scan and, last, their record."""
    volume = read_volume(Path(task.volume["image"])).in_lps()
    positions, excluded = _positions(task, volume)
    record: dict[str, Any] = {"request": request, "excluded": excluded, "samples": []}
    with writing_into(task.output):
        (task.folder / "crops.json").unlink(missing_ok=True)
    if positions:
        centres = [position.centre_lps_mm for position in positions]
        square = (task.options.size, task.options.size)
        crops = cut_crops(volume, centres, size=square, each_side=EACH_SIDE)
        record["samples"] = plain(list(_samples(task, volume, positions)))
        with writing_into(task.output), atomic_path(task.folder / "image.npy") as part:
            np.save(part, crops.reshape(-1, *square))
    with writing_into(task.output):
        write_json(task.folder / "crops.json", record)
    return record


def _positions(task: CropTask, volume: Volume) -> tuple[list[Position], int]:
    """Return what is cropped, and the number of candidates on excluded findings.

    A scan of the test has its candidates only.
    """
    nodules, findings = task.volume.get("nodules", ()), task.volume.get("excluded", ())
    positions: list[Position] = []
    excluded = 0
    for candidate in task.candidates:
        truth = truth_of(candidate.centre_lps_mm, nodules, findings)
        if truth.excluded:
            excluded += 1
            continue
        target = float(truth.nodule is not None)
        confidence = candidate.probability
        positions.append(
            Position(candidate.centre_lps_mm, target, CANDIDATE, truth.nodule, confidence)
        )
    if task.section != "test":
        positions += [
            Position(tuple(nodule["centre_lps_mm"]), 1.0, ANNOTATED, int(nodule["id"]))
            for nodule in nodules
        ]
        missing = task.options.negatives - sum(not position.target for position in positions)
        positions += _random(task, volume, [*nodules, *findings], max(missing, 0))
    return positions, excluded


def _random(
    task: CropTask, volume: Volume, avoided: Sequence[Mapping[str, Any]], count: int
) -> Iterator[Position]:
    """Yield random positions in the lungs, away from every finding; fewer if there is no room."""
    if not count:
        return
    try:
        lung = lung_field(volume.hu, volume.spacing_mm)
    except NoLungsError as error:
        raise NoLungsError(f"{error}; --negatives 0 leaves random positions out") from error
    occupied = [np.flatnonzero(lung.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    random = Random(f"candidates:{task.options.seed}:{task.uid}")
    for _ in range(count * TRIES):
        z, y, x = (random.randint(int(axis[0]), int(axis[-1])) for axis in occupied)
        centre = tuple(index_to_world([x, y, z], volume.affine_lps).tolist())
        far = all(distance_to_edge_mm(centre, one) > RANDOM_MARGIN_MM for one in avoided)
        if lung[z, y, x] and far:
            yield Position(centre, 0.0, RANDOM)
            count -= 1
        if not count:
            return


def _samples(
    task: CropTask, volume: Volume, positions: Sequence[Position]
) -> Iterator[dict[str, Any]]:
    """Yield an entry of the datalist for each position; its rows are those of the stored crops."""
    voxels = nearest_voxels(volume, [position.centre_lps_mm for position in positions])
    channels = 2 * EACH_SIDE + 1
    for number, (position, voxel) in enumerate(zip(positions, voxels, strict=True)):
        yield {
            "image": f"scans/{task.uid}/image.npy",
            "rows": list(range(number * channels, (number + 1) * channels)),
            "series_uid": task.uid,
            "patient_id": task.volume["patient_id"],
            **{key: task.volume[key] for key in ("image_hash",) if key in task.volume},
            "spacing_mm": volume.spacing_mm,
            "slice": int(voxel[0]),
            "affine_lps": _affine_of_crop(volume, voxel, task.options.size),
            "target": [position.target],
            "origin": position.origin,
            "centre_lps_mm": position.centre_lps_mm,
            "nodule": position.nodule,
            "confidence": position.confidence,
        }


def _affine_of_crop(volume: Volume, voxel: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Return (4, 4): index (column, row, slice of the volume) of a crop to LPS mm."""
    affine = volume.affine_lps.copy()
    corner = [voxel[2] - size // 2, voxel[1] - size // 2, 0]
    affine[:3, 3] = index_to_world(corner, volume.affine_lps)
    return affine
