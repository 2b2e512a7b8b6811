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


RAISED = """
import scripts.running.options as options
from scripts.running.reasons import print_reason_last
print_reason_last()
try:
    {call}
except Exception as error:
    raise RuntimeError("Failed to instantiate component") from error
"""


@pytest.mark.parametrize(
    ("call", "reason", "with_traceback"),
    [
        ("options.read_truth('resume', 'off')", "resume: must be true, false, yes, no, 1", False),
        ("options.check_choice('split', 3, None)", "TypeError: argument of type 'NoneType'", True),
        ("options.check_whole('n', 5, 1, '2')", "TypeError: '>' not supported between", True),
        ("options.os.listdir('/no/such')", "[Errno 2] No such file or directory", True),
        ("int('x')", "invalid literal for int()", True),
    ],
    ids=["message", "bug", "bug in a number", "of Python", "of a program"],
)
def test_uncaught_error_then_traceback_unless_it_is_a_message_of_ours(call, reason, with_traceback):
    program = [sys.executable, "-c", RAISED.format(call=call)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {reason}")
    assert ("Traceback" in done.stderr) is with_traceback
    assert (len(done.stderr.splitlines()) == 1) is not with_traceback


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
