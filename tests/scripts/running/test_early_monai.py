"""MONAI before everything else: without modules that a worker does not use."""

import subprocess
import sys

from tests.scripts.running.test_late_imports import FOREIGN

PROGRAM = f"""
import sys
import scripts.running.early_monai
import scripts.preparation.cases
print("monai" in sys.modules, [name for name in {FOREIGN[:4]} if name in sys.modules])
"""


def test_early_monai_then_a_later_module_needs_nothing_slow():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert ran.stdout.strip() == "True []", ran.stdout + ran.stderr
