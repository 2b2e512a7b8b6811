import pytest
import torch

from scripts.training.precision import asked_dtype, native_dtype


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_processor_then_bfloat16_only_where_it_is_native(monkeypatch, capabilities, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_dtype("cpu") == dtype


def test_device_of_another_kind_then_float32():
    assert native_dtype("mps") == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_asked_dtype_then_that_of_the_autocast_around(dtype):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        assert asked_dtype("cpu") == dtype
    assert asked_dtype("cpu") == torch.float32
