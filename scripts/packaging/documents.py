"""Documents of a package: its README and the list of files to download."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HOW_TO_RUN = """\
It runs anywhere, without the repository that it was created in. Set the path of this folder:

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

Instead of setting `PYTHONPATH` you can `cd` into this folder. CT is a DICOM folder, a volume
file or a folder of these; PREPARED is written by the repository's `prepare` command. In Python:

```python
import sys
import monai.bundle

sys.path.insert(0, "/path/to/{name}")
network = monai.bundle.load("{name}", bundle_dir="/path/to", workflow_type="inference")
```
"""
USE = """\
# {name}, packaged

Version {version}. {intended_use} See `configs/metadata.json` for the changes and for the packages
that it needs, in the versions that it was created with.

- Weights: {weights}
- Laid over the bundle's configs: {overlays}

## How to run it

{how_to_run}
Below is the bundle's documentation from its repository, where its commands are to be run.

---

"""


def how_to_run(name: str) -> str:
    """Return the commands that run a package, for its README; ``name`` is that of the bundle."""
    return HOW_TO_RUN.format(name=name)


def readme(name: str, metadata: dict[str, Any], *, weights: str, overlays: Sequence[str]) -> str:
    """Return the start of a package's README.

    Args:
        name: name of the bundle.
        metadata: metadata of the package.
        weights: description of the location of the weights.
        overlays: names of the files that were laid over the configs.
    """
    return USE.format(
        name=name,
        how_to_run=how_to_run(name),
        version=metadata["version"],
        intended_use=metadata.get("intended_use", ""),
        weights=weights,
        overlays=", ".join(f"`{overlay}`" for overlay in overlays) or "nothing",
    )


def overlay_names(overlays: Sequence[str | Path], *, root: Path) -> list[str]:
    """Return names of config files that do not reveal folders outside of the project.

    Example:
        >>> overlay_names(["/home/me/mine.json", "/src/configs/a.json"], root=Path("/src"))
        ['mine.json', 'configs/a.json']
    """
    inside = [(Path(root, file), root in Path(root, file).parents) for file in overlays]
    return [path.relative_to(root).as_posix() if own else path.name for path, own in inside]


def large_files(path: str, *, url: str, sha256: str) -> str:
    """Return ``large_files.yml`` for one file, for ``monai.bundle download_large_files``.

    Example:
        >>> print(large_files("models/model.pt", url="https://a.org/m.pt", sha256="00"), end="")
        large_files:
          - path: "models/model.pt"
            url: "https://a.org/m.pt"
            hash_val: "00"
            hash_type: "sha256"
    """
    entries = {"path": path, "url": url, "hash_val": sha256, "hash_type": "sha256"}
    lines = [f"    {key}: {json.dumps(value)}" for key, value in entries.items()]
    return "\n".join(["large_files:", lines[0].replace("    ", "  - ", 1), *lines[1:]]) + "\n"
