"""Memory that is kept: measured as pages that the system has to clear."""

import platform
import subprocess
import sys

import pytest

from scripts.running.memory import keep_freed_memory

PAGES = """
import resource
import numpy as np
from scripts.running.memory import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        a, b = np.ones(1 << 20), np.ones(1 << 21)
        del a, b
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = pages()
print(keep_freed_memory())
pages()
print(usual, pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_keep_freed_memory_when_arrays_come_and_go_then_no_new_pages():
    ran = subprocess.run(
        [sys.executable, "-c", PAGES], capture_output=True, text=True, check=True, timeout=60
    )
    kept, usual, now = ran.stdout.split()
    assert kept == "True"
    assert int(usual) > 100
    assert int(now) < int(usual) / 20


def test_keep_freed_memory_when_the_c_library_is_another_then_nothing_changes(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("must not be loaded"))
    assert keep_freed_memory() is False
