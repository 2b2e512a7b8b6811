"""Progress of MONAI's engines, as of every other long work."""

from __future__ import annotations

from typing import Any

from ignite.handlers import ProgressBar

from scripts.running.progress import Progress


class EngineProgress(ProgressBar):
    """Ignite's progress bar over the batches of an epoch, shown by :class:`Progress`.

    Args:
        options: of ignite's ``ProgressBar``, such as ``desc`` and ``persist``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pbar_cls = Progress
