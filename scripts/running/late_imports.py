"""Modules that MONAI and Ignite import for parts that few processes use, imported when used.

``import monai`` imports MLflow, pyplot and, through Ignite, torch's distributed optimizers with
sharding and sympy: a third of the processor time until a command can begin. In their places stand
objects that import the module when it is used, so that nothing else changes.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

MODULES = ("mlflow", "mlflow.entities", "matplotlib.pyplot")
ZERO = "torch.distributed.optim"


class LateModule(ModuleType):
    """A module that is imported when one of its names is used."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__file__ = f"{name}, imported when it is used"  # MONAI takes none without a file

    def __getattr__(self, name: str) -> Any:
        """Import the module. Special names, as a search of all modules asks for, are no use.

        Raises:
            AttributeError: for a name that the module does not have.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        _withdraw(self.__name__, self)
        return getattr(importlib.import_module(self.__name__), name)


class _ZeroKind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        """Whether it is one of torch's class; before that is imported, nothing can be."""
        loaded = sys.modules.get(f"{ZERO}.zero_redundancy_optimizer")
        return loaded is not None and isinstance(instance, loaded.ZeroRedundancyOptimizer)


class ZeroRedundancyOptimizer(metaclass=_ZeroKind):
    """Stands for torch's class where Ignite's checkpoints ask whether an object is one."""


@contextmanager
def late_imports() -> Iterator[None]:
    """Within the block, whoever imports one of the modules gets an object that stands for it.

    Modules that are imported already, or not installed, stay as they are.
    """
    late: dict[str, ModuleType] = {name: LateModule(name) for name in MODULES if _is_to_come(name)}
    if _is_to_come(ZERO):
        late[ZERO] = ModuleType(ZERO)
        late[ZERO].__dict__["ZeroRedundancyOptimizer"] = ZeroRedundancyOptimizer
    for name, module in late.items():
        sys.modules[name] = module
        if (parent := _parent(name)) is not None:
            setattr(parent, name.rpartition(".")[2], module)  # as importing it would
    try:
        yield
    finally:
        for name, module in late.items():
            _withdraw(name, module)


def _is_to_come(name: str) -> bool:
    top = name.partition(".")[0]
    return name not in sys.modules and importlib.util.find_spec(top) is not None


def _parent(name: str) -> ModuleType | None:
    """Return the package of a module, imported if it is a small one; None if there is none."""
    above = name.rpartition(".")[0]
    return importlib.import_module(above) if above == "matplotlib" else sys.modules.get(above)


def _withdraw(name: str, module: ModuleType) -> None:
    """Let the next import of a module find the module itself."""
    if sys.modules.get(name) is module:
        del sys.modules[name]
    parent, own = sys.modules.get(name.rpartition(".")[0]), name.rpartition(".")[2]
    if parent is not None and parent.__dict__.get(own) is module:
        delattr(parent, own)
