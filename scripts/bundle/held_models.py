"""Model files inside a model file: the earlier networks whose maps a network reads (auto-context).

A network that reads the probability maps of others is of no use without them. Its ``model.pt``
therefore holds them, weights and settings, in their order, and so does its package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from scripts.bundle.model_file import ModelFile, bare
from scripts.storage.files import plain

ID = "earlier"


def held_models(model: ModelFile) -> list[ModelFile]:
    """Return the earlier networks that a model file holds, in their order; often none.

    Raises:
        ValueError: when the entry is damaged.
    """
    held = []
    for number, content in enumerate(model.record.get(ID, ()), 1):
        if not isinstance(content, Mapping) or not isinstance(content.get("model"), Mapping):
            raise ValueError(
                f"ckpt_path: {model.path} holds an earlier network {number} without weights; train "
                "the network again"
            )
        record = {key: content[key] for key in content if key not in ("model", "settings")}
        path = model.path.with_name(f"{model.path.name} (earlier network {number})")
        held.append(ModelFile(path, dict(content["model"]), content.get("settings"), record))
    return held


def refuse_different(models: Sequence[ModelFile]) -> None:
    """Refuse networks that read the maps of different earlier ones, of which one set is applied.

    Raises:
        ValueError: naming the first file that holds others than the first one.
    """
    held = [[one.weights for one in held_models(model)] for model in models]
    for model, weights in zip(models, held, strict=True):
        same = len(weights) == len(held[0]) and all(map(_are_equal, weights, held[0]))
        if not same:
            raise ValueError(
                f"ckpt_path: {model.path} reads the maps of other earlier networks than "
                f"{models[0].path}; predict with each alone"
            )


def refuse_others(model: ModelFile, named: Sequence[ModelFile]) -> None:
    """Refuse named networks other than those that a file holds, whose maps its network has learnt.

    A file that holds none may be used with any.

    Raises:
        ValueError: when number, order or weights differ.
    """
    held = held_models(model)
    same = len(held) == len(named) and all(
        _are_equal(one.weights, other.weights) for one, other in zip(held, named, strict=True)
    )
    if held and not same:
        raise ValueError(
            f"earlier_models: {model.path} was trained on the maps of other networks than those "
            f"named, {', '.join(str(one.path) for one in named)}; it holds its own, leave "
            "earlier_models out"
        )


def _are_equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(one[key].equal(other[key]) for key in one)


def holding(models: Sequence[ModelFile]) -> dict[str, Any]:
    """Return the entry of a model file that holds these, without those that they hold themselves.

    Example:
        >>> holding([])
        {'earlier': []}
    """
    return {
        ID: [
            {
                **plain({key: value for key, value in one.record.items() if key != ID}),
                "model": dict(bare(one, one.weights)),
                "settings": one.settings,
            }
            for one in models
        ]
    }
