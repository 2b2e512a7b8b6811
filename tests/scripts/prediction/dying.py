"""A function that ends its process, in a module that is imported in no time."""

from __future__ import annotations

import os
import signal


def die(*arguments):
    """End the process that is asked to work."""
    os.kill(os.getpid(), signal.SIGKILL)
