"""Execution of a study's cells in sequence, or of this process' share of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import torch.distributed as dist

from scripts.study.cells import Cell
from scripts.study.workshop import TaskError, Workshop

LONGEST_WAIT = timedelta(days=30)  # for the slowest process of a study, at its end


def share_of(cells: Sequence[Cell]) -> list[Cell]:
    """Return this process' share of the cells if torchrun started several processes."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return list(cells[rank::size])


def wait_for_all() -> None:
    """Wait for the other processes, as torchrun would end them when one fails."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    dist.init_process_group("gloo", timeout=LONGEST_WAIT)
    dist.barrier()
    dist.destroy_process_group()


def run_cells(cells: Sequence[Cell], workshop: Workshop, report: Callable[[], None]) -> None:
    """Run cells; a cell that fails is reported, and the next one begins.

    Args:
        cells: to run; finished steps are skipped.
        workshop: of their steps.
        report: called after each cell that was run.

    Raises:
        OutputError: when the report, or the folder of a step, cannot be written.
    """
    todo = [cell for cell in cells if not is_done(cell, workshop)]
    print(f"{len(cells)} cells, {len(cells) - len(todo)} of them already done", flush=True)
    started = time.perf_counter()
    for number, cell in enumerate(todo):
        passed = time.perf_counter() - started
        print(
            f"{number + 1}/{len(todo)} {cell.name}{time_left(passed, number, len(todo))}",
            flush=True,
        )
        try:
            run_cell(cell, workshop)
        except TaskError as error:
            print(f"  FAILED, the study continues: {error}", flush=True)
        report()


def run_cell(cell: Cell, workshop: Workshop) -> None:
    """Run all steps of a cell.

    Raises:
        TaskError: when one fails.
        OutputError: when its folder cannot be written.
    """
    if cell.training is not None:
        workshop.do(cell.training)
    for evaluation in cell.steps:
        workshop.do(evaluation)


def is_done(cell: Cell, workshop: Workshop) -> bool:
    """Whether all evaluations of a cell are finished."""
    return all(workshop.record(task) is not None for task in cell.steps)


def failure_of(cell: Cell, workshop: Workshop) -> str | None:
    """Return why a cell is not finished; None if it is."""
    missing = [task for task in cell.steps if workshop.record(task) is None]
    if not missing:
        return None
    return workshop.failure(missing[0]) or "not run yet"


def time_left(passed: float, done: int, total: int) -> str:
    """Estimate the remaining time from the cells of this run.

    Example:
        >>> time_left(600, 5, 15), time_left(0, 0, 15)
        (', about 20 min left', '')
    """
    if not done:
        return ""
    minutes = passed / done * (total - done) / 60
    return (
        f", about {minutes:.0f} min left" if minutes < 120 else f", about {minutes / 60:.1f} h left"
    )
