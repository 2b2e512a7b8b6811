"""Floating-point types: which a device computes natively, and whether results are finite."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from time import perf_counter

import torch

logger = logging.getLogger(__name__)

DTYPES = ("bfloat16", "float16", "float32", "auto")
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables by which oneDNN leaves instructions of the processor unused."""
WITH_BFLOAT16 = ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AMX", "AVX10", "ALL", "DEFAULT")
"""Parts of their values that leave bfloat16 in use."""
LEAST_GAIN = 0.9
"""Share of the time of float32 that bfloat16 may take at most, to be worth its rounding."""


def native_dtype(device: str) -> torch.dtype:
    """Return the fast type of a kind of device ("cpu", "cuda"): bfloat16 or float32.

    Processors without AVX512-BF16 or AMX emulate bfloat16, slower than float32. Some that have
    AVX512-BF16 are slower with it too (an Intel Xeon whose AMX is not given to the virtual machine:
    88 against 167 GFLOP/s; an AMD EPYC: 1,000 against 500), so it is tried out.
    """
    if device == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        faster = device == "cpu" and _cpu_has_bfloat16() and _cpu_gains_by_bfloat16()
    return torch.bfloat16 if faster else torch.float32


def _cpu_has_bfloat16() -> bool:
    limit = next((os.environ[name].upper() for name in LIMITS if os.environ.get(name)), "ALL")
    if not any(part in limit for part in WITH_BFLOAT16):
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # of torch 2.6
        return bool(torch.cpu._is_avx512_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@lru_cache
def _cpu_gains_by_bfloat16() -> bool:
    """Time a convolution in both types, once per process and in about 0.05 s.

    The shortest of alternating runs is taken, since other processes only make a run longer.
    """
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    maps = torch.zeros(1, 64, 64, 64, device="cpu")
    kernel = torch.zeros(64, 64, 3, 3, device="cpu")
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        for _ in range(6):
            for dtype, times in seconds.items():
                x, weight = maps.to(dtype, memory_format=torch.channels_last), kernel.to(dtype)
                start = perf_counter()
                torch.conv2d(x, weight, padding=1)
                times.append(perf_counter() - start)
    return min(seconds[torch.bfloat16]) < LEAST_GAIN * min(seconds[torch.float32])


def chosen_dtype(asked: str, device: str) -> torch.dtype:
    """Decide the type of a computation, the one place where this is done.

    Args:
        asked: one of :data:`DTYPES`; "auto" is the native type of the device.
        device: kind of device.

    Raises:
        ValueError: for another name.
    """
    if asked not in DTYPES:
        raise ValueError(f"dtype: must be one of {', '.join(DTYPES)}, got {asked!r}")
    if asked == "auto":
        return native_dtype(device)
    dtype: torch.dtype = getattr(torch, asked)
    if dtype == torch.bfloat16 and native_dtype(device) != dtype:
        _warn_of_slow_type(device)
    return dtype


@lru_cache
def _warn_of_slow_type(device: str) -> None:
    """Warn once per process."""
    logger.warning(
        "precision: bfloat16 was asked for, but this %s computes it more slowly than float32; auto "
        "takes the faster one",
        device,
    )


def asked_dtype(device: str) -> torch.dtype:
    """Return the type that ``torch.autocast`` sets for this device, or float32 without it."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


def check_finite(logits: torch.Tensor, where: str = "") -> torch.Tensor:
    """Return logits unchanged; a mask of NaN would be empty, and look like a healthy patient.

    Args:
        logits: of any shape, in any type.
        where: epoch or study, for the message.

    Raises:
        ValueError: when a value is NaN or infinite.
    """
    # the extremes of values of which one is NaN are NaN; found in a fifth of the time of isfinite
    extremes = torch.stack(torch.aminmax(logits)) if logits.numel() else logits
    if not bool(torch.isfinite(extremes).all()):
        wrong = int((~torch.isfinite(logits)).sum())
        raise ValueError(
            f"logits: {wrong} of {logits.numel()} values are not finite{where and f' in {where}'}, "
            "so that there is no result; check the weights, or compute in float32"
        )
    return logits
