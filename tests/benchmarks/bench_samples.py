"""How much quicker is one prepared training sample than decoding its volume?

    python tests/benchmarks/bench_samples.py [--slices 200] [--times 100]

Writes made-up 512 x 512 CTs as .mhd with a plain .raw into a temporary folder, one also with a
.zraw, prepares them, and measures in this one process, one thread, files warm in the page cache:
reading either volume with SimpleITK, and one sample (a slice with its two neighbours, label and
lung) with LoadSlicesd. Prints medians and ratios; the figure to reach is 20 against the .raw.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import torch
from made_up_scans import chest, write, write_cohort

from scripts.datasets.datalist import load_datalist
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.cohort import Request, prepare_cohort
from scripts.preparation.prepare_options import SliceOptions


def milliseconds(call: Callable[[], Any], times: int) -> float:
    """Median of so many calls, after one that is not counted."""
    call()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--times", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder / "luna", scans=3, slices=arguments.slices)
        write(folder / "packed.mhd", chest(arguments.slices)[0], compress=True)
        request = Request(Luna16(), folder / "luna", folder / "out", SliceOptions("all"))
        prepare_cohort(request)
        samples = cycle(load_datalist(folder / "out" / "datalist.json", "training"))
        load = LoadSlicesd()
        raw, packed = folder / "luna" / "subset0" / "1.0.mhd", folder / "packed.mhd"
        sample_ms = milliseconds(lambda: load(next(samples)), 10 * arguments.times)
        raw_ms = milliseconds(lambda: sitk.ReadImage(str(raw)), arguments.times)
        packed_ms = milliseconds(lambda: sitk.ReadImage(str(packed)), max(3, arguments.times // 10))
    print(f"one sample (3 x 512 x 512, label, lung): {sample_ms:.2f} ms")
    print(f"one volume of {arguments.slices} slices, .raw : {raw_ms:.0f} ms")
    print(f"one volume of {arguments.slices} slices, .zraw: {packed_ms:.0f} ms")
    print(f"ratio: {raw_ms / sample_ms:.0f} (.raw), {packed_ms / sample_ms:.0f} (.zraw)")


if __name__ == "__main__":
    main()
