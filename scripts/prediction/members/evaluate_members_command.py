"""``python -m scripts evaluate members``: what the agreement of members says of their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts.datasets.datalist import load_datalist, read_datalist
from scripts.evaluation.kinds import Instances, kind_of
from scripts.evaluation.report import EvaluationReport
from scripts.packaging.new_bundle import SHIPPED
from scripts.prediction.annotated_volume import add_volume, annotation_of, classes_in_lps
from scripts.prediction.members.agreed_cases import (
    AgreedCase,
    AgreedCases,
    dice_of_case,
    evidence_of,
)
from scripts.prediction.members.agreement import AGREEMENT
from scripts.prediction.members.held_out import held_out_cases
from scripts.prediction.members.limit import FILE, AgreementLimit
from scripts.prediction.network.engines import check_engine
from scripts.prediction.network.model import Model
from scripts.prediction.network.packed_bundle import unpacked_bundle
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import (
    Options,
    check_file,
    check_files,
    check_flips,
    check_threshold,
)
from scripts.running.options import check_choice, check_device, read_truth
from scripts.running.progress import Progress
from scripts.running.reasons import first_cause
from scripts.storage.files import sha256_of
from scripts.storage.locks import claimed

VALIDATION, TEST = "validation", "test"
SHARE = 0.05  # of usual scans that may be flagged


def evaluate_members(
    datalist: str,
    output: str,
    *,
    ckpt_path: str,
    section: str = TEST,
    bundle: str | None = None,
    config_file: str | None = None,
    flips: str | None = None,
    threshold: float | None = None,
    agreement: str | None = None,
    flagged_share: float = SHARE,
    device: str | None = None,
    engine: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Compare the agreement of several networks, or flips, with the Dice of each annotated scan.

    Scans are predicted whole, as `predict` does. Writes the usual report of the mean of the
    members, agreement.csv and risk_coverage.png. Of the section validation it also writes
    agreement.json: the limit below which `predict --agreement` warns of a scan. Scans that a member
    was trained on, or has in its test set, are left out of that.

    Args:
        datalist: ``datalist.json`` with volumes, as ``prepare --volumes true`` writes it.
        output: folder to write into.
        ckpt_path: files of trained weights, separated by commas.
        section: test, or validation, which calibrates the limit.
        bundle: the bundle's folder, or a zip of `package`; by default that for nodules, or that
            for organs.
        config_file: overlays of its inference.json, separated by commas.
        flips: x, y or x,y: flips as members, as for predict.
        threshold: least probability of a segmented voxel; by default that of the training.
        agreement: of the section test, an agreement.json to try.
        flagged_share: share of usual scans that may be flagged, above 0 and below 1.
        device: cpu, cuda:0 ...; by default that of the config.
        engine: as for predict.
        seed: of the bootstrap for the intervals.
        overwrite: replace another evaluation in the output.

    Raises:
        ValueError: for an invalid option, another evaluation in the output, a single network
            without flips, or a calibration without scans that all members have left out of their
            training.
        FileNotFoundError: when a file does not exist.
        SystemExit: 1 when a scan could not be predicted; the others are evaluated.
    """
    section = str(section).removeprefix("volumes/")
    check_choice("section", section, (TEST, VALIDATION))
    share = check_threshold(flagged_share, "flagged_share") or SHARE
    content = read_datalist(Path(datalist))
    kind = str(content.get("kind"))
    check_choice(f"{datalist}: kind", kind, SHIPPED)
    limit_file = check_file("agreement", agreement)
    if limit_file and section == VALIDATION:
        raise ValueError("agreement: the section validation calibrates a new limit; leave it out")
    options = Options(
        bundle=Path(str(bundle or SHIPPED[kind])),
        config_files=check_files("config_file", config_file),
        checkpoints=check_files("ckpt_path", ckpt_path),
        flips=check_flips(flips),
        threshold=check_threshold(threshold),
        device=check_device(device),
        engine=check_engine(engine),
        agreement=Path(limit_file) if limit_file else None,
    )
    with unpacked_bundle(options.bundle) as folder:
        model = _checked_model(replace(options, bundle=folder))
        cases = _cases(model, datalist, section, content)
        report = EvaluationReport(
            cases,
            output,
            kind=kind_of(content),
            datalist=datalist,
            section=f"volumes/{section}",
            seed=seed,
            model=model.checkpoint_files,
            method=_settings(options, share),
            overwrite=read_truth("overwrite", overwrite),
        )
        with claimed(Path(output)):
            report.check_output()
            agreed = _predicted(model, report)
            new = _calibrated(agreed, share, model) if section == VALIDATION else None
            found = _written(report, model, AgreedCases(agreed, new or model.agreement_limit, seed))
            if new is not None:
                new.write(Path(output) / FILE, evidence_of(found, report.described))
    print(f"written to {output}")
    if len(agreed) < len(cases):
        raise SystemExit(1)


def _checked_model(options: Options) -> Model:
    """Load all members.

    Raises:
        ValueError: for a single one, or files that do not belong together.
    """
    model = Model(options)
    if model.passes == 1:
        raise ValueError(
            "ckpt_path: a single network has no other to agree with; name several files, or add "
            "--flips x"
        )
    model.check_parts()
    for line in (model.engine.line(), *(f"ckpt_path: {note}" for note in model.notes)):
        print(line)
    return model


def _cases(
    model: Model, datalist: str, section: str, content: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """List the scans of a section; of the validation those that no member knows, and why."""
    cases = load_datalist(datalist, f"volumes/{section}")
    if section == VALIDATION:
        cases, left_out = held_out_cases(cases, model.trained_on, content)
        for line in left_out:
            print(line)
    return cases


def _settings(options: Options, share: float) -> dict[str, Any]:
    """Return what the result depends on besides the weights, by the names of the options."""
    return {
        "config_files": options.config_files,
        "flips": options.flips,
        "threshold": options.threshold,
        "flagged_share": share,
        "agreement": sha256_of(options.agreement) if options.agreement else None,
    }


def _predicted(model: Model, report: EvaluationReport) -> list[AgreedCase]:
    """Predict every case for the report; those that cannot be are named on the screen.

    Raises:
        ValueError: when none has a result and an annotation.
    """
    names = ["background", *(rule.kind for rule in model.segments)]
    agreed = [
        case
        for entry in Progress(report.collection.cases, desc="members", unit="scan")
        if (case := _predicted_case(model, report, entry, names)) is not None
    ]
    if all(np.isnan(one.dice) for one in agreed):
        section = report.section.removeprefix("volumes/")
        raise ValueError(f"{report.datalist}: no scan of {section} has a result and an annotation")
    return agreed


def _predicted_case(
    model: Model, report: EvaluationReport, case: Mapping[str, Any], names: Sequence[str]
) -> AgreedCase | None:
    uid, facts = str(case["series_uid"]), dict[str, Any]()
    try:
        prediction = predict_volume(model, Path(case["image"]), study="members", facts=facts)
        labels, affine = annotation_of(case)
        classes = classes_in_lps(prediction, names)
        add_volume(report.collection, case, classes, labels, affine)
    except (ValueError, OSError) as error:  # an error in one CT must not stop the others
        Progress.write(f"failed: {uid}: {first_cause(error)}")
        return None
    lesions = report.kind.label_kind == Instances.label_kind
    known = None if lesions else [bool(value) for value in case["class_known"]]
    dice, value = dice_of_case(classes, labels, known), facts[AGREEMENT]["mean_pairwise_dice"]
    return AgreedCase(uid, str(case["patient_id"]), dice, value)


def _written(report: EvaluationReport, model: Model, found: AgreedCases) -> AgreedCases:
    """Write the report with the agreement of the members, and print its figures."""
    evaluation = found.added_to(report.evaluate(report.collection.series()), model.members)
    report.write(evaluation)
    print("\n".join([evaluation.shown, *found.lines()]))
    return found


def _calibrated(agreed: Sequence[AgreedCase], share: float, model: Model) -> AgreementLimit:
    """Return the limit of these scans."""
    values, patients = [one.agreement for one in agreed], [one.patient for one in agreed]
    return AgreementLimit.calibrated(values, patients, share, model.members_identity)
