"""Record of a run's config and provenance, written at its start."""

from __future__ import annotations

import logging
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events

from scripts.bundle.record import record_config
from scripts.training.engine_events import kept

logger = logging.getLogger(__name__)


class RunRecord:
    """Ignite handler that writes a run's config as one file, and its provenance, at the start.

    See :func:`scripts.bundle.record.record_config`. Written once, by the first process of a
    distributed run.

    Args:
        output_dir: folder of the results.
        name: start of the files' names, ``<name>_config.json`` and ``<name>_record.json``; use
            different names for training and evaluation in the same folder.

    Raises:
        ValueError: for a name that is empty or has a folder.
    """

    def __init__(self, output_dir: str | Path, *, name: str = "run") -> None:
        if not name or Path(name).name != name:
            raise ValueError(f"name: must be the start of a file name, got {name!r}")
        self.output_dir = Path(output_dir)
        self.name = name
        self._written = False

    def attach(self, engine: Engine) -> None:
        """Write when ``engine`` first starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the two files."""
        if self._written or idist.get_rank() != 0:
            return
        changes = kept(engine).changes
        record = record_config(
            self.output_dir, name=self.name, **({"changes": changes} if changes else {})
        )
        self._written = True
        logger.info(
            "run again with: %s", record["rerun"] or f"(no command: {record['config_reason']})"
        )
