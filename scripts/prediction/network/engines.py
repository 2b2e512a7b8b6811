"""What computes a bundle's networks: torch or, on processors where it is faster, OpenVINO."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch
from torch import nn

from scripts.training.precision import asked_dtype

ENGINES = ("torch", "openvino")
HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
TRACED, CHECKED = (64, 96), (77, 131)  # height and width, voxels
TOLERANCE = 1e-4  # of the largest logit, float32

Call = Callable[[torch.Tensor], torch.Tensor]


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


class RefusedError(ValueError):
    """Why OpenVINO cannot compute a network, whatever the image."""


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
        self._calls: dict[torch.dtype, Call] = {}
        self._compared = (0, 0)  # largest height and width so far
        self._refusal: RefusedError | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to float32 logits (B, K, H, W).

        An image higher or wider than all before goes through torch as well, in float32: no size is
        computed at which the conversion was not seen to be right.

        Raises:
            RefusedError: for a network that cannot be converted, one that gives other results than
                torch, or a precision that this processor does not have; the result would not be
                the one that was asked for. Once refused, it is refused at every call.
            ValueError: for an image that the network itself does not take.
        """
        if self._refusal is not None:
            raise self._refusal
        try:
            return self._compute(x, asked_dtype("cpu"))
        except RefusedError as refusal:
            self._refusal = refusal
            raise

    def _compute(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if self._converted is None:
            self._converted = convert_network(self.network, channels=x.shape[1])
        height, width = x.shape[-2:]
        if height > self._compared[0] or width > self._compared[1]:
            compare_results(self.network, self._call(torch.float32), x[:1].float())
            self._compared = (max(height, self._compared[0]), max(width, self._compared[1]))
        return self._call(dtype)(x)

    def _call(self, dtype: torch.dtype) -> Call:
        if dtype not in self._calls:
            self._calls[dtype] = compile_network(self._converted, dtype)
        return self._calls[dtype]


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
        RefusedError: when it fails, or the results differ.
        ValueError: when the network itself fails.
    """
    example, other = _ramp(1, channels, *TRACED), _ramp(2, channels, *CHECKED)
    for image in (example, other):
        results_of_torch(network, image)  # else its own errors would pass for OpenVINO's
    with _telling_of_openvino(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        with warnings.catch_warnings():
            # that tracing is deprecated, and takes sizes for fixed: the checks answer that
            warnings.simplefilter("ignore")
            model = load_openvino().convert_model(network, example_input=example)
        call = compile_network(model, torch.float32)
    compare_results(network, call, other)
    return model


def results_of_torch(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Return what torch computes in float32 for (B, C, H, W), whatever autocast asks for.

    Raises:
        ValueError: when the network does not take the image.
    """
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            result: torch.Tensor = network(image)
    except Exception as error:  # whatever a network brings about
        raise ValueError(
            f"engine: the network does not take images of {tuple(image.shape)} (batch, channels, "
            f"height, width): {_line(error)}; OpenVINO's conversion cannot be checked, use "
            "--engine torch"
        ) from error
    return result


def compare_results(network: nn.Module, call: Call, image: torch.Tensor) -> None:
    """See that OpenVINO computes in float32 what torch does for images (B, C, H, W).

    Raises:
        RefusedError: when the results differ, or OpenVINO fails.
        ValueError: when the network itself fails.
    """
    expected = results_of_torch(network, image)
    with _telling_of_openvino():
        found = call(image)
    same = found.shape == expected.shape
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not same or not float((found - expected).abs().max()) <= limit:
        raise RefusedError(
            "engine: OpenVINO's conversion of this network gives other results than torch for "
            f"images of {tuple(image.shape[-2:])} voxels, as it was traced with {TRACED}; use "
            "--engine torch"
        )


@contextmanager
def _telling_of_openvino() -> Iterator[None]:
    """Turn whatever OpenVINO raises, which has no class in common, into one line."""
    try:
        yield
    except Exception as error:
        raise RefusedError(
            f"engine: OpenVINO cannot take this network: {_line(error)}; use --engine torch"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def compile_network(model: Any, dtype: torch.dtype) -> Call:
    """Return what computes a converted model in numbers of one type.

    Raises:
        RefusedError: when the processor does not have them.
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
        raise RefusedError(
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
