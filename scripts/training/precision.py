"""Which floating-point numbers a device computes fast."""

from __future__ import annotations

import torch

DTYPES = ("bfloat16", "float16", "float32", "auto")


def native_dtype(device: str) -> torch.dtype:
    """Say what a kind of device ("cpu", "cuda") computes fast: bfloat16 or float32.

    Processors without AVX512-BF16 or AMX emulate bfloat16, slower than float32.
    """
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device == "cpu" and _cpu_has_bfloat16()
    return torch.bfloat16 if native else torch.float32


def _cpu_has_bfloat16() -> bool:
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def asked_dtype(device: str) -> torch.dtype:
    """Say what ``torch.autocast`` asks of a network called here: its type, else float32."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
