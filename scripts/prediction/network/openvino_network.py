"""A network converted for OpenVINO, checked against torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scripts.prediction.network.conversion_cache import ConversionCache, cache_folder, key_of
from scripts.prediction.network.openvino_core import load_openvino, openvino_core
from scripts.running.reasons import one_line
from scripts.training.precision import asked_dtype

HINTS = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}
TRACED, CHECKED = (64, 96), (77, 131)  # height and width, voxels
BLACK = 40  # upper rows and left columns of the image that is checked
TOLERANCE = 1e-4  # of the largest logit, float32

Call = Callable[[torch.Tensor], torch.Tensor]
Floats = NDArray[np.float32]


class RefusedError(ValueError):
    """OpenVINO cannot run a network, for any image."""


class Conversion:
    """OpenVINO's model of a network, compiled once for each precision that is asked for.

    Args:
        model: OpenVINO's, in float32.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._calls: dict[torch.dtype, Call] = {}

    def call(self, dtype: torch.dtype) -> Call:
        """Return the function that computes in a precision.

        Raises:
            RefusedError: see :func:`compile_network`.
        """
        if dtype not in self._calls:
            with _openvino_errors():
                self._calls[dtype] = compile_network(self.model, dtype)
        return self._calls[dtype]


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
        self._conversion: Conversion | None = None
        self._compared: list[tuple[int, int]] = []  # heights and widths
        self._refusal: RefusedError | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to float32 logits (B, K, H, W).

        An image higher, wider, lower or narrower than all before is also computed by torch, in
        float32: a network that does something else beyond some size, or below it, is found out.

        Raises:
            RefusedError: for a network that cannot be converted or gives other results than torch,
                or a precision that this processor lacks. Once refused, it is refused at every
                call.
            ValueError: for an image that the network itself does not accept.
        """
        return self.conversion(x).call(asked_dtype("cpu"))(x)

    def conversion(self, x: torch.Tensor) -> Conversion:
        """Return the conversion, checked for images (B, C, H, W) as large as these.

        Raises:
            RefusedError, ValueError: see :meth:`forward`.
        """
        if self._refusal is not None:
            raise self._refusal
        try:
            conversion = self._checked(x)
            conversion.call(asked_dtype("cpu"))
        except RefusedError as refusal:
            self._refusal = refusal
            raise
        return conversion

    def in_float32(self) -> nn.Module:
        """Return a module that gives the same in float32, whatever the inferer's precision."""
        return _InFloat32(self)

    def _checked(self, x: torch.Tensor) -> Conversion:
        if self._conversion is None:
            self._conversion = conversion_of(self.network, channels=x.shape[1])
        if self._is_beyond(x):
            compare_results(self.network, self._conversion.call(torch.float32), x[:1].float())
            self._compared.append((x.shape[-2], x.shape[-1]))
        return self._conversion

    def _is_beyond(self, x: torch.Tensor) -> bool:
        """Whether an image is larger or smaller along an axis than all that were compared."""
        if not self._compared:
            return True
        lengths = zip(x.shape[-2:], *self._compared, strict=True)
        return any(not min(before) <= own <= max(before) for own, *before in lengths)


class _InFloat32(nn.Module):
    def __init__(self, exact: OpenvinoNetwork) -> None:
        super().__init__()
        self._exact = exact

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._exact.conversion(x).call(torch.float32)(x)


def conversion_of(network: nn.Module, *, channels: int) -> Conversion:
    """Return the checked conversion of a network, from the cache if it was made before.

    Raises:
        RefusedError, ValueError: see :func:`convert_network`.
    """
    with _openvino_errors():  # also of a package that is installed, but does not load
        cache, key = ConversionCache(load_openvino(), cache_folder()), key_of(network, channels)
    with suppress(RefusedError):  # of code that has changed since: converted again
        if (model := cache.read(key)) is not None:
            return checked_conversion(network, model, channels)
    model = convert_network(network, channels=channels)
    conversion = checked_conversion(network, model, channels)
    cache.write(key, model)
    return conversion


def convert_network(network: nn.Module, *, channels: int) -> Any:
    """Return OpenVINO's model of a network.

    Raises:
        RefusedError: when the conversion fails.
        ValueError: when the network itself fails.
    """
    example = _ramp(1, channels, *TRACED)
    results_of_torch(network, example)  # so that its own errors are not attributed to OpenVINO
    exact = torch.autocast("cpu", enabled=False)
    quiet = warnings.catch_warnings()
    with _openvino_errors(), torch.no_grad(), exact, quiet, _root_logger_kept():
        # that tracing is deprecated and records fixed sizes: results are compared afterwards
        warnings.simplefilter("ignore")
        return load_openvino().convert_model(network, example_input=example)


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Undo what OpenVINO does to the root logger: after a failed conversion, it hides warnings."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def checked_conversion(network: nn.Module, model: Any, channels: int) -> Conversion:
    """Check OpenVINO's model of a network at another image size than the traced one.

    Tracing records the operations for one image; a network that branches on the size of its input
    would silently be wrong for other sizes. A black border is part of the image, as a network may
    leave out what is black (:class:`custom_nets.narrowing.NarrowedUNet`).

    Raises:
        RefusedError: when the results differ, or the model cannot be compiled.
        ValueError: when the network itself fails.
    """
    conversion = Conversion(model)
    image = _ramp(2, channels, *CHECKED)
    image[..., :BLACK, :], image[..., :BLACK] = 0, 0
    compare_results(network, conversion.call(torch.float32), image)
    return conversion


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
            f"height, width): {one_line(error)[:500]}; OpenVINO's conversion cannot be checked, "
            "use --engine torch"
        ) from error
    return result


def compare_results(network: nn.Module, call: Call, image: torch.Tensor) -> None:
    """Check that OpenVINO and torch give equal results in float32 for images (B, C, H, W).

    Raises:
        RefusedError: when the results differ, or OpenVINO fails.
        ValueError: when the network itself fails.
    """
    expected, result = results_of_torch(network, image), call(image)
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
    except RefusedError:
        raise
    except Exception as error:
        raise RefusedError(
            f"engine: OpenVINO cannot run this network: {one_line(error)[:500]}; use --engine torch"
        ) from error


def compile_network(model: Any, dtype: torch.dtype) -> Call:
    """Return a function that runs a converted model in one precision.

    Raises:
        RefusedError: see :func:`compile_outputs`.
    """
    outputs = compile_outputs(model, dtype)
    return lambda x: torch.from_numpy(outputs(x)[0])


def compile_outputs(model: Any, dtype: torch.dtype) -> Callable[[torch.Tensor], list[Floats]]:
    """Return a function that runs a model in one precision and gives the arrays of all outputs.

    It raises a RefusedError when OpenVINO fails.

    Raises:
        RefusedError: when the processor lacks this precision.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[dtype],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # it would bind several processes to the same cores
    }
    compiled = openvino_core().compile_model(model, "CPU", settings)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != HINTS[dtype]:
        raise RefusedError(
            f"precision: OpenVINO computes in {taken} instead of {HINTS[dtype]}, which this "
            "processor lacks; set the config's `precision` to auto, or use --engine torch"
        )
    request = compiled.create_infer_request()

    def call(x: torch.Tensor) -> list[Floats]:
        image = x.float().contiguous().numpy()
        with _openvino_errors():
            return list(request.infer({0: image}, share_inputs=True).to_tuple())

    return call


def _ramp(*shape: int) -> torch.Tensor:
    """Return an image of values from 0 to 1, without using the random generator."""
    return torch.linspace(0, 1, torch.Size(shape).numel()).reshape(shape)
