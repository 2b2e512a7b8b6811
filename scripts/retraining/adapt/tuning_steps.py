"""The two steps of adapting a network: on the drawn slice, and along the others."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.running.options import check_whole
from scripts.training.fine_tuning.stage_options import Stage


@dataclass(frozen=True)
class Tuning:
    """The two steps of the tuning; an epoch of a stage is one iteration.

    Attributes:
        deep: on the hand-drawn slice.
        shallow: on each following slice.
        images: augmented copies of the hand-drawn slice in an iteration.
        flip: whether its copies are also flipped left to right: of lesions, not of organs.
        threshold: least probability of a lesion's voxel, of bundles with one output.
        seed: of the augmentation.
    """

    deep: Stage
    shallow: Stage
    images: int = 1
    flip: bool = False
    threshold: float = 0.5
    seed: int = 0


def tuning_step(name: str, parts: tuple[str, ...], iterations: object, rate: object) -> Stage:
    """Check a step of the tuning.

    Raises:
        ValueError: for no parts, no iteration, or a rate that is not above 0.
    """
    check_whole(f"{name}_iterations", iterations, 1)
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not number or not 0 < rate < float("inf"):  # type: ignore[operator]
        raise ValueError(f"{name}_rate: must be a number above 0, got {rate!r}")
    if not parts:
        raise ValueError(f"{name}_parts: must name at least one part, such as decoder, got none")
    return Stage(name, parts, int(iterations), None, float(rate))  # type: ignore[call-overload, arg-type]
