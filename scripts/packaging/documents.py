"""Documents of a package: its README and the list of files to download."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HOW_TO_RUN = """\
It runs anywhere, without the repository that it was created in. Inside this folder,

```bash
python -m scripts predict --bundle . --source CT --output results
```

writes mask, DICOM SEG (of DICOM sources), table and page of every CT. CT is a DICOM folder or zip,
a volume file or a folder of these. With MONAI's commands, set the path of this folder:

```bash
export PYTHONPATH=/path/to/{name}
C=$PYTHONPATH/configs

python -m monai.bundle run --config_file $C/inference.json --dataset_dir CT --output_dir masks
python -m monai.bundle run --config_file $C/evaluate.json --dataset_dir PREPARED --output_dir eval
python -m monai.bundle run --config_file $C/train.json --dataset_dir PREPARED --output_dir training

python -m monai.bundle verify_net_in_out network_def --any 64 --meta_file $C/metadata.json \\
    --config_file $C/inference.json
python -m monai.bundle ckpt_export network_def --filepath model.ts --meta_file $C/metadata.json \\
    --config_file $C/inference.json --ckpt_file $PYTHONPATH/models/model.pt
```

Instead of setting `PYTHONPATH` you can `cd` into this folder. PREPARED is written by the
repository's `prepare` command. In Python:

```python
import sys
import monai.bundle

sys.path.insert(0, "/path/to/{name}")
network = monai.bundle.load("{name}", bundle_dir="/path/to", workflow_type="inference")
```
"""
HOW_TO_RUN_PLAIN = """\
It consists of components of MONAI and PyTorch alone, and runs no Python of its own. Inside this
folder:

```bash
python -m monai.bundle run --config_file configs/inference.json --dataset_dir CT --output_dir masks
```

CT is a NIfTI file, a folder of the DICOM files of one series, or a pattern such as
`"studies/*.nii.gz"`. From another folder, add `--bundle_root /path/to/{name}`. The network alone,
in Python with PyTorch only:

```python
import torch

extra = {{"network.json": ""}}  # its window, labels and version
program = torch.export.load("models/model.pt2", extra_files=extra)
network = torch.export.unflatten(program)
```
"""
GENERAL = """\
# Documentation of the bundle

General documentation of the bundle, as in its repository, where its commands are to be run. Figures
in it are of other networks than the packaged one.

"""
NOT_MEASURED = (
    "Not measured for these weights. The repository's `release` command writes a package with the "
    "figures of a test set, their intervals and the evidence for them."
)
RECORDED = {"strategy": "Strategy", "stage": "Stage", "epoch": "Epoch", "metric": "Chosen by"}
"""Entries of a model file's record -> how the README names them."""
DESCRIBED = {
    "window_hu": "Window in HU, mapped to [0, 1]",
    "outside_window": "Values outside the window",
    "lung_masking": "Everything outside the lungs is black",
    "threshold": "Least probability of a segmented voxel",
}


class LargeFile(NamedTuple):
    """One entry of ``large_files.yml``.

    Args:
        path: of the file in the bundle.
        url: address that it is downloaded from.
        sha256: of its content.
    """

    path: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Facts:
    """What a package's README says besides its metadata.

    Attributes:
        weights: description of the location of the weights.
        record: of the model file, with its settings.
        overlays: names of the files that were laid over the configs.
        left_out: what a plain package does without; None for a full one.
    """

    weights: str
    record: Mapping[str, Any] = field(default_factory=dict)
    overlays: Sequence[str] = ()
    left_out: Sequence[str] | None = None


def without_place(text: str, root: object, name: str) -> str:
    """Return a bundle's own documentation without the place of its folder.

    Args:
        text: the bundle's README, whose commands name its folder.
        root: ``bundle_root`` of its configs: the folder.
        name: of the bundle.

    Example:
        >>> without_place("run '/home/me/b/configs/train.json'", "/home/me/b", "b")
        "run 'bundles/b/configs/train.json'"
    """
    named = isinstance(root, str) and "/" in root and not root.startswith(("$", "@", "%"))
    return text.replace(str(root), f"bundles/{name}") if named else text


def how_to_run(name: str) -> str:
    """Return the commands that run a package, for its README; ``name`` is that of the bundle."""
    return HOW_TO_RUN.format(name=name)


def readme(name: str, metadata: Mapping[str, Any], facts: Facts) -> str:
    """Return a package's README, in the headings of MONAI's model zoo.

    Args:
        name: name of the bundle.
        metadata: metadata of the package.
        facts: the rest.
    """
    is_plain = facts.left_out is not None
    usage = HOW_TO_RUN_PLAIN.format(name=name) if is_plain else how_to_run(name)
    sections = {
        "# Model Overview": _overview(metadata, facts),
        "## Data": _data(metadata),
        "## Training configuration": _training(metadata, facts),
        "## Performance": _performance(metadata),
        "## MONAI Bundle Commands": usage.strip(),
        "# References": _list(metadata.get("references", ())),
        "# License": "See `LICENSE`; of the data: `docs/data_license.txt`. "
        f"{metadata.get('copyright', '')}".strip(),
    }
    return "\n\n".join(f"{title}\n\n{text}" for title, text in sections.items() if text) + "\n"


def _overview(metadata: Mapping[str, Any], facts: Facts) -> str:
    parts = [
        f"**{metadata.get('name', metadata.get('task', ''))}**, version {metadata['version']}.",
        metadata.get("description", ""),
        metadata.get("intended_use", ""),
        _list(
            [
                f"Weights: {facts.weights}",
                f"Laid over the bundle's configs: {_quoted(facts.overlays)}",
                "Versions that it was made with, and changes: `configs/metadata.json`",
                "More on the bundle: `docs/bundle.md`",
            ]
        ),
    ]
    if facts.left_out is not None:
        parts += ["What it leaves out:", _list(facts.left_out)]
    return "\n\n".join(part for part in parts if part)


def _data(metadata: Mapping[str, Any]) -> str:
    rows = {"Source": "data_source", "Images": "image_classes", "Labels": "label_classes"}
    return _list(f"{title}: {metadata[key]}" for title, key in rows.items() if metadata.get(key))


def _training(metadata: Mapping[str, Any], facts: Facts) -> str:
    settings = facts.record.get("settings") or {}
    lines = []
    for key, title in RECORDED.items():
        value = facts.record.get(key)
        lines.append(f"{title}: {value.get('name', value) if isinstance(value, dict) else value}")
    lines += [f"{title}: {settings[key]}" for key, title in DESCRIBED.items() if key in settings]
    formats = metadata.get("network_data_format", {})
    for port, title in (("inputs", "Input"), ("outputs", "Output")):
        for one in formats.get(port, {}).values():
            channels = ", ".join(f"{number} {name}" for number, name in one["channel_def"].items())
            lines.append(f"{title}: {one['num_channels']} channels ({channels})")
    known = [line for line in lines if not line.endswith(": None")]
    return _list(known or ["Not recorded in the model file"])


def _performance(metadata: Mapping[str, Any]) -> str:
    metrics = metadata.get("eval_metrics") or {}
    return _list(f"{name}: {value}" for name, value in metrics.items()) or NOT_MEASURED


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def overlay_names(overlays: Sequence[str | Path]) -> list[str]:
    """Return names of config files that do not reveal folders outside of the current one.

    Example:
        >>> overlay_names(["/home/me/mine.json", "configs/a.json"])
        ['mine.json', 'configs/a.json']
    """
    here = Path.cwd()
    paths = [here / file for file in overlays]
    return [
        path.relative_to(here).as_posix() if here in path.parents else path.name for path in paths
    ]


def large_files(files: Iterable[LargeFile]) -> str:
    """Return ``large_files.yml``, for ``monai.bundle download_large_files``.

    Example:
        >>> print(large_files([LargeFile("models/model.pt", "https://a.org/m.pt", "00")]), end="")
        large_files:
          - path: "models/model.pt"
            url: "https://a.org/m.pt"
            hash_val: "00"
            hash_type: "sha256"
    """
    lines = ["large_files:"]
    for file in files:
        entries = {"path": file.path, "url": file.url, "hash_val": file.sha256}
        texts = [
            f"{key}: {json.dumps(one)}" for key, one in {**entries, "hash_type": "sha256"}.items()
        ]
        lines += [f"  - {texts[0]}", *(f"    {text}" for text in texts[1:])]
    return "\n".join(lines) + "\n"
