"""Collection of predictions and annotations, kept compressed until their series are complete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.utils import convert_to_tensor

from scripts.datasets.missing_data import MissingData
from scripts.evaluation.packed_slices import PackedArray, PackedConfidence
from scripts.evaluation.series import EvaluatedSlices, Instances, Series, assemble_series
from scripts.storage.locks import LOCK, acquire, release
from scripts.storage.output_folder import claim_output
from scripts.training.engine_events import is_main_process
from scripts.volumes.geometry import lps_to_ras, spacing_of

Case = Mapping[str, Any]


class SeriesCollection:
    """Evaluated cases, kept until their series are complete.

    A case is a dictionary of an engine's decollated output and batch with ``pred`` (0 or 1, or a
    class) and ``instances`` (0 background, k = nodule k of the scan, or class k), both (1, H, W)
    for a slice with rows running to posterior and columns to the left, or (1, H, W, D) for a
    volume in any orientation, and ``case``, its index in ``cases``.

    Args:
        cases: each with ``series_uid`` and ``patient_id``; slices also with ``slice`` (index in the
            LPS volume) and ``spacing_mm`` (x, y, z). Optional: ``nodules`` ([{"id",
            "diameter_mm"}]) and ``slices_in_volume``.
        annotation: key of the annotation, if it is not ``instances``.
        classes: number of values of ``pred``, background included.
        candidate_threshold: least probability of a voxel of a candidate; then the confidence of
            candidates is kept of cases that have ``probability``, in the shape of ``pred``.

    Raises:
        ValueError: when there are no cases, or one lacks a required entry.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        annotation: str = "instances",
        classes: int = 2,
        candidate_threshold: float | None = None,
    ) -> None:
        if not cases and not isinstance(cases, MissingData):  # then a run is refused
            raise ValueError("cases: must not be empty; the data list has nothing in this section")
        for index, case in enumerate(cases):
            missing = [key for key in ("series_uid", "patient_id") if not case.get(key)]
            if missing or case.get("case", index) != index:
                raise ValueError(
                    f"cases: entry {index} must have series_uid, patient_id and (if given) case = "
                    f"{index}, got {sorted(case)} with case = {case.get('case')}; pass the list "
                    "that the data set was created from"
                )
        self.cases = cases
        self.annotation = annotation
        self.classes = classes
        self.candidate_threshold = candidate_threshold
        self._items: list[EvaluatedSlices] = []

    def clear(self) -> None:
        """Remove all cases."""
        self._items.clear()

    def add(self, output: Any, batch: Any = None) -> None:
        """Add the cases of one iteration of an engine.

        Args:
            output: decollated ``engine.state.output``.
            batch: decollated ``engine.state.batch``, which contains the entries of a sample other
                than image and label.

        Raises:
            ValueError: when an entry is missing or invalid.
        """
        if not isinstance(output, (list, tuple)):
            raise ValueError(
                f"output: must be a list of dictionaries, got {type(output).__name__}; "
                "leave the evaluator's decollate at true"
            )
        samples = batch if isinstance(batch, (list, tuple)) else [{}] * len(output)
        for sample, result in zip(samples, output, strict=True):
            item = {**sample, **result}
            missing = [key for key in ("pred", self.annotation, "case") if key not in item]
            if missing:
                raise ValueError(
                    f"output, batch: must have {missing}, have {sorted(map(str, item))}"
                )
            self._items.append(self._pack(item))

    def series(self) -> Iterable[Series]:
        """Yield the series of all processes, one after another."""
        items = _of_all_processes(self._items)
        return assemble_series(items, self.cases, dtype=bool if self.classes == 2 else np.uint8)

    def _pack(self, item: Mapping[str, Any]) -> EvaluatedSlices:
        """Check and compress one case."""
        index, name = int(item["case"]), self.annotation
        if not 0 <= index < len(self.cases):
            raise ValueError(f"case: must be 0..{len(self.cases) - 1}, got {index}")
        prediction, instances = item["pred"], item[name]
        one_shape = prediction.shape == instances.shape and prediction.ndim in (3, 4)
        if not one_shape or len(instances) != 1:
            raise ValueError(
                f"pred, {name}: must have one shape (1, H, W) or (1, H, W, D), case {index} has "
                f"{tuple(prediction.shape)} and {tuple(instances.shape)}"
            )
        predicted, labelled = _whole_numbers(prediction), _whole_numbers(instances)
        if predicted is None or predicted.max() >= self.classes:
            valid = "0 or 1" if self.classes == 2 else f"classes 0..{self.classes - 1}"
            raise ValueError(
                f"pred: must be {valid}, case {index} has values from {float(prediction.min()):g} "
                f"to {float(prediction.max()):g}; threshold it in the evaluator's postprocessing"
            )
        if labelled is None:
            raise ValueError(
                f"{name}: must be whole numbers 0..255, case {index} has values from "
                f"{float(instances.min()):g} to {float(instances.max()):g}; resample with nearest"
            )
        stacks: tuple[npt.NDArray[Any], ...] = (predicted, labelled)
        if (probability := self._probability(item)) is not None:
            stacks = (*stacks, probability)
        if prediction.ndim == 3:
            first, spacing = _slice_geometry(index, self.cases[index])
            stacks = tuple(array[None] for array in stacks)
            listed = self.cases[index].get("affine_lps")
            affine = None if listed is None else np.asarray(listed, float)
        else:
            first = 0
            stacks, affine = _volume_stacks(index, stacks, instances)
            x, y, z = spacing_of(affine).tolist()
            spacing = (z, y, x)
        return EvaluatedSlices(
            index,
            first,
            PackedArray.pack(stacks[0]),
            PackedArray.pack(stacks[1]),
            spacing,
            whole=prediction.ndim == 4,
            affine_lps=affine,
            confidence=None if probability is None else self._confidence(stacks[0], stacks[2]),
        )

    def _probability(self, item: Mapping[str, Any]) -> npt.NDArray[np.float32] | None:
        """Return the probabilities of a case, if candidates are wanted and it has them."""
        probability = item.get("probability")
        if self.candidate_threshold is None or probability is None:
            return None
        if probability.shape != item["pred"].shape:
            raise ValueError(
                f"probability: must have the shape of pred {tuple(item['pred'].shape)}, got "
                f"{tuple(probability.shape)}"
            )
        return np.asarray(_plain(probability)[0].float().numpy(), np.float32)

    def _confidence(
        self, masks: npt.NDArray[Any], probabilities: npt.NDArray[np.float32]
    ) -> tuple[PackedConfidence, ...]:
        threshold = float(self.candidate_threshold or 0)
        return tuple(
            PackedConfidence.pack(mask > 0, probability, threshold)
            for mask, probability in zip(masks, probabilities, strict=True)
        )


class Annotated(Protocol):
    """A kind of annotation, as far as a collection depends on it."""

    @property
    def annotation(self) -> str:
        """Key of the annotation in the samples."""

    @property
    def values(self) -> int:
        """Number of values of a prediction, background included."""

    @property
    def candidate_threshold(self) -> float | None:
        """Least probability of a voxel of a candidate; None without candidates."""

    def check(self, case: Case) -> None:
        """Raise a ValueError for a case that lacks an entry which the annotation needs."""


class CollectingHandler(ABC):
    """Ignite handler that collects the cases of an evaluation and processes its series at the end.

    Class attributes:
        with_candidates: whether it needs the confidence of candidates.

    Args:
        cases: the list that the evaluated data set was created from.
        output_dir: folder to write to.
        kind: kind of annotation.

    Raises:
        ValueError: for cases without the required entries.
    """

    with_candidates = False

    def __init__(self, cases: Sequence[Case], output_dir: str | Path, kind: Annotated) -> None:
        self.collection = SeriesCollection(
            cases,
            annotation=kind.annotation,
            classes=kind.values,
            candidate_threshold=kind.candidate_threshold if self.with_candidates else None,
        )
        for case in cases:
            kind.check(case)
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Attach to an engine: collect each iteration, finish when it is completed."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _start(self, engine: Engine) -> None:
        """Remove the cases of an earlier run, and lock the folder of the results.

        An evaluation that fails keeps the lock until its process ends or evaluates again.
        """
        self.collection.clear()
        claim_output(self.output_dir, "output_dir")
        if is_main_process():
            acquire(self.output_dir / LOCK, "output_dir")

    def _end(self, engine: Engine) -> None:
        if is_main_process():
            release(self.output_dir / LOCK)

    def _collect(self, engine: Engine) -> None:
        """Add the cases of one iteration."""
        self.collection.add(engine.state.output, engine.state.batch)

    def __call__(self, engine: Engine) -> None:
        """Process the series, then remove the cases."""
        self.finish(engine, self.collection.series())
        self.collection.clear()

    @abstractmethod
    def finish(self, engine: Engine, series: Iterable[Series]) -> None:
        """Process the series of all processes; called in each process, only rank 0 writes files."""


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return convert_to_tensor(tensor).detach().cpu()  # type: ignore[no-any-return]


def _whole_numbers(tensor: torch.Tensor) -> Instances | None:
    """Return the only channel as uint8; None if that would change a value."""
    plain = _plain(tensor)[0]
    small = plain.to(torch.uint8)
    return small.numpy() if torch.equal(small.to(plain.dtype), plain) else None


def _slice_geometry(index: int, case: Case) -> tuple[int, tuple[float, float, float]]:
    """Return a slice's index in its volume and its spacing (z, y, x)."""
    missing = [key for key in ("slice", "spacing_mm") if case.get(key) is None]
    if missing:
        raise ValueError(f"cases: entry {index} is a slice and must have {missing}")
    x, y, z = (float(mm) for mm in case["spacing_mm"])
    return int(case["slice"]), (z, y, x)


def _volume_stacks(
    index: int, arrays: Sequence[npt.NDArray[Any]], instances: torch.Tensor
) -> tuple[tuple[npt.NDArray[Any], ...], npt.NDArray[np.float64]]:
    """Reorient a volume's arrays to (z, y, x), towards head, posterior and left.

    Returns:
        The arrays; and (4, 4), their index (x, y, z) to LPS mm.
    """
    if not isinstance(instances, MetaTensor):
        raise ValueError(
            f"instances: a volume must have its affine (MetaTensor), case {index} is a "
            f"{type(instances).__name__}"
        )
    affine = np.asarray(instances.affine.cpu(), float)
    transform = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt("SPL")
    )
    reordered = tuple(nib.orientations.apply_orientation(array, transform) for array in arrays)
    turned = affine @ nib.orientations.inv_ornt_aff(transform, arrays[0].shape)
    return reordered, lps_to_ras(turned)[:, [2, 1, 0, 3]]


def _of_all_processes(items: list[EvaluatedSlices]) -> list[EvaluatedSlices]:
    """Gather the items of all processes of a distributed evaluation."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    gathered: list[list[EvaluatedSlices]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, items)
    return [item for part in gathered for item in part]
