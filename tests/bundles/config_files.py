"""The JSON files of the project, and how a command would put them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[2]
LUNG = ROOT / "bundles" / "lung_nodule_ct_segmentation" / "configs"
FRAGMENTS = sorted((ROOT / "configs").glob("**/*.json"))


def names_of(folder: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "configs" / folder).glob("*"))]


def parser_of(*files: Path | str, **overrides: Any) -> ConfigParser:
    """Read config files from the repository root, macros resolved."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / file) for file in files])
    parser.read_meta(str(LUNG / "metadata.json"))
    parser.update(overrides)
    return parser
