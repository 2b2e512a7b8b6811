"""``python -m scripts evaluate``: a trained model on further scans, all of them as test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.bundle.compose import compose
from scripts.bundle.config_files import files_below
from scripts.bundle.launch import run_monai
from scripts.bundle.model_file import ModelFile, read_model
from scripts.bundle.recipe import Recipe
from scripts.datasets.known import data_set_class
from scripts.preparation.prepare_command import prepare as prepare_scans
from scripts.preparation.splits import ALL_TEST
from scripts.release.headline import headline
from scripts.release.trained_model import Preparation, bundle_of, model_file, preparation_of
from scripts.storage.files import read_json
from scripts.storage.output_folder import claim_output


def evaluate(
    model: str,
    source: str,
    output: str,
    *,
    bundle: str | None = None,
    data_set: str | None = None,
    config_file: str | Sequence[str] = (),
    prepare: Mapping[str, Any] | None = None,
    outlines: str | None = None,
    masks: str | None = None,
    jobs: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Evaluate a trained model on annotated scans that it has not seen, all of them as test set.

    The scans are prepared as those of its training were (label, slices, readers, names of
    segments), with window, masking and, where the source has none, class names from the model file,
    and evaluated by its bundle. Cases that it was trained on or selected by are counted, by their
    hashed ids. Writes OUTPUT/summary.json, tables and pictures, and OUTPUT/prepared. The same
    command resumes an interrupted run.

    Args:
        model: model.pt, the folder of a training, or a package (folder or zip, of which only the
            weights are read).
        source: folder of the scans, in the layout that ``prepare DATA_SET`` reads.
        output: folder to write.
        bundle: folder of the bundle; by default the one in bundles/ with the model's classes.
        data_set: data set of the source, a name of ``prepare``; by default that of the training.
        config_file: files of configs/data that the training used, if any; and of
            configs/postprocessing.
        prepare: a dictionary like "{'slices':'all'}", the options of ``prepare`` that differ from
            those of the training.
        outlines: the readers' outlines, as for ``prepare``, for labels of kind readers.
        masks: folder of instance masks, for labels of kind masks.
        jobs: scans prepared in parallel.
        seed: seed of the bootstrap, and of the draw of slices without a nodule.
        overwrite: replace the evaluation of another model or of other scans in the output.

    Raises:
        ValueError: for an option that does not fit the model or the scans.
        OSError: when the model or the source does not exist, or the output cannot be written.
        SystemExit: 1 when some scans could not be used; the others are evaluated.
    """
    folder = Path(str(output))
    claim_output(folder)
    trained = read_model(model_file(Path(str(model)), folder))
    chosen = bundle_of(trained, bundle)
    how = preparation_of(trained, chosen, data_set)
    files = (config_file,) if isinstance(config_file, str) else tuple(config_file)
    recipe = Recipe(chosen.as_posix(), files)
    own = _own_options(prepare)
    given = {"outlines": outlines, "masks": masks, "jobs": jobs}
    named = {k: v for k, v in _named(trained, how.data_set, source).items() if k not in own}
    options = {
        **how.options,
        **named,
        "volumes": _reads_volumes(recipe),
        "seed": seed,
        **own,
        **{name: value for name, value in given.items() if value is not None},
        "split": ALL_TEST,
    }
    print(f"bundle: {chosen}, data set: {how.data_set}")
    names = [f"{k} {v}, as {trained.path} has them" for k, v in named.items()]
    for line in (*how.assumed, *names):
        print(f"assumed: {line}")
    complete = _prepared(how, source, folder / "prepared", options)
    _run(recipe, trained, folder, seed=seed, overwrite=overwrite)
    _show(read_json(folder / "summary.json"), how)
    if not complete:
        print(f"some scans could not be used: {folder / 'prepared' / 'report.csv'}")
        raise SystemExit(1)


def _named(trained: ModelFile, data_set: str, source: str) -> Mapping[str, Any]:
    """Return the options by which a source without class names has those of the model."""
    names = (trained.settings or {}).get("class_names")
    return data_set_class(data_set).options_for(Path(str(source)), names) if names else {}


def _own_options(prepare: object) -> Mapping[str, Any]:
    """Check the further options of ``prepare``.

    Raises:
        ValueError: for anything but a dictionary, or options that this command sets.
    """
    options = {} if prepare is None else prepare
    if not isinstance(options, Mapping):
        raise ValueError(f"prepare: must be a dictionary like {{'slices':'all'}}, got {prepare!r}")
    for name in ("source", "output", "split"):
        if name in options:
            raise ValueError(f"prepare: {name} is set by evaluate; leave it out")
    return options


def _reads_volumes(recipe: Recipe) -> bool:
    """Whether the evaluation reads whole volumes instead of prepared slices."""
    files = [f"{recipe.bundle}/configs/evaluate.json", *recipe.overlays]
    return bool(compose(files, files_below()).complete().get("samples_prefix"))


def _prepared(how: Preparation, source: str, folder: Path, options: Mapping[str, Any]) -> bool:
    """Prepare the scans; return whether all of them could be used without an assumption."""
    try:
        prepare_scans(how.data_set, source=source, output=str(folder), **options)
    except SystemExit:
        return False
    return True


def _run(recipe: Recipe, trained: ModelFile, folder: Path, *, seed: int, overwrite: bool) -> None:
    command = recipe.command(
        "evaluating",
        "evaluate",
        bundle_root=recipe.bundle,
        ckpt_path=trained.path,
        dataset_dir=folder / "prepared",
        output_dir=folder,
        seed=seed,
        overwrite=str(overwrite).lower(),
    )
    run_monai(command[2:])


def _show(summary: Mapping[str, Any], how: Preparation) -> None:
    case = "crop" if data_set_class(how.data_set).cut_out else "scan"
    print("\n".join(["", *headline(summary, case=case)]))
    for line in (*summary["warnings"], *summary["remarks"], *_unknown(summary["cases"])):
        print(f"note: {line}")
    known = summary["cases"]
    if known["of_training"] == known["of_validation"] == 0:
        print(f"none of the {known['evaluated']} {case}s was used for training or validation")


def _unknown(cases: Mapping[str, Any]) -> list[str]:
    """Say what cannot be checked, as the model file does not record it."""
    uses = {"of_training": "trained on", "of_validation": "selected by (validation)"}
    return [
        f"the model file does not say which scans the network was {use}"
        for name, use in uses.items()
        if cases[name] is None
    ]
