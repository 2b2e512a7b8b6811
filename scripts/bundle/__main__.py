"""``python -m scripts.bundle run``: as ``python -m monai.bundle run``, with a quicker start."""

from __future__ import annotations

import sys

from scripts.running.late_imports import late_imports

if __name__ == "__main__":
    with late_imports():  # a third of the time until a workflow begins
        from scripts.bundle.launch import run_monai
    run_monai(sys.argv[1:])
