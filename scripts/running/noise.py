"""Messages of other software that tell the user of these commands nothing.

Each is named by its logger or category and by its first words, so that every other message of
the same software is still shown. The root logger is left as it is.
"""

from __future__ import annotations

import logging
import warnings

LOGGED = {
    # no overlay lies in the folder of the config that it is laid over
    "monai.bundle.workflows": "Not all config files are in",
    # a decoder for GPUs, which no config here asks for
    "monai.data.nvimgcodec_pydicom_plugin": "nvImageCodec is not available",
}
WARNED: tuple[tuple[str, type[Warning]], ...] = (
    ("NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register", UserWarning),
    # MONAI's own value of an argument that its later versions will change
    (r"monai\.transforms\.spatial\.dictionary Orientationd", FutureWarning),
)


class _Unless(logging.Filter):
    """Lets all messages pass but those that begin with some words."""

    def __init__(self, start: str) -> None:
        super().__init__()
        self.start = start

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is shown."""
        return not str(record.msg).startswith(self.start)


def silence_noise() -> None:
    """Silence :data:`LOGGED` and :data:`WARNED` for the rest of the process."""
    for name, start in LOGGED.items():
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Unless) for one in logger.filters):
            logger.addFilter(_Unless(start))
    for message, category in WARNED:
        warnings.filterwarnings("ignore", message, category)
