"""Components that a config declares, built with an error of the user where that fails."""

from __future__ import annotations

from typing import Any

from monai.bundle import ConfigParser

from scripts.storage.reasons import first_cause, reason_of


def built(parser: ConfigParser, id_: str) -> Any:
    """Build what a config declares under an id, or evaluate it.

    Args:
        parser: of the config, with its overlays.
        id_: such as ``network_def`` or ``optimizer::lr``.

    Raises:
        OSError: for a file that a component cannot read.
        ValueError: for a class that does not exist, or that refuses its arguments; with the cause.

    Example:
        >>> built(ConfigParser({"net": {"_target_": "torch.nn.Conv9d"}}), "net")
        Traceback (most recent call last):
        ...
        ValueError: net: cannot be built: Cannot locate class or function path: 'torch.nn.Conv9d'.
    """
    try:
        return parser.get_parsed_content(id_)
    except Exception as error:  # whatever the constructor of any class raises
        cause = first_cause(error)
        if isinstance(cause, (ValueError, OSError)):
            raise cause from None
        why = str(cause) if isinstance(cause, ModuleNotFoundError) else reason_of(cause)
        raise ValueError(f"{id_}: cannot be built: {why}") from error
