from pathlib import Path

import pytest
import torch

from scripts.training import precision
from scripts.training.precision import asked_dtype, check_finite, chosen_dtype, native_dtype


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


@pytest.mark.parametrize(
    ("limit", "dtype"),
    [
        ("AVX512_CORE", torch.float32),
        ("avx2", torch.float32),
        ("AVX512_CORE_VNNI", torch.float32),
        ("AVX512_CORE_BF16", torch.bfloat16),
        ("AVX512_CORE_AMX", torch.bfloat16),
        ("", torch.bfloat16),
    ],
)
def test_instructions_switched_off_for_onednn_then_no_bfloat16(monkeypatch, limit, dtype):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert native_dtype("cpu") == dtype


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_when_asked_for_then_a_warning_once_only_where_it_is_emulated(
    monkeypatch, caplog, native
):
    precision._warn_of_emulation.cache_clear()
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": native})
    for _ in range(2):
        assert chosen_dtype("bfloat16", "cpu") == torch.bfloat16
        assert chosen_dtype("auto", "cpu") == (torch.bfloat16 if native else torch.float32)
        assert chosen_dtype("float32", "cpu") == torch.float32
    assert caplog.text.count("only by emulation") == (0 if native else 1)
    precision._warn_of_emulation.cache_clear()


def test_shipped_configs_and_bundles_then_none_forces_bfloat16():
    root = Path(__file__).parents[3]
    files = [*root.glob("configs/**/*.json"), *root.glob("bundles/*/configs/*.json")]
    assert len(files) > 40
    assert [file.name for file in files if '"bfloat16"' in file.read_text()] == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_then_refused_in_every_precision(dtype, value):
    logits = torch.zeros(1, 2, 4, 4, dtype=dtype)
    assert check_finite(logits) is logits
    logits[0, 1, 2, 3] = value
    with pytest.raises(ValueError, match="1 of 32 values are not finite in study 3, so that there"):
        check_finite(logits, "study 3")
