"""What computes a bundle's networks: torch or, on processors where it is faster, OpenVINO."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any

import torch
from torch import nn

from scripts.precision import asked_dtype

ENGINES = ("torch", "openvino")
HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
TRACED, CHECKED = (64, 96), (77, 131)  # height and width, voxels
TOLERANCE = 1e-4  # of the largest logit, float32


def check_engine(value: object) -> str:
    """Read an engine's name.

    Raises:
        ValueError: for an unknown one, or one that is not installed.
    """
    name = "torch" if value is None else str(value)
    if name not in ENGINES:
        raise ValueError(f"engine: must be one of {', '.join(ENGINES)}, got {name!r}")
    if name == "openvino" and importlib.util.find_spec(name) is None:
        raise ValueError(
            "engine: openvino is not installed; install it with pip install -e '.[openvino]' "
            "-c constraints.txt, or leave the option out"
        )
    return name


class Engine:
    """Makes networks ready, and knows in which numbers they were computed.

    Args:
        name: of :data:`ENGINES`.
        device: that the networks are on.

    Raises:
        ValueError: see :func:`check_engine`; OpenVINO on another device than the CPU.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = check_engine(name)
        if name == "openvino" and device.type != "cpu":
            raise ValueError(
                f"engine: openvino computes on the CPU only, got device {str(device)!r}; "
                "give --device cpu, or --engine torch"
            )
        self.device = device
        self._dtypes: set[torch.dtype] = set()

    def prepare(self, network: nn.Module) -> nn.Module:
        """Return what is called in a network's place: itself, or what OpenVINO makes of it."""
        ready = OpenvinoNetwork(network) if self.name == "openvino" else network
        ready.register_forward_pre_hook(self._note)
        return ready

    def _note(self, *_: object) -> None:
        self._dtypes.add(asked_dtype(self.device.type))

    def record(self) -> dict[str, str]:
        """Return name, version and the numbers computed in so far, as a manifest has them."""
        dtypes = sorted(str(dtype).removeprefix("torch.") for dtype in self._dtypes)
        version = metadata.version(self.name)
        return {"name": self.name, "version": version, "precision": ", ".join(dtypes)}


class OpenvinoNetwork(nn.Module):
    """A 2D network of torch, converted for OpenVINO when it is first called.

    Computes in what ``torch.autocast`` asks for around the call, so that an inferer means the same
    with either engine, on as many threads as torch would. Height, width and batch stay free: fixed
    sizes are a twentieth faster, and each CT's crop would have to be compiled for.

    Args:
        network: on the CPU, in evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._converted: Any = None
        self._calls: dict[torch.dtype, Callable[[torch.Tensor], torch.Tensor]] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to float32 logits (B, K, H, W).

        Raises:
            ValueError: for a network that cannot be converted, or a precision that this processor
                does not have; the result would not be the one that was asked for.
        """
        if self._converted is None:
            self._converted = convert_network(self.network, channels=x.shape[1])
        dtype = asked_dtype("cpu")
        if dtype not in self._calls:
            self._calls[dtype] = compile_network(self._converted, dtype)
        return self._calls[dtype](x)


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report each use to its makers."""
    # takes its own silent stand-in where that package is missing
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def convert_network(network: nn.Module, *, channels: int) -> Any:
    """Return OpenVINO's model of a network, checked on images of another size than the traced.

    Tracing writes down what one image runs through; a network that decides by the size of its
    input would be wrong for other sizes, without a word.

    Raises:
        ValueError: when it fails, or the results differ.
    """
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False), warnings.catch_warnings():
            # that tracing is deprecated, and takes sizes for fixed: the check below answers that
            warnings.simplefilter("ignore")
            example = _ramp(1, channels, *TRACED)
            model = load_openvino().convert_model(network, example_input=example)
            other = _ramp(2, channels, *CHECKED)
            expected, found = network(other), compile_network(model, torch.float32)(other)
    except Exception as error:  # those of OpenVINO's parts have no class in common
        told = " ".join(str(error).split())[:500]
        raise ValueError(
            f"engine: OpenVINO cannot take this network: {told}; use --engine torch"
        ) from error
    same = found.shape == expected.shape
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not same or not float((found - expected).abs().max()) <= limit:
        raise ValueError(
            "engine: OpenVINO's conversion of this network gives other results than torch for "
            f"images of {CHECKED} voxels, as it was traced with {TRACED}; use --engine torch"
        )
    return model


def compile_network(model: Any, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what computes a converted model in numbers of one type.

    Raises:
        ValueError: when the processor does not have them.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[dtype],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # several processes would be tied to the same cores
    }
    compiled = load_openvino().Core().compile_model(model, "CPU", settings)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != HINTS[dtype]:
        raise ValueError(
            f"precision: OpenVINO computes {taken} where {HINTS[dtype]} is asked for, as this "
            "processor lacks it; set the config's `precision` to auto, or use --engine torch"
        )
    request = compiled.create_infer_request()

    def call(x: torch.Tensor) -> torch.Tensor:
        image = x.float().contiguous().numpy()
        return torch.from_numpy(request.infer({0: image}, share_inputs=True)[0])

    return call


def _ramp(*shape: int) -> torch.Tensor:
    """Return values that rise from 0 to 1: an image, without drawing from the random numbers."""
    return torch.linspace(0, 1, torch.Size(shape).numel()).reshape(shape)
