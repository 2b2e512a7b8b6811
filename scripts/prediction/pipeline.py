"""Prediction of one CT with the bundle's transforms and network, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from scripts.datasets.candidates import Candidate
from scripts.prediction.members.agreement import AGREEMENT, MemberMasks
from scripts.prediction.members.limit import record_of, warning_of
from scripts.prediction.network.confidence import (
    faint_candidates,
    lesion_candidates,
    with_confidence,
)
from scripts.prediction.network.model import Model
from scripts.prediction.network.segments import number_segments
from scripts.prediction.result import Prediction, Segment
from scripts.prediction.second_stage import reduced
from scripts.prediction.sources.study_reading import read_voxels
from scripts.prediction.stopwatch import Stopwatch
from scripts.volumes.dicom.series_volume import Series, read_series
from scripts.volumes.geometry import Floats, lps_to_ras, reverse_axes
from scripts.volumes.hounsfield import why_not_hounsfield, why_not_int16
from scripts.volumes.readers import NOTES, VolumeReader
from scripts.volumes.volume import Volume

KEY = "image"


def predict_volume(
    model: Model,
    source: Path | Series,
    *,
    study: str,
    facts: dict[str, Any] | None = None,
    watch: Stopwatch | None = None,
    volume: Volume | None = None,
) -> Prediction:
    """Segment one CT.

    The labels equal those of ``run inferring`` with the same config; each component of a class that
    the config declares as numbered gets its own number.

    Args:
        model: the bundle.
        source: a volume file, a folder with the files of one DICOM series, or such a series.
        study: name of the results.
        facts: for :class:`Prediction`.
        watch: records the seconds of read, preprocess, network, postprocess, candidates, members
            (if there are several) and second stage.
        volume: the voxels of the source, if they were read before.

    Returns:
        Arrays in the source's own index order; of a resampled series, on its regular grid.

    Raises:
        ValueError: for a CT that is refused: invalid geometry, values that are not HU, or no lungs
            in a bundle that needs them.
    """
    watch = watch or Stopwatch()
    with watch.step("read"):
        if isinstance(source, Path) and source.is_dir():
            source = read_series(source)
        data = _loaded(model, source, read_voxels(source) if volume is None else volume)
        del volume
        facts = {} if facts is None else facts
        facts.setdefault("warnings", []).extend(data[KEY].meta.get(NOTES, ()))
        hu, affine = _hounsfield(data[KEY], check_hu=model.options.check_hu), _affine_lps(data[KEY])
    with watch.step("preprocess"):
        data = model.preprocessing(data, start=1)
    with watch.step("network"):
        data["pred"], members = _mean_probabilities(model, data, watch)
    if members is not None:
        watch.take_out("network", "members")
    with watch.step("postprocess"):
        data = dict(model.refining(data))
        data[KEY] = _emptied(data[KEY])
        cleaned = model.restoring(model.cleaning(dict(data)))
        labels = _zyx(cleaned["pred"], np.uint8)
        lungs = _zyx(cleaned["lung"], np.bool_) if "lung" in cleaned else None
        del cleaned
        mask, segments = number_segments(labels, model.segments)
        del labels
    with watch.step("candidates"):
        candidates = tuple(_candidates(model, data, mask, segments, affine, study))
        del data
    if members is not None:
        with watch.step("members"):
            segments = _compared(model, members, mask, segments, facts)
    prediction = Prediction(
        hu=hu,
        mask=mask,
        affine=affine,
        segments=with_confidence(segments, candidates),
        candidates=candidates,
        study=study,
        lungs=lungs,
        dicom_slices=source.slices if isinstance(source, Series) else (),
        stack=source.stack if isinstance(source, Series) else None,
        meanings={rule.kind: rule.meaning for rule in model.segments},
        facts=facts,
    )
    if model.reducer is None:
        return prediction
    with watch.step("second stage"):
        return reduced(prediction, model.reducer)


def _mean_probabilities(
    model: Model, data: dict[str, Any], watch: Stopwatch
) -> tuple[MetaTensor, MemberMasks | None]:
    """Return the mean over the members, and the mask of each; no masks of a single one."""
    lung = data.get("lung")  # by which the bundle's cleaning masks the prediction
    if model.passes == 1:
        return model.probabilities(data[KEY], lung=lung), None
    masks, empty = MemberMasks(), _emptied(data[KEY])

    def keep(number: int, probabilities: torch.Tensor) -> None:
        with watch.step("members"):
            scores = MetaTensor(probabilities, meta=deepcopy(empty.meta))
            own = model.cleaning({**data, KEY: empty, "pred": scores})
            masks.add(number, _zyx(model.restoring(own)["pred"], np.uint8))

    return model.probabilities(data[KEY], keep, lung=lung), masks


def _compared(
    model: Model,
    members: MemberMasks,
    mask: NDArray[Any],
    segments: Sequence[Segment],
    facts: dict[str, Any],
) -> tuple[Segment, ...]:
    """Compare the members: their agreement becomes a fact, the share of each lesion its segment's.

    A warning is added if the agreement is below the limit that was calibrated.
    """
    labels = {rule.kind: rule.label for rule in model.segments}
    agreement = members.agreement(
        model.members,
        {rule.label: rule.kind for rule in model.segments},
        mask,
        {one.number: labels[one.kind] for one in segments if one.lesion},
    )
    facts[AGREEMENT] = record_of(agreement, model.agreement_limit)
    warning = warning_of(facts[AGREEMENT])
    facts["warnings"] += [warning] if warning else []
    return tuple(replace(one, members_share=agreement.shares.get(one.number)) for one in segments)


def _candidates(
    model: Model,
    data: dict[str, Any],
    mask: NDArray[Any],
    segments: Sequence[Segment],
    affine: Floats,
    study: str,
) -> Iterator[Candidate]:
    """Yield the lesions of the mask, and fainter ones, with their confidence.

    Volumes are restored to the source's grid one after another, for memory.
    """
    rules = [rule for rule in model.segments if rule.numbered]
    scores = data["pred"]
    for rule in rules:
        # one channel is the probability of the only label; more are those of all classes
        channel = rule.label if len(scores) > 1 else 0
        restored = model.restoring({**data, "pred": scores[channel : channel + 1]})
        # (Z, Y, X) without a copy, as only boxes around lesions are read
        probability = np.asarray(_plain(restored["pred"]), np.float32)[0].T
        del restored
        lesions = [s for s in segments if s.lesion and s.kind == rule.kind]
        yield from lesion_candidates(mask, lesions, probability, affine, study)
        if model.fainter_cleaning is None:
            continue
        fainter = _zyx(model.restoring(model.fainter_cleaning(dict(data)))["pred"], np.uint8)
        yield from faint_candidates(fainter, mask, rule, probability, affine, study)


def _loaded(model: Model, source: Path | Series, volume: Volume) -> dict[str, Any]:
    """Load as the bundle's LoadImaged does, which names the same readers; HU are checked later."""
    load = model.preprocessing.transforms[0]
    name = str(source) if isinstance(source, Path) else source.place
    return dict(load({KEY: name}, reader=VolumeReader(volume)))


def _hounsfield(image: MetaTensor, *, check_hu: bool) -> NDArray[np.int16]:
    """Return (Z, Y, X) int16 of an image read as (X, Y, Z), or as (1, X, Y, Z).

    Raises:
        ValueError: for values that cannot be HU, or not be stored in 16 bits.
    """
    if image.ndim not in (3, 4) or (image.ndim == 4 and image.shape[0] != 1):
        raise ValueError(f"source: must be one 3D volume, got {tuple(image.shape)}")
    values = image.as_tensor().reshape(image.shape[-3:])
    if reason := why_not_int16(values.numpy()):
        raise ValueError(f"source: values must be HU, {reason}")
    if check_hu and (reason := why_not_hounsfield(values.numpy())):
        option = "--check_hu false predicts it all the same"
        raise ValueError(f"source: values must be HU, {reason}; {option}")
    return reverse_axes(values.round().numpy(), np.int16)


def _affine_lps(image: MetaTensor) -> Floats:
    """Return (4, 4), index (x, y, z) to LPS mm; MONAI keeps RAS."""
    return np.asarray(lps_to_ras(np.asarray(image.affine, np.float64)), np.float64)


def _emptied(image: MetaTensor) -> MetaTensor:
    """Keep the applied operations, which inverting needs, and release the voxels."""
    kept = MetaTensor(torch.empty(0), meta=deepcopy(image.meta))
    kept.applied_operations = image.applied_operations
    return kept


def _zyx(tensor: torch.Tensor, kind: Any) -> NDArray[Any]:
    """Return (Z, Y, X) of a (1, X, Y, Z) tensor."""
    return reverse_axes(np.asarray(_plain(tensor))[0], kind)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
