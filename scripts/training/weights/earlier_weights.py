"""The earlier networks whose maps a training reads, kept in its model file (auto-context)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_nets.state_dicts import read_content
from scripts.bundle.held_models import holding
from scripts.bundle.model_file import ModelFile, read_model
from scripts.storage.files import read_json
from scripts.training.engine_events import after_run
from scripts.training.tensor_files import MODEL_FILE, write_tensors

logger = logging.getLogger(__name__)


class EarlierWeights:
    """Ignite handler that adds the networks whose maps were read to a finished ``model.pt``.

    They are those of all training patients that ``context_maps`` names in the datalist, in their
    order. ``predict`` and ``package`` then need no other file.

    Args:
        datalist: ``datalist.json`` of the training.
        output_dir: folder of ``model.pt``.
    """

    def __init__(self, datalist: str | Path, output_dir: str | Path) -> None:
        self.datalist = Path(datalist)
        self.output_dir = Path(output_dir)
        self._models: list[ModelFile] = []

    def attach(self, engine: Engine) -> None:
        """Read the networks when the training starts, and write them when it is complete."""
        engine.add_event_handler(Events.STARTED, self.read)
        after_run(engine, self.write)

    def read(self) -> None:
        """Read the networks; one that is missing is named, and none is kept.

        Raises:
            ValueError: when a file is not one of trained weights.
        """
        made = read_json(self.datalist).get("context", []) if self.datalist.is_file() else []
        paths = [Path(each["models"]["all"]) for each in made if "models" in each]
        absent = [path for path in paths if not path.is_file()]
        if absent or not paths:
            logger.warning(
                "%s: names %s, so that %s will not hold the networks whose maps it reads; predict "
                "and package then need the prediction.json of context_maps",
                *(self.datalist, absent[0] if absent else "no networks of its maps", MODEL_FILE),
            )
            return
        self._models = [read_model(path) for path in paths]

    def write(self) -> None:
        """Write the model file again, with the networks."""
        if not self._models:
            return
        path = self.output_dir / MODEL_FILE
        content: dict[str, Any] = read_content(path)
        write_tensors(path, {**content, **holding(self._models)})
        logger.info("%s: holds %d earlier networks", path, len(self._models))
