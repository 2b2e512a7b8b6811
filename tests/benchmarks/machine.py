"""What this machine can do at best, and a clock for calls that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def take_turns(
    calls: Mapping[str, Callable[[], Any]],
    times: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each call; each once before, uncounted, then one after another.

    ``time.process_time`` as the clock gives processor seconds, which other jobs disturb less.
    """
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(times):
        for name, call in calls.items():
            started = clock()
            call()
            seconds[name].append(clock() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def peak_flops(dtype: torch.dtype, size: int = 2048, times: int = 5) -> float:
    """Operations a second of a large matrix product or a wide convolution, best of so many.

    Which of them is nearer to what the processor can do depends on the library behind each.
    """
    a, b = (torch.rand(size, size).to(dtype) for _ in range(2))
    wide = torch.nn.Conv2d(256, 256, 3, padding=1, bias=False).to(dtype)
    maps = torch.rand(2, 256, 96, 96).to(dtype)
    rates = [2 * size**3 / fastest(lambda: a @ b, times)]
    operations = 2 * 9 * 256**2 * maps[:, 0].numel()
    with torch.no_grad():
        for layout in (torch.contiguous_format, torch.channels_last):
            layer, x = wide.to(memory_format=layout), maps.contiguous(memory_format=layout)
            rates.append(operations / fastest(lambda layer=layer, x=x: layer(x), times))
    return max(rates)


def peak_bandwidth(megabytes: int = 256, times: int = 5) -> float:
    """Bytes a second, read and written, of a large copy, best of so many."""
    source = torch.rand(megabytes * (1 << 18))
    target = torch.empty_like(source)
    return 2 * source.nbytes / fastest(lambda: target.copy_(source), times)


def fastest(call: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of so many calls, after one that is not counted."""
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


def count_work(network: nn.Module, image: torch.Tensor) -> tuple[float, float]:
    """Operations of one pass, and numbers that its layers read and write, weights included.

    Every layer that has no layers inside counts as reading its input, its weights and writing its
    output: what memory moves at least where neighbouring layers are not fused.
    """
    numbers = [0]

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        tensors = [t for t in (*inputs, output) if isinstance(t, torch.Tensor)]
        numbers[0] += sum(t.numel() for t in (*tensors, *layer.parameters(recurse=False)))

    leaves = [layer for layer in network.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(count) for layer in leaves]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    for hook in hooks:
        hook.remove()
    return float(counter.get_total_flops()), float(numbers[0])
