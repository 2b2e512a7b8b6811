"""The most memory that a process held."""

import os
import subprocess
import sys

import numpy as np
import pytest

from scripts.storage.memory import peak_memory_mb


def test_peak_then_counts_what_was_held_and_let_go() -> None:
    ask = "from scripts.storage.memory import peak_memory_mb; print(peak_memory_mb())"
    hold = f"import numpy as np; np.ones(40_000_000 // 8); {ask}"
    plain, held = (
        float(subprocess.check_output([sys.executable, "-c", f"import numpy; {words}"]))
        for words in (ask, hold)
    )
    assert held - plain == pytest.approx(40_000_000 / (1 << 20), abs=8)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of other processes")
def test_peak_of_a_process_by_its_number_then_as_it_tells_itself() -> None:
    assert np.isclose(peak_memory_mb(os.getpid()), peak_memory_mb(), atol=5)


def test_process_that_has_ended_then_refused() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(ProcessLookupError, match=f"number {ended.pid}"):
        peak_memory_mb(ended.pid)
