"""Transforms and inferers of this project as components of MONAI that compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monai.bundle import ComponentLocator, ConfigParser

from custom_nets.definition import TARGET
from scripts.bundle.config_files import Config

DISABLED = "_disabled_"
LUNG_FIELD, LUNG_MASKING = "lung_field", "lung_masking"
MADE_HERE = ("lung", "body")
"""Keys of a sample that transforms without an equal in MONAI make."""
NEIGHBOURS = (
    "$lambda volume: torch.cat([torch.cat([volume[..., :1], volume[..., :-1]], -1), volume, "
    "torch.cat([volume[..., 1:], volume[..., -1:]], -1)])"
)
"""As :func:`scripts.transforms.neighbours.stack_neighbours` with one neighbour on each side."""
COMPONENTS = ComponentLocator()


class NotPlainError(ValueError):
    """A component that MONAI has no equal of."""


@dataclass
class Plain:
    """Converts the components of a config.

    Args:
        config: flattened inference config of a package.

    Attributes:
        left_out: parts without an equal that change the result, in words, by their name.
    """

    config: Config
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the config's values known."""
        self.parser = ConfigParser(config=dict(self.config))

    def transforms(self, value: Any) -> list[Config]:
        """Return MONAI's transforms for a transform, a list of them, or a reference to such.

        Raises:
            NotPlainError: for one without an equal.
        """
        found = self._found(value)
        if isinstance(found, list):
            return [made for one in found for made in self.transforms(one)]
        if not isinstance(found, Mapping) or TARGET not in found:
            raise NotPlainError(f"{value!r} is no component")
        if self._value(found.get(DISABLED, False)):
            return []
        given = {key: one for key, one in found.items() if key not in (TARGET, DISABLED)}
        return self._transform(str(found[TARGET]), given)

    def _transform(self, target: str, given: Config) -> list[Config]:
        if target == "Compose":
            return self.transforms(given["transforms"])
        if target in WITHOUT_EQUAL:
            name, words = WITHOUT_EQUAL[target]
            if name:
                self.left_out[name] = words
            return []
        if target in EQUALS:
            return EQUALS[target](self, self._values(given))
        if "." in target or not COMPONENTS.get_component_module_name(target):
            raise NotPlainError(f"{target} has no equal among MONAI's components")
        return self._of_monai(target, self._values(given))

    def _of_monai(self, target: str, given: Config) -> list[Config]:
        """Return a transform of MONAI without the keys that are not made, and without readers."""
        if given.get("mask_key") in MADE_HERE:
            if given.get("keys") == "image":
                self.left_out[LUNG_MASKING] = (
                    "lung masking: the network was trained on images that are black outside the "
                    "lungs, and gets others"
                )
            return []  # of a result: said of the transform that makes the mask
        keys = given.get("keys", ())
        kept = [key for key in ([keys] if isinstance(keys, str) else keys) if key not in MADE_HERE]
        if not kept:
            return []
        made = {TARGET: target, **given, "keys": kept[0] if len(kept) == 1 else kept}
        if target == "LoadImaged":
            del made["reader"]
        return [made]

    def value(self, name: str) -> Any:
        """Return the value of an id of the config."""
        return self.parser.get_parsed_content(name)

    def _values(self, given: Config) -> Config:
        return {key: self._value(value) for key, value in given.items()}

    def _value(self, value: Any) -> Any:
        """Return what an argument stands for; text that stands for no data is kept."""
        if not isinstance(value, str) or value[:1] not in "@$":
            return value
        if value.startswith("@") and isinstance(self._found(value), (Mapping, list)):
            content = self._found(value)
            return content if _is_data(content) else value
        parser = ConfigParser({**self.config, "asked_value": value})
        evaluated = parser.get_parsed_content("asked_value")
        return evaluated if _is_data(evaluated) else value

    def _found(self, value: Any) -> Any:
        """Follow references to other parts of the config."""
        while isinstance(value, str) and value.startswith("@") and value[1:] in self.parser:
            value = self.parser[value[1:]]
        return value


def _is_data(value: Any) -> bool:
    """Whether a value can be written as JSON, and no component is in it."""
    if isinstance(value, Mapping):
        return TARGET not in value and all(map(_is_data, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_data, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _window(_: Plain, given: Config) -> list[Config]:
    """Return transforms that map a window to [0, 1] as :class:`scripts.transforms.intensity`."""
    low, high = map(float, given["window_hu"])
    keys, clips = given["keys"], given.get("outside", "zero") == "clip"
    made: list[Config] = []
    if not clips:  # values outside become the lower bound, which is mapped to 0
        above = float(np.nextafter(np.float32(high), np.float32(np.inf)))  # the bound is inside
        for threshold, kept in ((low, True), (above, False)):
            made.append(
                {
                    TARGET: "ThresholdIntensityd",
                    "keys": keys,
                    "threshold": threshold,
                    "above": kept,
                    "cval": low,
                }
            )
    scale = {"a_min": low, "a_max": high, "b_min": 0.0, "b_max": 1.0, "clip": clips}
    return [*made, {TARGET: "ScaleIntensityRanged", "keys": keys, **scale}]


def _neighbours(_: Plain, given: Config) -> list[Config]:
    if given.get("each_side", 1) != 1:
        raise NotPlainError("more than one neighbour on each side has no equal")
    return [{TARGET: "Lambdad", "keys": given["keys"], "func": NEIGHBOURS}]


def _most_probable(_: Plain, given: Config) -> list[Config]:
    return [{TARGET: "AsDiscreted", "keys": given["keys"], "argmax": True}]


def _in_box(plain: Plain, given: Config) -> list[Config]:
    """The box only saves time."""
    return plain.transforms(given["transform"])


Rule = Callable[[Plain, Config], list[Config]]
EQUALS: dict[str, Rule] = {
    "scripts.transforms.intensity.WindowHUd": _window,
    "scripts.transforms.neighbours.StackNeighboursd": _neighbours,
    "scripts.transforms.most_probable.MostProbableClassd": _most_probable,
    "scripts.transforms.foreground_box.InForegroundBoxd": _in_box,
}
WITHOUT_EQUAL = {
    "scripts.transforms.lung_field.LungFieldd": (
        LUNG_FIELD,
        "the lung field: findings outside the lungs stay in the mask",
    ),
    # these only save time
    "scripts.transforms.body_field.BodyFieldd": ("", ""),
    "scripts.transforms.grid_crop.CropOnGridd": ("", ""),
}
"""Component -> name and description of what its absence changes; empty if it changes nothing."""


def plain_inferer(plain: Plain) -> Config:
    """Return MONAI's inferer for that of a config: slice by slice, or a sliding window.

    Raises:
        NotPlainError: for another one.
    """
    own = "scripts.training.inferers"
    inferer = plain.parser["inferer"]
    if inferer[TARGET] == f"{own}.AutocastInferer":
        inferer = inferer["inferer"]
    if inferer[TARGET] == f"{own}.SlicewiseInferer":
        at_once = plain.value("inferer").inferer.slices_at_once
        slices = {"roi_size": [-1, -1], "spatial_dim": 2, "sw_batch_size": at_once}
        return {TARGET: "SliceInferer", **slices}
    if inferer[TARGET] in ("SlidingWindowInferer", "SimpleInferer"):
        return {key: plain._value(value) for key, value in inferer.items()}
    raise NotPlainError(f"{inferer[TARGET]} has no equal among MONAI's inferers")
