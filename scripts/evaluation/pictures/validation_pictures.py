"""Small pictures of a few validation slices while a network trains, for TensorBoard and MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events
from matplotlib.colors import to_rgb
from monai.handlers import MLFlowHandler
from monai.utils.enums import CommonKeys
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from scripts.evaluation.pictures.colours import MANUAL_COLOUR, OURS_COLOUR

TAG = "validation: annotation and network"
KEY = "validation annotation and network"  # MLflow takes no colon
MOST_PIXELS = 256  # of a side
LEAST_AXES = 3  # of a label map with its channel; classes of whole images have none to draw
Masks = tuple[NDArray[np.float32], NDArray[Any], NDArray[Any]]
"""An image from 0 to 1, and label maps of annotation and network, all (Y, X)."""


class ValidationPictures:
    """Ignite handler that draws the same few slices at validations, side by side.

    The validation samples are divided into equal parts in their order; of each the first sample
    with an annotation is shown, of a volume the slice with most of it. The outline of the
    annotation is drawn first, that of the network over it. TensorBoard gets them, and MLflow if a
    run is tracked there (a ``MLFlowHandler`` at the same evaluator).

    Args:
        log_dir: TensorBoard's folder; the pictures are the run ``pictures`` in it.
        count: number of slices.
        interval: least number of epochs between two pictures.
    """

    def __init__(self, log_dir: str | Path, *, count: int = 4, interval: int = 5) -> None:
        self.folder = Path(log_dir) / "pictures"
        self.count, self.interval = count, interval
        self._writer: Any = None
        self._drawn_at: int | None = None
        self._position = 0
        self._found: dict[int, NDArray[np.uint8]] = {}

    def attach(self, engine: Engine) -> None:
        """Draw at the validations of an evaluator."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _begin(self, engine: Engine) -> None:
        self._position, self._found = 0, {}

    def _is_due(self, epoch: int) -> bool:
        return self._drawn_at is None or epoch - self._drawn_at >= self.interval

    def _collect(self, engine: Engine) -> None:
        outputs = engine.state.output
        samples = len(engine.state.dataloader.dataset)
        for output in outputs if self._is_due(engine.state.epoch) else ():
            part = self._position * self.count // max(samples, 1)
            self._position += 1
            label = output[CommonKeys.LABEL]
            if part not in self._found and label.ndim >= LEAST_AXES and bool((label > 0).any()):
                self._found[part] = drawn(*slice_of(output))

    def _write(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        if not self._found or not self._is_due(epoch):
            return
        if self._writer is None:
            self._writer = SummaryWriter(str(self.folder), purge_step=epoch)
        pictures = [picture for _, picture in sorted(self._found.items())]
        image = side_by_side(pictures)
        self._writer.add_image(TAG, image, epoch, dataformats="HWC")
        self._writer.flush()
        for tracker in trackers_of(engine):
            run = tracker.cur_run.info.run_id
            tracker.client.log_image(run, image, key=KEY, step=epoch, synchronous=True)
        self._drawn_at = epoch


def trackers_of(engine: Engine) -> list[Any]:
    """Return MONAI's MLflow handlers of an engine, whose runs have begun."""
    handlers = (one[0] for of_event in engine._event_handlers.values() for one in of_event)
    owners = {id(one): one for each in handlers if (one := getattr(each, "__self__", None))}
    return [
        one for one in owners.values() if isinstance(one, MLFlowHandler) and one.cur_run is not None
    ]


def slice_of(output: dict[str, Any]) -> Masks:
    """Return the slice of a sample that has most of the annotation, and the middle channel."""
    keys = (CommonKeys.IMAGE, CommonKeys.LABEL, CommonKeys.PRED)
    channels, labels, preds = (np.asarray(output[key].detach().cpu().float()) for key in keys)
    image, label = channels[len(channels) // 2], labels[0]
    pred = preds[0] if len(preds) == 1 else preds.argmax(0)
    if label.ndim == 3:
        number = int((label > 0).sum((0, 1)).argmax())
        image, label, pred = (each[..., number] for each in (image, label, pred))
    return image, label, pred


def drawn(image: NDArray[Any], label: NDArray[Any], pred: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a slice in grey with both outlines, as (Y, X, 3) of at most 256 pixels a side."""
    grey = np.clip(np.nan_to_num(image), 0, 1)[..., None] * np.ones(3)
    for labels, colour in ((label, MANUAL_COLOUR), (pred, OURS_COLOUR)):
        grey[outline(labels)] = to_rgb(colour)
    step = -(-max(grey.shape[:2]) // MOST_PIXELS)
    picture: NDArray[np.uint8] = np.rint(255 * grey[::step, ::step]).astype(np.uint8)
    return picture


def outline(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the pixels of a label map whose neighbour below or to the right has another label."""
    marked = np.zeros(labels.shape, bool)
    marked[:-1] |= labels[:-1] != labels[1:]
    marked[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    return marked


def side_by_side(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Join pictures into a row, smaller ones with black below."""
    height = max(len(picture) for picture in pictures)
    padded = [np.pad(one, ((0, height - len(one)), (0, 2), (0, 0))) for one in pictures]
    return np.concatenate(padded, axis=1)
