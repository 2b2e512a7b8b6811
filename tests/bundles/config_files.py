"""The JSON files of the project, and how a command would put them together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[2]
LUNG = ROOT / "bundles" / "lung_nodule_ct_segmentation" / "configs"
OF_STUDIES = ("studies", "procedures", "derivations")  # not laid over a config of a bundle
FRAGMENTS = sorted(
    path for path in (ROOT / "configs").glob("*/*.json") if path.parent.name not in OF_STUDIES
)


def names_of(folder: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "configs" / folder).glob("*"))]


def transfer_networks() -> list[str]:
    """Files of networks with a pretrained encoder; the others are trained as a whole."""
    return [file for file in names_of("networks") if not _is_plain(file)]


def plain_networks() -> list[str]:
    """Files of networks without an encoder, to compare with."""
    return [file for file in names_of("networks") if _is_plain(file)]


def _is_plain(file: str) -> bool:
    return "encoder" not in json.loads((ROOT / file).read_text())["network_def"]


def parser_of(*files: Path | str, **overrides: Any) -> ConfigParser:
    """Read config files from the repository root, macros resolved."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / file) for file in files])
    parser.read_meta(str(LUNG / "metadata.json"))
    parser.update(overrides)
    return parser
