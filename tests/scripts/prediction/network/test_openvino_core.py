"""OpenVINO leaves the process as it needs it: no telemetry, a signal stack that is there."""

import ctypes
import gc
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.prediction.network.openvino_core import load_openvino, openvino_core
from scripts.prediction.network.openvino_network import OpenvinoNetwork

DISABLED = 2  # sigaltstack(2)


class Stack(ctypes.Structure):
    """``stack_t`` of sigaltstack(2)."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def signal_stack():
    """This thread's stack for signals."""
    stack = Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack


def is_there(stack):
    """Whether the memory of a stack belongs to the process; a stack that is not used needs none."""
    if stack.flags & DISABLED:
        return True
    areas = [line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines()]
    bounds = [[int(end, 16) for end in area.split("-")] for area in areas]
    return any(low <= stack.start < high for low, high in bounds)


def used_network(outputs):
    """A network that OpenVINO has computed."""
    network = OpenvinoNetwork(nn.Conv2d(3, outputs, 1).eval())
    network(torch.rand(1, 3, 8, 9))
    return network


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
def test_networks_forgotten_in_the_order_they_came_then_signal_stack_still_there():
    """Without it the next signal, such as the end of a data loader's worker, ends the process."""
    networks = [used_network(outputs) for outputs in (1, 2)]
    while networks:
        networks.pop(0)
        gc.collect()
    assert is_there(signal_stack())


def test_core_then_the_same_for_all_and_files_are_not_mapped():
    assert openvino_core() is openvino_core()
    assert openvino_core().get_property("ENABLE_MMAP") is False


def test_openvino_then_without_its_telemetry():
    load_openvino()
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
