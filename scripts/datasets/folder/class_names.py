"""Class names of a folder of CTs, and the names of their segments in files that have names.

From its dataset.json, its classes.json or the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.storage.files import read_json

BACKGROUND = "background"
ASSUMED = "lesion"
MOST_CLASSES = 255
_SEGMENTS = "like liver=Leber|SCT:10200004,tumour=GTV*, or a .json file with {class: [names]}"
_FORMS = 'like {"1": "liver", "2": "spleen"} or {"liver": 1, "spleen": 2}'


@dataclass(frozen=True)
class ClassNames:
    """The class names of the values of label maps.

    Args:
        names: label value -> class name, background 0 included, without gaps.
        origin: the file or option with the names, for messages.
    """

    names: Mapping[int, str]
    origin: str

    @property
    def listing(self) -> str:
        """The values and names in one line, without the background."""
        return ", ".join(f"{value} {name}" for value, name in self.names.items() if value)

    @property
    def foreground(self) -> list[str]:
        """The names in the order of their values, without the background."""
        return [name for value, name in sorted(self.names.items()) if value]


def assumed_names() -> ClassNames:
    """Return the names if no file or option gives any: one class."""
    origin = "the default, without dataset.json, classes.json or --class_names"
    return ClassNames({0: BACKGROUND, 1: ASSUMED}, origin)


def class_option(names: Sequence[str]) -> str:
    """Return the option ``class_names`` of some names.

    Args:
        names: of the values 0, 1, 2 ..., background first.

    Example:
        >>> class_option(["background", "liver", "spleen"])
        '1:liver,2:spleen'
    """
    return ",".join(f"{value}:{name}" for value, name in enumerate(names) if value)


def read_class_option(text: object) -> ClassNames:
    """Read ``1:liver,2:spleen``, as it is written on the command line.

    Raises:
        ValueError: for anything else.

    Example:
        >>> dict(read_class_option("1:liver, 2:spleen").names)
        {0: 'background', 1: 'liver', 2: 'spleen'}
    """
    pairs = [part.partition(":") for part in str(text).split(",")]
    if not all(colon and value.strip().isdecimal() for value, colon, _ in pairs):
        raise ValueError(f"class_names: must be like 1:liver,2:spleen, got {text!r}")
    names = [(int(value), name.strip()) for value, _, name in pairs]
    return ClassNames(_checked(names, "class_names"), "--class_names")


def read_class_file(path: Path) -> ClassNames:
    """Read ``classes.json``: values by name, or names by value.

    Raises:
        ValueError: naming the file and what is wrong.
    """
    return ClassNames(_json_names(read_json(path), str(path)), path.name)


def read_dataset_classes(content: Mapping[str, Any], path: Path) -> ClassNames:
    """Read the ``labels`` of a dataset.json (Medical Decathlon or nnU-Net).

    Args:
        content: the parsed file.
        path: its path, for errors.

    Raises:
        ValueError: for missing labels; for regions and ignored labels, which are not supported.
    """
    labels = content.get("labels")
    if not isinstance(labels, dict):
        raise ValueError(f"{path}: labels must be there and be {_FORMS}, got {labels!r}")
    return ClassNames(_json_names(labels, f"{path}: labels"), path.name)


def read_segments_option(
    text: str | Mapping[str, Any] | None, classes: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Read ``--segments``: the names of each class's segments.

    Args:
        text: ``class=name|name,class=name``, a JSON file, or what such a file holds; None for no
            option.
        classes: names of the classes, without the background.

    Raises:
        ValueError: for another form, or a class that is not among the classes.

    Example:
        >>> read_segments_option("liver=Leber|Foie, tumour=GTV*", ["liver", "tumour"])
        {'liver': ('Leber', 'Foie'), 'tumour': ('GTV*',)}
    """
    if text is None:
        return {}
    if isinstance(text, Mapping):
        named = _listed(text)
    elif str(text).lower().endswith(".json"):
        if not Path(str(text)).is_file():
            raise ValueError(f"segments: no such file: {text}; it must be {_SEGMENTS}")
        named = _listed(read_json(Path(str(text))))
    else:
        parts = [part.partition("=") for part in str(text).split(",")]
        named = {key.strip(): tuple(map(str.strip, names.split("|"))) for key, _, names in parts}
        if len(named) < len(parts):
            raise ValueError(f"segments: must name each class once, got {text!r}")
    if not all(key and names and all(names) for key, names in named.items()):
        raise ValueError(f"segments: must be {_SEGMENTS}, got {text!r}")
    if unknown := [key for key in named if key not in classes]:
        raise ValueError(
            f"segments: {', '.join(unknown)} must be of the classes {', '.join(classes)}; "
            "--class_names 1:NAME,2:NAME names them"
        )
    return named


def _listed(content: Mapping[Any, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of each class, of which a single one may be given without a list."""
    pairs = [(str(key), value) for key, value in content.items()]
    return {k: tuple(map(str, v if isinstance(v, (list, tuple)) else [v])) for k, v in pairs}


def check_modality(content: Mapping[str, Any], path: Path) -> None:
    """Refuse images that are not CT, or several images per case.

    Args:
        content: the parsed dataset.json.
        path: its path, for errors.

    Raises:
        ValueError: with the modalities in dataset.json.
    """
    key = "channel_names" if "channel_names" in content else "modality"
    named = content.get(key)
    if not isinstance(named, dict) or not named:
        raise ValueError(
            f'{path}: modality (or channel_names) must be {{"0": "CT"}}, got {named!r}'
        )
    words = [str(word) for word in named.values()]
    if [word.upper() for word in words] != ["CT"]:
        raise ValueError(
            f"{path}: {key} must be CT alone, got {', '.join(words)}; images are windowed in "
            "Hounsfield units"
        )


def _json_names(content: Mapping[str, Any], where: str) -> dict[int, str]:
    """Read {value: name} or {name: value}."""
    by_value = all(str(key).isdecimal() for key in content)
    pairs: list[tuple[int, str]] = []
    for key, item in content.items():
        value, name = (key, item) if by_value else (item, key)
        if isinstance(value, (list, tuple)):
            raise ValueError(
                f"{where}: {name!r} is a region of the values {value}: give each value one class"
            )
        if name == "ignore":
            raise ValueError(
                f"{where}: 'ignore' (value {value}) cannot be left out of the loss here"
            )
        if isinstance(value, bool) or not str(value).isdecimal() or not isinstance(name, str):
            raise ValueError(f"{where}: must be {_FORMS}, got {key!r}: {item!r}")
        pairs.append((int(value), name.strip()))
    return _checked(pairs, where)


def _checked(pairs: list[tuple[int, str]], where: str) -> dict[int, str]:
    """Return the names by value; refuse duplicates, gaps and empty names."""
    values = [value for value, _ in pairs if value]
    names = [name for value, name in pairs if value]
    if len(set(values)) < len(values) or len(set(names)) < len(names) or not all(names):
        raise ValueError(f"{where}: each value needs one unique name, got {pairs}")
    if sorted(values) != list(range(1, len(values) + 1)) or not 1 <= len(values) <= MOST_CLASSES:
        raise ValueError(
            f"{where}: the values must be 1, 2, 3 ... without a gap, at most {MOST_CLASSES}, "
            f"got {sorted(values)}; renumber the label maps"
        )
    return {0: BACKGROUND, **dict(sorted(pair for pair in pairs if pair[0]))}
