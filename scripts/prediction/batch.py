"""Prediction of many studies in parallel, on one or several machines, resumable."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist

from scripts.datasets.candidates import FILE as CANDIDATES
from scripts.datasets.candidates import read_candidates, write_candidates
from scripts.datasets.study_names import hash_of_path
from scripts.prediction.network.segments import check_codes
from scripts.prediction.one_series import model_of, predict_study
from scripts.prediction.overlap import predict_overlapped
from scripts.prediction.predict_options import NODULE, Options
from scripts.prediction.report.studies_page import FILE as INDEX
from scripts.prediction.report.studies_page import write_studies_page
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.inventory import DICOM_SERIES, Inventory, Remark
from scripts.prediction.stopwatch import Stopwatch, seconds_since_start
from scripts.prediction.study_task import (
    FAILED,
    KEPT,
    LEFTOVERS,
    PREDICTED,
    Outcome,
    Task,
    lost_study,
)
from scripts.prediction.writing.manifest import MADE_BY, is_ours, nameless_provenance
from scripts.prediction.writing.products import DICOM
from scripts.running.progress import Progress
from scripts.running.reasons import listed
from scripts.running.workers import work_through
from scripts.storage.files import write_json
from scripts.storage.locks import LOCK, claimed
from scripts.storage.output_folder import writing_into

SUMMARY = "summary.json"
_FOLDERS = 20  # with skipped files of one kind, each on its line
_NAMED = 50  # refused files named on one line
# longest wait of the first process for the last study of the others
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Share:
    """The studies of one process: every ``world``-th, starting at ``rank``."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_torchrun(cls) -> Share:
        """Read torchrun's environment variables; a single process takes all studies."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def is_first(self) -> bool:
        """Whether this process writes the summary."""
        return self.rank == 0


@dataclass(frozen=True)
class Batch:
    """Results of all studies at a path."""

    inventory: Inventory
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> int:
        """Number of studies that failed and of files that were refused."""
        failed = sum(outcome.status == FAILED for outcome in self.outcomes)
        return failed + len(self.inventory.refused)

    def skipped(self) -> Counter[str]:
        """Count the files that are not CTs, by reason."""
        return Counter(remark.reason for remark in self.inventory.skipped)

    def record(self, options: Options) -> dict[str, Any]:
        """Return the summary for JSON, without paths."""
        outcomes = [{k: v for k, v in asdict(o).items() if k != "message"} for o in self.outcomes]
        return {
            "made_by": MADE_BY,
            "counts": {**self.counts(), "refused": len(self.inventory.refused)},
            "files_used": sum(len(source.files) for source in self.inventory.sources),
            "studies": outcomes,
            "skipped": dict(self.skipped()),
            "refused": [remark.reason for remark in self.inventory.refused],
            "provenance": nameless_provenance(options),
        }

    def counts(self) -> dict[str, int]:
        """Count studies by status."""
        times = Counter(outcome.status for outcome in self.outcomes)
        return {status: times[status] for status in (PREDICTED, KEPT, FAILED)}

    def line(self) -> str:
        """Return the counts as one line for the screen."""
        parts = [f"{number} {status}" for status, number in self.counts().items() if number]
        if self.inventory.refused:
            parts.append(f"{len(self.inventory.refused)} refused")
        parts += [f"{number} skipped ({why})" for why, number in self.skipped().items()]
        return ", ".join(parts)


def predict_all(source: Path, output: Path, options: Options, *, jobs: int = 1) -> Batch:
    """Predict every CT at a path into ``output/<study>``, and write ``output/summary.json``.

    Candidates of all studies are written to ``output/candidates.csv``; of several studies
    ``output/index.html`` is a page with links to theirs.

    Under torchrun each process predicts its share and the first writes the summary; each starts
    ``jobs`` worker processes.

    Args:
        source: see :func:`scripts.prediction.sources.ct_sources.find_sources`.
        output: a new or empty folder, or one of an earlier run.
        options: the user's options.
        jobs: number of studies of this process' share that are predicted in parallel.

    Returns:
        The results of all processes.

    Raises:
        ValueError: for a model that does not fit, or a folder with files that predict did not
            write.
        OSError: when the output cannot be written, or another process writes into it.
    """
    share = Share.of_torchrun()
    with _joined(share) as gather, ExitStack() as held:
        watch = Stopwatch({"start": round(seconds_since_start(), 3)})
        with watch.step("list"):
            inventory = find_sources(source, leave_out=output)
        if share.is_first:
            for line in lines_of(inventory):
                print(line, flush=True)
        from_dicom = any(each.kind == DICOM_SERIES for each in inventory.sources)
        with watch.step("start"):
            _check_model(options, jobs, from_dicom=from_dicom, shown=share.is_first)
        if share.is_first:
            held.enter_context(claimed(output))
            refuse_foreign(output)
            clear_unfinished(output)
        gather(None)  # no process starts before the folder is cleared
        threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else 0
        mine = inventory.sources[share.rank :: share.world]
        tasks = [Task(each, output, options, threads, watch.seconds) for each in mine]
        for number, each in enumerate(inventory.sources):
            if jobs > 1 or number % share.world != share.rank:
                each.contents.clear()  # other processes read them
        outcomes = gather(list(_work(tasks, jobs, shown=share.is_first)))
        flat = sorted((o for part in outcomes for o in part), key=lambda o: o.study)
        batch = Batch(inventory, tuple(flat))
        if share.is_first:
            with writing_into(output):
                _join_candidates(output, batch)
                write_json(output / SUMMARY, batch.record(options))
                write_studies_page(
                    output,
                    batch.outcomes,
                    refused=[remark.reason for remark in batch.inventory.refused],
                    skipped=batch.skipped(),
                )
        gather(None)  # a process that ends with an error makes torchrun end the others
    return batch


def lines_of(inventory: Inventory) -> Iterator[str]:
    """List which file has which name, where a name has a hash; and what is not predicted.

    One line per folder and reason, and for each refused file. Only the screen shows paths.
    """
    for source in inventory.sources:
        if any(source.name.endswith(hash_of_path(file.parts)) for file in source.files[:1]):
            yield f"named {source.name}: {source.location}"
    skipped: dict[str, Counter[str]] = defaultdict(Counter)
    for remark in inventory.skipped:
        skipped[remark.reason][remark.folder] += 1
    for reason, folders in skipped.items():
        if len(folders) > _FOLDERS:
            yield f"skipped: in {len(folders)} folders: {folders.total()} files, {reason}"
            continue
        for folder, number in folders.items():
            yield f"skipped: {folder}: {number} files, {reason}"
    refused: dict[tuple[str, str], list[Remark]] = defaultdict(list)
    for remark in inventory.refused:
        refused[remark.folder, remark.reason].append(remark)
    for remarks in refused.values():
        names = [remark.location.rpartition("/")[2] for remark in remarks[1:]]
        also = f" (likewise {listed(names, most=_NAMED)})" if names else ""
        yield f"refused: {remarks[0]}{also}"


def refuse_foreign(
    output: Path, made_by: str = MADE_BY, files: Collection[str] = (SUMMARY, CANDIDATES, INDEX)
) -> None:
    """Refuse an output folder with files that a command did not write.

    Args:
        output: the folder.
        made_by: the command.
        files: names of what it writes besides the studies' folders.

    Raises:
        ValueError: naming the first of them.
    """
    for path in sorted(output.iterdir()):
        ours = path.name in (*files, LOCK) or path.name.startswith(LEFTOVERS)
        if not ours and not is_ours(path, made_by):
            raise ValueError(
                f"output: {output} holds {path.name}, which {made_by.rpartition(' ')[2]} did not "
                "write; give a new folder, or one of an earlier run"
            )


def _join_candidates(output: Path, batch: Batch) -> None:
    """Write the candidates of all studies in one file, which LUNA16's evaluation takes."""
    studies = [outcome.study for outcome in batch.outcomes if outcome.status != FAILED]
    files = [output / study / CANDIDATES for study in studies]
    lists = [read_candidates(file) for file in files if file.is_file()]
    if lists:
        write_candidates(output / CANDIDATES, [one for each in lists for one in each])
    else:
        (output / CANDIDATES).unlink(missing_ok=True)


def clear_unfinished(output: Path) -> None:
    """Remove unfinished folders of a run that was killed."""
    for path in output.iterdir():
        if path.name.startswith(LEFTOVERS):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)


def _check_model(options: Options, jobs: int, *, from_dicom: bool, shown: bool) -> None:
    """Refuse an unusable model before any study is read."""
    model_of.cache_clear()  # a notebook may have trained the network anew since the last call
    model = model_of(options)
    model.check_parts()
    for line in (model.engine.line(), *(f"ckpt_path: {n}" for n in model.notes)) if shown else ():
        print(line, flush=True)
    if from_dicom and set(DICOM) & set(options.products):
        check_codes(model.segments)
    if options.suspicion is not None and all(rule.kind != NODULE for rule in model.segments):
        kinds = ", ".join(rule.kind for rule in model.segments)
        raise ValueError(f"suspicion: needs a bundle that segments nodules, got one for {kinds}")
    if jobs > 1:
        model_of.cache_clear()  # each process has its own


def _work(tasks: Sequence[Task], jobs: int, *, shown: bool) -> Iterator[Outcome]:
    """Predict, with progress and one line for each study that failed."""
    bar = Progress(total=len(tasks), unit="study", desc="predict", disable=not shown)
    with bar:
        outcomes = (
            work_through(predict_study, tasks, jobs, lost=lost_study)
            if jobs > 1 or len(tasks) <= 1 or _has_no_processes()
            else predict_overlapped(tasks)
        )
        for outcome in outcomes:
            bar.update()
            if outcome.message:
                failed = "failed: " if outcome.status == FAILED else ""
                bar.write(f"{failed}{outcome.message}")
            yield outcome


def _has_no_processes() -> bool:
    """Whether this process may start none, as one of a ``multiprocessing.Pool``."""
    return multiprocessing.current_process().daemon


@contextmanager
def _joined(share: Share) -> Iterator[Any]:
    """Yield a function that gathers one object from each process, in the order of their ranks."""
    if share.world == 1:
        yield lambda mine: [mine]
        return

    def gather(mine: Any) -> list[Any]:
        gathered: list[Any] = [None] * share.world
        dist.all_gather_object(gathered, mine)
        return gathered

    # Gloo also with GPUs: only the outcomes of the studies are exchanged
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield gather
    finally:
        dist.destroy_process_group()
