"""Texts of a new bundle: description, README with commands, licence form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

INTENDED = "Research only. Not for diagnosis."
LICENCE_TO_FILL_IN = """\
To be filled in before this bundle, or weights trained with it, are shared:

- where the scans and the annotations come from (name, version, address, DOI);
- their licence, and whether it allows the use and the sharing of trained weights;
- the reference that has to be cited.

Until then: not to be shared.
"""


def described(name: str, class_names: Sequence[str], data_source: str) -> dict[str, Any]:
    """Return the descriptive entries of a bundle's metadata.

    Args:
        name: name of its folder.
        class_names: names of the classes, background first.
        data_source: title of its data set.
    """
    foreground = ", ".join(class_names[1:])
    return {
        "name": name.replace("_", " "),
        "task": f"Segmentation of {foreground} in CT",
        "description": f"A network fine-tuned on CT slices to segment {foreground}. {INTENDED}",
        "authors": "To be filled in",
        "copyright": "To be filled in",
        "data_source": f"{data_source}; see docs/data_license.txt",
        "label_classes": ", ".join(f"{value} {name}" for value, name in enumerate(class_names)),
        "pred_classes": f"logits of {foreground}",
        "intended_use": INTENDED,
        "references": [],
    }


def readme(bundle: str, metadata: Mapping[str, Any]) -> str:
    """Return the README of a bundle, with the commands to run from the repository's root.

    Args:
        bundle: folder of the bundle.
        metadata: metadata of the bundle.
    """
    run = "python -m monai.bundle run"
    train, evaluate = (quote(f"{bundle}/configs/{name}.json") for name in ("train", "evaluate"))
    zipped = quote(f"{bundle.rpartition('/')[2]}.zip")
    return f"""\
# {metadata["name"]}

{metadata["description"]}

Written by `python -m scripts new_bundle`. `configs/train.json`, `evaluate.json` and
`inference.json` list every setting; an entry that begins with `%` is copied from the file that it
names. Change a setting here, or replace such an entry by a component of your own. All commands run
from the repository's root.

```
{run} training --config_file {train}
{run} evaluating --config_file {evaluate}
python -m scripts predict --bundle {quote(bundle)} --source NEW_CTS --output predictions
python -m scripts package --bundle {quote(bundle)} --output {zipped}
python -m scripts audit --config {quote(bundle)}
```

- Files of `configs/` are laid over a config by listing them:
  `--config_file "['{bundle}/configs/train.json','configs/strategies/full.json']"`.
- Classes without a known SNOMED CT code need an entry in `class_codes` of `inference.json` before
  `predict` can write DICOM.
- Fill in `docs/data_license.txt`, and the authors in `configs/metadata.json`, before sharing.

Research only. Not for diagnosis.
"""
