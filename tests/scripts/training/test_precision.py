from itertools import cycle
from pathlib import Path

import pytest
import torch

from scripts.training import precision
from scripts.training.precision import asked_dtype, check_finite, chosen_dtype, native_dtype


@pytest.fixture(autouse=True)
def gains(monkeypatch):
    """Processors of these tests gain by bfloat16 where they have it, unless a test says else."""
    monkeypatch.setattr(precision, "_cpu_gains_by_bfloat16", lambda: True)


@pytest.fixture
def seconds(monkeypatch):
    """Let a convolution take the seconds of its type, on a clock of its own; reset the answer."""
    taken, clock, conv2d = {}, [0.0], torch.conv2d

    def timed(x, *arguments, **options):
        result = conv2d(x, *arguments, **options)
        clock[0] += next(taken[result.dtype])
        return result

    monkeypatch.setattr(torch, "conv2d", timed)
    monkeypatch.setattr(precision, "perf_counter", lambda: clock[0])
    measure.cache_clear()
    yield taken
    measure.cache_clear()


measure = precision._cpu_gains_by_bfloat16


@pytest.mark.parametrize(
    ("bfloat16", "float32", "gains"),
    [
        ([1.0], [2.0], True),
        ([1.9], [1.0], False),
        ([1.0], [1.0], False),
        ([0.95], [1.0], False),
        ([9.0, 0.5, 9.0], [2.0, 1.0, 1.0], True),  # other processes took the processor
        ([2.0, 1.9, 2.0], [50.0, 1.0, 50.0], False),
    ],
)
def test_processor_with_bfloat16_then_taken_only_if_a_convolution_is_faster(
    seconds, monkeypatch, bfloat16, float32, gains
):
    seconds |= {torch.bfloat16: cycle(bfloat16), torch.float32: cycle(float32)}
    monkeypatch.setattr(precision, "_cpu_gains_by_bfloat16", measure)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    assert native_dtype("cpu") == (torch.bfloat16 if gains else torch.float32)


def test_gain_then_measured_once_per_process_also_from_within_autocast(seconds):
    seconds |= {torch.bfloat16: iter([1.0] * 6), torch.float32: iter([2.0] * 6)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert [measure(), measure()] == [True, True]


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
    precision._warn_of_slow_type.cache_clear()
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": native})
    for _ in range(2):
        assert chosen_dtype("bfloat16", "cpu") == torch.bfloat16
        assert chosen_dtype("auto", "cpu") == (torch.bfloat16 if native else torch.float32)
        assert chosen_dtype("float32", "cpu") == torch.float32
    assert caplog.text.count("more slowly than float32") == (0 if native else 1)
    precision._warn_of_slow_type.cache_clear()


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
