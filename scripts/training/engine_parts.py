"""What shapes a training: the parts of its engines as plain Python, to compare two runs."""

from __future__ import annotations

import enum
import functools
import hashlib
import inspect
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric as IgniteMetric
from monai.metrics import Metric
from torch import nn

SMALL = 64  # numbers of an array that are listed; larger ones are hashed
DEEPEST = 12
SKIPPED = (np.random.RandomState, np.random.Generator, torch.Generator, torch.device, Engine)
# set by MONAI from its environment, or while a transform runs
CHANGING = ("tracing", "_tracing", "affine", "_do_transform", "lazy", "training")


def parts_of(trainer: Engine, evaluator: Engine | None = None) -> dict[str, Any]:
    """Describe loss, inferer, optimiser, transforms, metrics and batches of a training.

    Network, strategy and data are not described; their own handlers compare them.

    Args:
        trainer: before its first iteration.
        evaluator: that validates; None if there is none.

    Returns:
        Name -> plain Python that is equal for equal parts, in every process and on every device.
    """
    parts = {**_of_engine(trainer), "loss": getattr(trainer, "loss_function", None)}
    optimizer = getattr(trainer, "optimizer", None)
    if optimizer is not None:
        defaults = {key: v for key, v in optimizer.defaults.items() if key not in ("lr", "fused")}
        parts["optimizer"] = {"class": _name_of(type(optimizer)), **defaults}
    if evaluator is not None:
        parts |= {f"validation_{name}": part for name, part in _of_engine(evaluator).items()}
    return {name: described(part) for name, part in parts.items() if part is not None}


def _of_engine(engine: Any) -> dict[str, Any]:
    """Return inferer, transforms and batches of a MONAI engine."""
    loader: Any = getattr(engine, "data_loader", None)
    parts: dict[str, Any] = {
        "inferer": getattr(engine, "inferer", None),
        "accumulation_steps": getattr(engine, "accumulation_steps", None),
        "amp": getattr(engine, "amp", None),
        "postprocessing": getattr(engine, "postprocessing", None),
        "transforms": getattr(getattr(loader, "dataset", None), "transform", None),
        "metrics": _metrics_of(engine) or None,
    }
    batch_size = getattr(loader, "batch_size", None)
    if batch_size is not None:
        parts["batch_size"] = batch_size * idist.get_world_size()
        parts["drop_last"] = loader.drop_last
        parts["num_workers"] = loader.num_workers
    return {name: part for name, part in parts.items() if part is not None}


def _metrics_of(engine: Engine) -> dict[str, IgniteMetric]:
    """Return the metrics of an engine by the names that it reports them with."""
    handlers = engine._event_handlers[Events.EPOCH_COMPLETED]
    return {
        name: metric
        for handler, arguments, _ in handlers
        if isinstance(metric := getattr(handler, "__self__", None), IgniteMetric)
        for name in arguments
        if isinstance(name, str)
    }


def described(value: Any, depth: int = 0) -> Any:
    """Return plain Python for a component: its class, and its attributes in the same way.

    Random states, devices and networks' weights are left out.

    Example:
        >>> described(torch.nn.L1Loss())
        {'class': 'torch.nn.modules.loss.L1Loss', 'reduction': 'mean'}
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value.value if isinstance(value, enum.Enum) else value
    if depth > DEEPEST or isinstance(value, SKIPPED):
        return _name_of(type(value))
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _array(value)
    if isinstance(value, (torch.dtype, PurePath, slice, range)):
        return str(value)
    if isinstance(value, enum.Enum):
        return described(value.value, depth + 1)
    if isinstance(value, Mapping):
        return {str(key): described(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(one, depth + 1) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(described(one, depth + 1)) for one in value)
    if inspect.isroutine(value) or isinstance(value, type):
        return _name_of(value)
    if isinstance(value, functools.partial):
        return [described(one, depth + 1) for one in (value.func, value.args, value.keywords)]
    return {"class": _name_of(type(value)), **_attributes(value, depth)}


def _attributes(value: Any, depth: int) -> dict[str, Any]:
    """Describe the attributes of an object; of a torch module, its buffers and modules too."""
    own = dict(vars(value)) if hasattr(value, "__dict__") else {}
    if isinstance(value, nn.Module):
        own = {key: one for key, one in own.items() if not key.startswith("_")}
        own |= {**dict(value.named_buffers(recurse=False)), **dict(value.named_children())}
    if isinstance(value, (IgniteMetric, Metric)):  # private attributes are what they have counted
        own = {key: one for key, one in own.items() if not key.startswith("_")}
    kept = {
        key: one
        for key, one in own.items()
        if key not in CHANGING and not isinstance(one, SKIPPED) and one is not value
    }
    return {key: described(one, depth + 1) for key, one in kept.items()}


def _array(value: Any) -> Any:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.size <= SMALL:
        return array.tolist()
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
    return f"{array.dtype}{list(array.shape)} {digest}"


def _name_of(value: Any) -> str:
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", None)
    return f"{module}.{name or type(value).__name__}"
