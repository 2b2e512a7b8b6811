"""Operating point of a second stage: the least probability with which a candidate is kept."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset
from torch import nn

from custom_nets.state_dicts import read_content
from scripts.training.engine_events import after_run
from scripts.training.fine_tuning.stage_checks import unwrapped
from scripts.training.tensor_files import MODEL_FILE, REDUCER_FILE, write_tensors

logger = logging.getLogger(__name__)

RECORD = "operating_point"
"""Entry of the model file."""
AT_ONCE = 64  # crops that the network takes together


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold of a second stage, and what it keeps and removes where it was chosen.

    Attributes:
        threshold: least probability of a candidate that is kept.
        keep: least share of the nodules that it had to keep.
        nodules: number of nodules, each with the highest probability of its crops.
        nodules_kept: how many of them it keeps.
        false_candidates: number of candidates on nothing.
        false_removed: how many of them it removes.
        chosen_on: the partition, and whether on the candidates of its nodules or, where the first
            stage found none of them, on the annotated nodules.
    """

    threshold: float
    keep: float
    nodules: int
    nodules_kept: int
    false_candidates: int
    false_removed: int
    chosen_on: str = ""

    def line(self) -> str:
        """Describe it in one line."""
        return (
            f"a candidate is kept from probability {self.threshold:.4f} on: this keeps "
            f"{self.nodules_kept} of {self.nodules} nodules (at least {self.keep:.0%} were asked) "
            f"and removes {self.false_removed} of {self.false_candidates} false candidates of the "
            f"{self.chosen_on}"
        )


def choose_threshold(
    nodules: Mapping[Hashable, float], false_candidates: Sequence[float], *, keep: float
) -> OperatingPoint:
    """Choose the highest threshold that keeps a share of the nodules.

    It lies halfway between the probability of the last nodule that is kept and the next lower
    probability, so that neither depends on rounding.

    Args:
        nodules: nodule -> the highest probability of its candidates; not empty.
        false_candidates: probabilities of the candidates on nothing.
        keep: least share of the nodules, above 0 and at most 1.

    Raises:
        ValueError: for another share, or no nodule.

    Example:
        >>> choose_threshold({1: 0.9, 2: 0.5, 3: 0.1}, [0.3, 0.7], keep=0.6).threshold
        0.4
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep_nodules: must be above 0 and at most 1, got {keep}")
    if not nodules:
        raise ValueError(
            "validation: has no nodule, so that no operating point can be chosen; prepare "
            "candidates of validation scans with nodules"
        )
    ranked = sorted(nodules.values(), reverse=True)
    last = ranked[math.ceil(keep * len(ranked) - 1e-9) - 1]
    below = max((p for p in [*ranked, *false_candidates] if p < last), default=0.0)
    threshold = (last + below) / 2
    return OperatingPoint(
        threshold,
        keep,
        len(ranked),
        sum(probability >= threshold for probability in ranked),
        len(false_candidates),
        sum(probability < threshold for probability in false_candidates),
    )


class ChosenOperatingPoint:
    """Ignite handler that completes a second stage with its operating point, on the validation.

    At the end of a training it writes ``output_dir/reducer.pt``: the result of the training with
    the entry :data:`RECORD`. The validation also chose the weights, so that its figures are
    optimistic; those of the test are not.

    Args:
        network: the classifier, of one logit: nodule or not.
        dataset: the validation, its ``data`` as :mod:`scripts.preparation.candidates_command`
            writes them.
        output_dir: folder of ``model.pt``.
        keep: least share of the nodules that is kept.
        device: of the network.

    Raises:
        ValueError: for a share that is not above 0 and at most 1.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: Dataset,
        output_dir: str | Path,
        *,
        keep: float = 0.95,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 0 < keep <= 1:
            raise ValueError(f"keep_nodules: must be above 0 and at most 1, got {keep}")
        self.network = network
        self.dataset = dataset
        self.output_dir = Path(output_dir)
        self.keep = keep
        self.device = device

    def attach(self, engine: Engine) -> None:
        """Choose when the stages of a trainer are completed, with the best weights."""
        after_run(engine, self.write)

    def write(self) -> None:
        """Choose the operating point and write the file."""
        point = self.choose()
        content = read_content(self.output_dir / MODEL_FILE)
        path = self.output_dir / REDUCER_FILE
        write_tensors(path, {**content, RECORD: asdict(point)})
        logger.info("%s: %s", path, point.line())

    def choose(self) -> OperatingPoint:
        """Choose the operating point with the network as it is.

        Raises:
            ValueError: when the validation has no nodule.
        """
        samples = self.dataset.data
        scores = self._probabilities()
        pairs = list(zip(samples, scores, strict=True))
        origin = "candidate"
        nodules = _nodules(pairs, origin)
        if not nodules:
            origin = "annotation"
            nodules = _nodules(pairs, origin)
        false = [p for s, p in pairs if s["origin"] == "candidate" and not s["target"][0]]
        chosen = choose_threshold(nodules, false, keep=self.keep)
        of = "candidates" if origin == "candidate" else "annotated nodules, none was a candidate"
        return OperatingPoint(**{**asdict(chosen), "chosen_on": f"validation ({of})"})

    def _probabilities(self) -> list[float]:
        """Return the probability of each sample, in their order."""
        network: Any = unwrapped(self.network)
        network.eval()
        found: list[float] = []
        with torch.no_grad():
            for batch in DataLoader(self.dataset, batch_size=AT_ONCE):
                logits = network(batch["image"].as_tensor().to(self.device))
                found += torch.sigmoid(logits.float())[:, 0].cpu().tolist()
        return found


def _nodules(
    pairs: Sequence[tuple[Mapping[str, Any], float]], origin: str
) -> dict[Hashable, float]:
    """Return nodule -> the highest probability of its crops of an origin."""
    found: dict[Hashable, float] = {}
    for sample, probability in pairs:
        if sample["origin"] == origin and sample["target"][0]:
            key = (sample["series_uid"], sample["nodule"])
            found[key] = max(found.get(key, 0.0), probability)
    return found
