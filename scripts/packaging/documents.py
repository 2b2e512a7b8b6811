"""What a package says of itself: how to run it where it lies, and where its large file is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

USE = """\
# {name}, packaged

Version {version}. {intended_use} What changed and which packages it needs, in the versions that it
was made with, stands in `configs/metadata.json`.

- Weights: {weights}
- Laid over the bundle's configs: {overlays}

## How to run it

Anywhere, without the repository that it was made in. Say where this folder lies:

```bash
export PYTHONPATH=/where/it/lies/{name}
C=$PYTHONPATH/configs

python -m monai.bundle run --config_file $C/inference.json --dataset_dir CT --output_dir masks
python -m monai.bundle run --config_file $C/evaluate.json --dataset_dir PREPARED --output_dir eval
python -m monai.bundle run --config_file $C/train.json --dataset_dir PREPARED --output_dir training

python -m monai.bundle verify_net_in_out network_def --any 64 --meta_file $C/metadata.json \\
    --config_file $C/inference.json
python -m monai.bundle ckpt_export network_def --filepath model.ts --meta_file $C/metadata.json \\
    --config_file $C/inference.json --ckpt_file $PYTHONPATH/models/model.pt
```

`cd` into this folder does as well as `PYTHONPATH`. CT is a DICOM folder, a volume file or a folder
of these; PREPARED is what the repository's `prepare` command writes. In Python:

```python
import sys
import monai.bundle

sys.path.insert(0, "/where/it/lies/{name}")
network = monai.bundle.load("{name}", bundle_dir="/where/it/lies", workflow_type="inference")
```

Below is the bundle's documentation from its repository. Its commands are for there.

---

"""


def readme(name: str, metadata: dict[str, Any], *, weights: str, overlays: Sequence[str]) -> str:
    """Write the start of a package's README.

    Args:
        name: of the bundle.
        metadata: of the package.
        weights: where they are, in words.
        overlays: names of the files that were laid over the configs.
    """
    return USE.format(
        name=name,
        version=metadata["version"],
        intended_use=metadata.get("intended_use", ""),
        weights=weights,
        overlays=", ".join(f"`{overlay}`" for overlay in overlays) or "nothing",
    )


def overlay_names(overlays: Sequence[str | Path], *, root: Path) -> list[str]:
    """Name config files without telling where they lay outside of the project.

    Example:
        >>> overlay_names(["/home/me/mine.json", "/src/configs/a.json"], root=Path("/src"))
        ['mine.json', 'configs/a.json']
    """
    inside = [(Path(root, file), root in Path(root, file).parents) for file in overlays]
    return [path.relative_to(root).as_posix() if own else path.name for path, own in inside]


def large_files(path: str, *, url: str, sha256: str) -> str:
    """Write ``large_files.yml`` for one file, as ``monai.bundle download_large_files`` reads it.

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
