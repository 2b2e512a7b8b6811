"""A bundle whose network is adapted, for one patient, to a slice that was delineated by hand."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from monai.data import MetaTensor
from torch import nn

from custom_nets.freezing import Freezable
from scripts.prediction.network.engines import TORCH
from scripts.prediction.network.model import Model, Watch
from scripts.prediction.predict_options import Options
from scripts.retraining.adapt.drawn_slice import Drawing, DrawnSlice, slice_numbers
from scripts.retraining.adapt.sequence_tuning import (
    TUNED,
    SequenceTuning,
    SliceStep,
    copied,
)
from scripts.retraining.adapt.tuning_steps import Tuning

NONE, DEEP, BOTH = "none", "deep", "both"
ARMS = (NONE, DEEP, BOTH)
"""What is tuned: nothing, the network on the drawn slice, and also along the others."""
NOTE = "adapted to a hand-drawn slice"


class AdaptedModel(Model):
    """The components of a bundle, with a copy of its network that is tuned for one patient.

    :meth:`begin` names the drawing of the CT that is predicted next; after :meth:`go_on`, further
    ones, follow-up scans of the patient, begin with the weights that were tuned on the drawing. The
    file of trained weights is not changed.

    Args:
        options: see :class:`Model`; with one checkpoint, and no flips. The engine is torch.
        tuning: the steps of the tuning; its threshold and its flips are set to the bundle's.

    Attributes:
        arm: what is done: one of :data:`ARMS`, the others for comparison.
        drawing: of the CT that is predicted next; None for a follow-up scan.
        drawn: the drawing on the grid of the network's input, once it is known.
        steps: what was done at each slice of the last CT.
        numbers: of the slices of its input, in the CT as it is stored.

    Raises:
        ValueError: see :class:`Model`.
    """

    assisted = True

    def __init__(self, options: Options, tuning: Tuning) -> None:
        super().__init__(replace(options, engine=TORCH))
        if "fold_norms" in self.parser:
            self.parser["fold_norms"] = False  # norms are tuned, so they cannot be folded
        threshold = float(self._built("threshold")) if "threshold" in self.parser else 0.5
        self.tuning = replace(tuning, threshold=threshold, flip=self.lesions)
        self.arm = BOTH
        self.drawing: Drawing | None = None
        self.drawn: DrawnSlice | None = None
        self.steps: list[SliceStep] = []
        self.numbers: list[int] = []
        self._first: SliceStep | None = None
        self._weights: dict[str, dict[str, torch.Tensor]] = {}

    def begin(self, drawing: Drawing) -> None:
        """Adapt to this drawing, beginning with the weights of the file."""
        self.drawing, self.drawn, self._first = drawing, None, None
        self._weights.pop(DEEP, None)

    def go_on(self) -> None:
        """Predict a follow-up scan next."""
        self.drawing = None

    @property
    def lesions(self) -> bool:
        """Whether the bundle finds lesions, one output; otherwise it tells classes apart."""
        return any(rule.numbered for rule in self.segments)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by value, background first."""
        return ("background", *(rule.kind for rule in self.segments))

    def check_parts(self) -> None:
        """Build every part, and check that its network can be tuned slice by slice.

        Raises:
            ValueError: see :meth:`Model.check_parts`; for a network that cannot be tuned so.
        """
        super().check_parts()
        _ = self.sequence

    @property
    def sequence(self) -> SequenceTuning:
        """The network, ready to be tuned.

        Raises:
            ValueError: for a network whose parts are not known, or of volumes.
        """
        (network,) = self.networks
        if not isinstance(network, Freezable):
            raise ValueError(
                f"bundle: a {type(network).__name__} has no named parts that could be tuned; adapt "
                "needs a network of custom_nets"
            )
        if any(isinstance(module, nn.Conv3d) for module in network.modules()):
            raise ValueError(
                f"bundle: adapt follows the slices of a CT with a 2D network, and a "
                f"{type(network).__name__} is one of volumes; train a 2D network"
            )
        return SequenceTuning(network, self._built("inferer"), self.tuning, self.device)

    def probabilities(
        self,
        image: MetaTensor,
        watch: Watch | None = None,
        *,
        lung: torch.Tensor | None = None,
    ) -> MetaTensor:
        """Return the probability of each class (K, D1, D2, D3), after tuning for this CT.

        Raises:
            ValueError: see :meth:`Model.probabilities` and :meth:`Drawing.on`.
        """
        sequence = self.sequence
        sequence.network.requires_grad_(True)
        self._weights.setdefault(NONE, copied(sequence.network))
        self.steps, self.numbers = [], slice_numbers(image)
        sequence.network.load_state_dict(self._weights[NONE])
        if self.arm == NONE:
            return super().probabilities(image, watch, lung=lung)
        plain = image.as_tensor()
        drawn = None if self.drawing is None else self.drawing.on(image)
        self._tune_deep(sequence, plain, drawn)
        sequence.network.load_state_dict(self._weights[DEEP])
        if self.arm == DEEP:
            result = super().probabilities(image, watch, lung=lung)
        else:
            result = self._followed(sequence, image, drawn)
        self.notes = [*(n for n in self.notes if not n.startswith(NOTE)), self._note(drawn)]
        return result if drawn is None else with_drawing(result, drawn)

    def _tune_deep(
        self, sequence: SequenceTuning, image: torch.Tensor, drawn: DrawnSlice | None
    ) -> None:
        """Tune on the drawing, once; further CTs begin with its result."""
        if DEEP in self._weights:
            return
        if drawn is None:
            raise ValueError("drawing: the first CT needs the hand-drawn slice")
        self.drawn, self._first = drawn, sequence.deep(image, drawn)
        self._weights[DEEP] = copied(sequence.network)

    def _followed(
        self, sequence: SequenceTuning, image: MetaTensor, drawn: DrawnSlice | None
    ) -> MetaTensor:
        """Tune along the slices: from the drawn one, or from the one of the largest area."""
        classes = () if self.drawn is None else self.drawn.classes
        start = self._first
        if drawn is None:
            with torch.no_grad():
                logits = sequence.inferer(image.as_tensor()[None].to(self.device), sequence.network)
            start = sequence.start_at(logits[0].cpu(), classes)
            if start is None:
                return super().probabilities(image)
        if start is None:
            raise ValueError("drawing: the deep tuning has not been done")
        logits, self.steps = sequence.follow(image.as_tensor(), start, classes)
        return MetaTensor(self.activated(logits), meta=deepcopy(image.meta))

    def _note(self, here: DrawnSlice | None) -> str:
        """Describe the adaptation, for the reader of the results."""
        drawn = self.drawn
        if drawn is None:
            return NOTE
        names = " and ".join(self.class_names[value] for value in drawn.classes)
        place = "of this scan" if here is not None else "of an earlier scan"
        note = f"{NOTE} {place}: slice {drawn.number}, {drawn.voxels} voxels of {names}"
        if here is not None and here.outside:
            note += f", {here.outside} of them outside of what the network is given"
        if self.arm == BOTH and not self.steps:
            note += "; nothing was found to follow from slice to slice"
        return note

    def record(self) -> dict[str, Any]:
        """Return what was done for the last CT, for its manifest."""
        drawn = self.drawn
        return {
            "arm": self.arm,
            "drawn_slice": None if drawn is None else drawn.number,
            "drawn_voxels": 0 if drawn is None else drawn.voxels,
            "deep": vars(self.tuning.deep),
            "shallow": vars(self.tuning.shallow),
            "seed": self.tuning.seed,
            "tuned_slices": sum(step.step == TUNED for step in self.steps),
            "stopped": {self.numbers[s.index]: s.reason for s in self.steps if s.reason},
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each slice of the last CT, by its number, for a table."""
        rows = [
            {
                "slice": self.numbers[step.index],
                **{k: v for k, v in vars(step).items() if k != "index"},
            }
            for step in self.steps
        ]
        return sorted(rows, key=lambda row: int(row["slice"]))


def with_drawing(probabilities: MetaTensor, drawn: DrawnSlice) -> MetaTensor:
    """Put the drawing into the probabilities (K, H, W, D), in place, where it decides the class.

    Background stays as predicted where a class that was not drawn is the most probable.
    """
    plain = probabilities.as_tensor()[..., drawn.index]
    label = drawn.label[0]
    if plain.shape[0] == 1:
        plain[0] = (label > 0).to(plain)
        return probabilities
    undecided = (label == 0) & ~drawn.known[plain.argmax(dim=0)]
    exact = torch.stack([(label == value).to(plain) for value in range(plain.shape[0])])
    plain.copy_(torch.where(undecided, plain, exact))
    return probabilities
