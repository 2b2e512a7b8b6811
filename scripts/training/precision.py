"""Floating-point types that devices compute natively."""

from __future__ import annotations

import torch

DTYPES = ("bfloat16", "float16", "float32", "auto")


def native_dtype(device: str) -> torch.dtype:
    """Return the fast type of a kind of device ("cpu", "cuda"): bfloat16 or float32.

    Processors without AVX512-BF16 or AMX emulate bfloat16, slower than float32.
    """
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device == "cpu" and _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def asked_dtype(device: str) -> torch.dtype:
    """Return the type that ``torch.autocast`` sets for this device, or float32 without it."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
