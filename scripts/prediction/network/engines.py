"""Engines that run a bundle's networks: torch or, on CPUs where it is faster, OpenVINO."""

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
    """OpenVINO cannot run a network, for any image."""


class Engine:
    """Prepares networks, and records the precision in which they were computed.

    Args:
        name: one of :data:`ENGINES`.
        device: of the networks.

    Raises:
        ValueError: see :func:`check_engine`, or for OpenVINO on another device than the CPU.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = check_engine(name)
        if name == "openvino" and device.type != "cpu":
            raise ValueError(
                f"engine: openvino runs on the CPU only, got device {str(device)!r}; "
                "use --device cpu, or --engine torch"
            )
        self.device = device
        self._dtypes: set[torch.dtype] = set()

    def prepare(self, network: nn.Module) -> nn.Module:
        """Return the module to call: the network itself, or its conversion for OpenVINO."""
        ready = OpenvinoNetwork(network) if self.name == "openvino" else network
        ready.register_forward_pre_hook(self._note)
        return ready

    def _note(self, *_: object) -> None:
        self._dtypes.add(asked_dtype(self.device.type))

    def record(self) -> dict[str, str]:
        """Return name, version and the precisions used so far, for the manifest."""
        dtypes = sorted(str(dtype).removeprefix("torch.") for dtype in self._dtypes)
        version = metadata.version(self.name)
        return {"name": self.name, "version": version, "precision": ", ".join(dtypes)}


class OpenvinoNetwork(nn.Module):
    """A 2D network of torch, converted for OpenVINO at its first call.

    It computes in the precision of the surrounding ``torch.autocast``, so that an inferer works the
    same with either engine, and on as many threads as torch would. Height, width and batch size
    are dynamic: fixed sizes are 5 % faster, but each CT's crop would need a compilation.

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

        An image higher or wider than all before is also computed by torch, in float32, so that the
        conversion is checked at every size in use.

        Raises:
            RefusedError: for a network that cannot be converted or gives other results than torch,
                or a precision that this processor lacks. Once refused, it is refused at every
                call.
            ValueError: for an image that the network itself does not accept.
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
    """Import OpenVINO without its telemetry, which would report each use to its vendor."""
    # without that package, OpenVINO uses its own silent substitute
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def convert_network(network: nn.Module, *, channels: int) -> Any:
    """Return OpenVINO's model of a network, checked at another image size than the traced one.

    Tracing records the operations for one image; a network that branches on the size of its input
    would silently be wrong for other sizes.

    Raises:
        RefusedError: when the conversion fails, or the results differ.
        ValueError: when the network itself fails.
    """
    example, other = _ramp(1, channels, *TRACED), _ramp(2, channels, *CHECKED)
    for image in (example, other):
        results_of_torch(network, image)  # so that its own errors are not attributed to OpenVINO
    with _openvino_errors(), torch.no_grad(), torch.autocast("cpu", enabled=False):
        with warnings.catch_warnings():
            # that tracing is deprecated and records fixed sizes: results are compared below
            warnings.simplefilter("ignore")
            model = load_openvino().convert_model(network, example_input=example)
        call = compile_network(model, torch.float32)
    compare_results(network, call, other)
    return model


def results_of_torch(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Return torch's result in float32 for (B, C, H, W), regardless of autocast.

    Raises:
        ValueError: when the network does not accept the image.
    """
    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            result: torch.Tensor = network(image)
    except Exception as error:  # a network may raise anything
        raise ValueError(
            f"engine: the network does not accept images of {tuple(image.shape)} (batch, channels, "
            f"height, width): {_line(error)}; OpenVINO's conversion cannot be checked, use "
            "--engine torch"
        ) from error
    return result


def compare_results(network: nn.Module, call: Call, image: torch.Tensor) -> None:
    """Check that OpenVINO and torch give equal results in float32 for images (B, C, H, W).

    Raises:
        RefusedError: when the results differ, or OpenVINO fails.
        ValueError: when the network itself fails.
    """
    expected = results_of_torch(network, image)
    with _openvino_errors():
        result = call(image)
    same = result.shape == expected.shape
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not same or not float((result - expected).abs().max()) <= limit:
        raise RefusedError(
            "engine: OpenVINO's conversion of this network gives other results than torch for "
            f"images of {tuple(image.shape[-2:])} voxels; it was traced with {TRACED}; use "
            "--engine torch"
        )


@contextmanager
def _openvino_errors() -> Iterator[None]:
    """Convert the errors of OpenVINO, which have no common class, to :class:`RefusedError`."""
    try:
        yield
    except Exception as error:
        raise RefusedError(
            f"engine: OpenVINO cannot run this network: {_line(error)}; use --engine torch"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def compile_network(model: Any, dtype: torch.dtype) -> Call:
    """Return a function that runs a converted model in one precision.

    Raises:
        RefusedError: when the processor lacks this precision.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[dtype],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # it would bind several processes to the same cores
    }
    compiled = load_openvino().Core().compile_model(model, "CPU", settings)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != HINTS[dtype]:
        raise RefusedError(
            f"precision: OpenVINO computes in {taken} instead of {HINTS[dtype]}, which this "
            "processor lacks; set the config's `precision` to auto, or use --engine torch"
        )
    request = compiled.create_infer_request()

    def call(x: torch.Tensor) -> torch.Tensor:
        image = x.float().contiguous().numpy()
        return torch.from_numpy(request.infer({0: image}, share_inputs=True)[0])

    return call


def _ramp(*shape: int) -> torch.Tensor:
    """Return an image of values from 0 to 1, without using the random generator."""
    return torch.linspace(0, 1, torch.Size(shape).numel()).reshape(shape)
