import subprocess
import sys

import pytest

from scripts.running.reasons import reason_of

PROGRAM = """
from scripts.running.reasons import print_reason_last
print_reason_last()
print_reason_last()
try:
    raise FileNotFoundError("no trained network\\nat model.pt")
except FileNotFoundError as error:
    raise RuntimeError("Failed to instantiate component") from error
"""


def wrapped(error):
    outer = RuntimeError("Failed to instantiate component")
    outer.__cause__ = error
    return outer


def test_uncaught_error_then_traceback_and_reason_as_the_last_line():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[-1] == "error: no trained network at model.pt"
    assert "RuntimeError: Failed to instantiate component" in lines
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (wrapped(wrapped(ValueError("seed: must be a number"))), "seed: must be a number"),
        (wrapped(KeyError("none")), "KeyError: 'none'"),
        (RuntimeError(), "RuntimeError"),
        (
            ValueError(
                "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most "
                "recent call last):\n  File x\nValueError: image.npy: damaged"
            ),
            "ValueError: image.npy: damaged",
        ),
    ],
)
def test_error_of_another_software_then_its_first_cause(error, reason):
    assert reason_of(error) == reason
