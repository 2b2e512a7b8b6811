"""Engines that run a bundle's networks: torch or, on a CPU, OpenVINO."""

from __future__ import annotations

import importlib.util
import logging
from importlib import metadata
from typing import Any

import torch
from torch import nn

from scripts.prediction.network.eight_bit import Agreement, EightBitNetwork
from scripts.prediction.network.openvino_network import OpenvinoNetwork
from scripts.training.precision import asked_dtype

logger = logging.getLogger(__name__)

AUTO, TORCH, OPENVINO, EIGHT_BIT = "auto", "torch", "openvino", "openvino-int8"
ENGINES = (AUTO, TORCH, OPENVINO, EIGHT_BIT)
EQUAL = (OPENVINO, TORCH)
"""Engines whose results differ by rounding only; ``auto`` takes one of them."""


def check_engine(value: object) -> str:
    """Read an engine's name; ``auto`` if there is none.

    Raises:
        ValueError: for an unknown one, or one that is not installed.
    """
    name = AUTO if value is None else str(value)
    if name not in ENGINES:
        raise ValueError(f"engine: must be one of {', '.join(ENGINES)}, got {name!r}")
    if name not in (AUTO, TORCH) and not _is_installed():
        raise ValueError(
            f"engine: {name} needs OpenVINO, which is not installed; install it with pip install "
            "openvino -c constraints.txt, or leave the option out"
        )
    return name


def _is_installed() -> bool:
    return importlib.util.find_spec("openvino") is not None


class Engine:
    """Prepares networks, and records which software computed them, why, and in which precision.

    Args:
        asked: one of :data:`ENGINES`.
        device: of the networks.

    Attributes:
        asked: what was asked for.
        name: what is used: not ``auto``.
        reason: why.
        agreements: of 8 bits with float32 on the last CT, one for each network and flip.

    Raises:
        ValueError: see :func:`check_engine`, or for OpenVINO on another device than the CPU.
    """

    def __init__(self, asked: str, device: torch.device) -> None:
        self.asked = check_engine(asked)
        if asked not in (AUTO, TORCH) and device.type != "cpu":
            raise ValueError(
                f"engine: {asked} runs on the CPU only, got device {str(device)!r}; "
                "use --device cpu, or --engine torch"
            )
        self.device = device
        self.name, self.reason = (asked, "asked for") if asked != AUTO else _suitable(device)
        self.agreements: list[Agreement] = []
        self._dtypes: set[torch.dtype] = set()

    @property
    def acceptable(self) -> tuple[str, ...]:
        """Engines whose earlier results are kept: the one in use; for auto also its equals."""
        return EQUAL if self.asked == AUTO else (self.name,)

    def prepare(self, network: nn.Module) -> nn.Module:
        """Return the module to call: the network itself, or its conversion for OpenVINO."""
        ready = network
        if self.name == EIGHT_BIT:
            ready = EightBitNetwork(network)
        elif self.name == OPENVINO:
            ready = EitherNetwork(network, self) if self.asked == AUTO else OpenvinoNetwork(network)
        ready.register_forward_pre_hook(self._note)
        return ready

    def _note(self, *_: object) -> None:
        self._dtypes.add(asked_dtype(self.device.type))

    def give_up(self, refusal: Exception) -> None:
        """Let torch compute from now on, for a reason that OpenVINO gave."""
        why = str(refusal).removeprefix("engine: ").removesuffix("; use --engine torch")
        self.name, self.reason = TORCH, why
        logger.info("engine: torch, because %s", why)

    def line(self) -> str:
        """Return engine and reason as one line for the screen."""
        return f"engine: {self.name} ({self.reason})"

    def record(self) -> dict[str, Any]:
        """Return engine, version, reason and the precisions used so far, for the manifest."""
        dtypes = sorted(str(dtype).removeprefix("torch.") for dtype in self._dtypes)
        package = TORCH if self.name == TORCH else OPENVINO
        eight_bit = [each.record() for each in self.agreements]
        return {
            "name": self.name,
            "version": metadata.version(package),
            "precision": ", ".join(dtypes),
            "asked": self.asked,
            "reason": self.reason,
            **({"eight_bit": eight_bit} if eight_bit else {}),
        }


def _suitable(device: torch.device) -> tuple[str, str]:
    """Return the engine for a device, and the reason."""
    if device.type != "cpu":
        return TORCH, f"the device is {device}"
    if not _is_installed():
        return TORCH, "OpenVINO is not installed"
    return OPENVINO, "on a CPU, and it agrees with torch"


class EitherNetwork(nn.Module):
    """A network that OpenVINO computes as long as it agrees with torch, and torch from then on.

    Args:
        network: on the CPU, in evaluation mode.
        engine: that knows which it is; once OpenVINO refused one network, torch computes all.
    """

    def __init__(self, network: nn.Module, engine: Engine) -> None:
        super().__init__()
        self.network, self.engine = network, engine
        self._converted = OpenvinoNetwork(network)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to logits (B, K, H, W), with the errors of the network itself."""
        if self.engine.name == TORCH:
            return self._by_torch(x)
        try:
            logits: torch.Tensor = self._converted(x)
        except ValueError as refusal:
            logits = self._by_torch(x)  # an image that the network does not accept ends here
            self.engine.give_up(refusal)
        return logits

    def _by_torch(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(x)
        return logits
