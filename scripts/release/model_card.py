"""The model card of a release, in the headings of MONAI's model zoo, from records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.datasets.shares import PARTITIONS
from scripts.evaluation.figures.summary import NODULE_HEADLINES
from scripts.release.evidence import Evidence
from scripts.release.headline import PER_CLASS, cpm_of, groups, headline, with_interval
from scripts.release.wording import (
    UNRECORDED,
    input_of,
    label_of,
    network_of,
    split_of,
    start_of,
    title_of,
)

Rows = Iterable[Sequence[object]]


def model_card(
    name: str, metadata: Mapping[str, Any], evidence: Evidence, *, weights: str, usage: str
) -> str:
    """Return the text of ``docs/README.md``.

    Args:
        name: of the bundle.
        metadata: of the release.
        evidence: records of training and evaluation.
        weights: description of the location of the weights.
        usage: how the package is run.
    """
    sections = {
        "Model Description": _description(metadata, evidence, weights),
        "Data": _data(metadata, evidence),
        "Performance": _performance(evidence),
        "Additional Usage Steps": [usage.strip()],
        "System Configuration": _system(metadata, evidence),
        "Limitations": _limitations(metadata, evidence),
        "Citation Info": _citation(name, metadata, evidence),
        "References": [f"- {reference}" for reference in metadata.get("references", ())],
        "License": ["See `LICENSE`; data sets and published weights: `docs/data_license.txt`."],
    }
    head = [f"# {metadata['name']}", "", f"### Authors\n{metadata['authors']}"]
    text = [*head, *(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())]
    return "\n\n".join(part for part in text if part) + "\n"


def eval_metrics(evidence: Evidence) -> dict[str, Any]:
    """Return the entry ``eval_metrics`` of the metadata: figures, intervals and their basis."""
    figures, counts = evidence.summary["figures"], evidence.summary["counts"]
    metrics: dict[str, Any] = {}
    for key in _main_figures(figures):
        metrics[key] = figures[key]["value"]
        metrics[f"{key}_interval_95"] = figures[key]["interval_95"]
    if (cpm := cpm_of(evidence.summary)) is not None:
        metrics |= {"cpm": cpm["value"], "cpm_interval_95": cpm["interval_95"]}
    return {**metrics, "test_patients": counts["patients"], "test_cases": counts["series"]}


def description_of(metadata: Mapping[str, Any], evidence: Evidence) -> str:
    """Describe network and training in one sentence, for card and metadata."""
    strategy = evidence.model.record.get("strategy", {}).get("name", UNRECORDED)
    return (
        f"{metadata['task']}: {network_of(evidence.settings)}, trained with the strategy "
        f"{strategy} from {start_of(evidence.config)}, on {title_of(_trained_on(evidence))}."
    )


def _trained_on(evidence: Evidence) -> str | None:
    return evidence.data.get("data_set", {}).get("name") or evidence.tested_on


def _main_figures(figures: Mapping[str, Any]) -> list[str]:
    """Return the names of the figures that a model is quoted by."""
    if "dice_per_nodule_mean" in figures:
        return [key for key in NODULE_HEADLINES if key in figures]
    return [key for key in figures if PER_CLASS.fullmatch(key)]


def _description(metadata: Mapping[str, Any], evidence: Evidence, weights: str) -> list[str]:
    record, classes = evidence.model.record, evidence.settings.get("class_names")
    stages = record.get("strategy", {}).get("stages", ())
    kept = f"{record.get('stage', UNRECORDED)}, epoch {record.get('epoch', UNRECORDED)}"
    return [
        description_of(metadata, evidence),
        "",
        *_list(
            {
                "Classes": ", ".join(map(str, classes)) if classes else UNRECORDED,
                "Input": "; ".join(input_of(evidence.settings)),
                "Stages of the training": "; ".join(_stage(each) for each in stages) or UNRECORDED,
                "Weights kept": f"{kept}, the best validation ({_validation(record)})",
                "Weights": weights,
                "SHA-256 of the evaluated file": f"`{evidence.sha256}` (the packaged file has the "
                "same weights without the state of the training)",
            }
        ),
    ]


def _stage(stage: Mapping[str, Any]) -> str:
    return f"{stage.get('name')} ({stage.get('epochs')} epochs)"


def _validation(record: Mapping[str, Any]) -> str:
    value = record.get("value")
    return f"{record.get('metric')} {value:.4f}" if isinstance(value, float) else UNRECORDED


def _data(metadata: Mapping[str, Any], evidence: Evidence) -> list[str]:
    data, tested = evidence.data, evidence.summary["data"]
    options = data.get("data_set", {})
    trained_on = _trained_on(evidence)
    counts = evidence.summary["counts"]
    rows = [
        (part, *(_count(data, part, key) for key in ("patients", "cases", "samples")))
        for part in PARTITIONS
    ]
    rows.append(("evaluated", counts["patients"], counts["series"], counts["slices"]))
    readers = options.get("min_readers", tested.get("min_readers"))
    same = evidence.tested_on == trained_on
    return [
        *_list(
            {
                "Data set": metadata["data_source"],
                "Reference label of the training": label_of(data.get("labels"), readers),
                "Split": split_of(data.get("split"), trained_on),
                "Pixels of the training": _range(data.get("pixel_mm")),
                "Slice distance of the training": _range(data.get("slice_mm")),
            }
        ),
        "",
        *_table(("partition", "patients", f"{evidence.case}s", "slices"), rows),
        "",
        f"Evaluated: {_test_set(evidence)}"
        + ("" if same else f", of another data set ({title_of(evidence.tested_on)})")
        + f". Reference label: {label_of(tested.get('label_kinds'), tested.get('min_readers'))}. "
        f"{tested.get('scans_left_out', 0)} {evidence.case}s of the source could not be used.",
        "",
        "The ids of the cases of each partition are in `models/model.pt` and `docs/evidence.json` "
        "as salted hashes: evaluation and prediction say when a case is among them.",
        "",
        "#### Preprocessing",
        "; ".join(input_of(evidence.settings)) + ".",
    ]


def _count(data: Mapping[str, Any], partition: str, key: str) -> object:
    """Return a number of a partition; older files have only those of the training."""
    known = data.get("partitions", {}).get(partition)
    return UNRECORDED if known is None else known[key]


def _range(ends: Any) -> str:
    shown = " to ".join(dict.fromkeys(f"{end:g}" for end in ends or ()))
    return f"{shown} mm" if shown else UNRECORDED


def _test_set(evidence: Evidence) -> str:
    """Say which test set was evaluated."""
    cases = evidence.summary["cases"]
    if evidence.is_external:
        return f"{cases['evaluated']} cases that were in no partition of the training"
    part = f"a part of the test set ({evidence.missing} cases are missing)"
    whole = part if evidence.missing else "the whole test set that was set aside at training"
    others = cases["evaluated"] - cases["of_test"]
    return whole + (f" and {others} cases that were in no partition" if others else "")


def _performance(evidence: Evidence) -> list[str]:
    figures, summary = evidence.summary["figures"], evidence.summary
    rows = [
        (f"`{key}`", with_interval(figures[key]), figures[key]["n"], figures[key]["patients"])
        for key in _main_figures(figures)
    ]
    lines = [f"**{line}**  " for line in headline(summary, case=evidence.case)]
    lines += ["", *_table(("figure", "value", "cases", "patients"), rows)]
    if found := groups(figures):
        lines += ["", "By size and kind of nodule:", "", *_by_group(figures, found)]
    definitions = [f"- {key}: {text}" for key, text in summary.get("definitions", {}).items()]
    return [*lines, "", "#### Definitions", "", *definitions]


def _by_group(figures: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    rows = []
    for name in names:
        dice = figures[f"dice_per_nodule_{name}_mean"]
        detected = figures.get(f"nodules_detected_share_{name}")
        hits = UNRECORDED if detected is None else with_interval(detected)
        rows.append((name.replace("_", " "), dice["n"], with_interval(dice), hits))
    return _table(("nodules", "number", "Dice per nodule", "detected"), rows)


def _system(metadata: Mapping[str, Any], evidence: Evidence) -> list[str]:
    training = evidence.training
    cpu, git = training.get("cpu", {}), training.get("git", {})
    seconds = sum(float(row.get("seconds") or 0) for row in evidence.stages)
    epochs = sum(int(row.get("epochs") or 0) for row in evidence.stages)
    packaged = {key: metadata[f"{key}_version"] for key in ("monai", "pytorch", "numpy")}
    hours = f"{seconds / 3600:.2f} hours, {epochs} epochs"
    return _list(
        {
            "Training": hours if evidence.stages else UNRECORDED,
            "Device": training.get("device", UNRECORDED),
            "Processor": f"{cpu.get('model', UNRECORDED)}, {cpu.get('threads', '?')} threads",
            "Processes": training.get("processes", UNRECORDED),
            "Seed": training.get("seed", UNRECORDED),
            "Batch size": evidence.config.get("batch_size", UNRECORDED),
            "Learning rate": evidence.config.get("learning_rate", UNRECORDED),
            "Patch": evidence.config.get("patch_size", UNRECORDED),
            "Versions of the training": _versions(training.get("versions", {})),
            "Versions of the package": _versions(packaged),
            "Software": f"revision {git.get('revision') or UNRECORDED}"
            + (", with local changes" if git.get("dirty") else ""),
        }
    )


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in versions.items()) or UNRECORDED


def _limitations(metadata: Mapping[str, Any], evidence: Evidence) -> list[str]:
    summary = evidence.summary
    counts = summary["counts"]
    lines = [
        metadata.get("intended_use") or "Research only. Not for diagnosis.",
        f"The figures are of {counts['patients']} patients; the intervals say how much they would "
        "vary over patients of the same kind, not over other hospitals and scanners.",
    ]
    if evidence.case == "crop":
        lines.append(
            "The evaluated crops are cut out around lesions: detections and false positives in "
            "them say nothing about those in whole scans."
        )
    if summary["data"].get("only_sampled_slices"):
        lines.append("Volumes were evaluated on chosen slices only.")
    if isinstance(kind := evidence.data.get("split"), Mapping):
        described = split_of(kind, _trained_on(evidence))
        lines += [described] if "LEAK" in described else []
    said = [*summary["warnings"], *summary["remarks"]]
    notes = [f"Note of the evaluation: {note}." for note in said]
    return [f"- {line}" for line in (*lines, *notes)]


def _citation(name: str, metadata: Mapping[str, Any], evidence: Evidence) -> list[str]:
    return [
        f"{metadata['authors']}: {metadata['name']}. MONAI bundle `{name}`, version "
        f"{metadata['version']}, weights sha256 `{evidence.sha256[:16]}`. Please also cite the "
        "data sets and the methods below."
    ]


def _list(entries: Mapping[str, object]) -> list[str]:
    return [f"- **{key}**: {value}" for key, value in entries.items()]


def _table(head: Sequence[str], rows: Rows) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, line)) + " |" for line in lines]
