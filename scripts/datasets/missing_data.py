"""Data that do not exist: a bundle can be built without them, but not run.

Programs that read bundles build all of their parts to see what they have, usually without data:
``monai.bundle.create_workflow`` with ``check_properties``, and ``monai.bundle.load``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class MissingData(list[dict[str, Any]]):
    """An empty list of samples that knows why it is empty.

    Attributes:
        reason: the error of reading the data.
    """

    def __init__(self, reason: FileNotFoundError) -> None:
        super().__init__()
        self.reason = reason


def require_data(samples: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Check that data exist; a step of a config's ``run``, before its engine.

    MONAI's engines skip a run without samples with no more than a warning.

    Args:
        samples: the lists of all partitions that the run reads.

    Raises:
        FileNotFoundError: the error of reading data that do not exist.

    Example:
        >>> require_data([[{"image": "a.npy"}], MissingData(FileNotFoundError("b: not found"))])
        Traceback (most recent call last):
        ...
        FileNotFoundError: b: not found
    """
    for listed in samples:
        if isinstance(listed, MissingData):
            raise listed.reason
