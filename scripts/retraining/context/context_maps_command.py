"""``python -m scripts context_maps``: a prepared data set with an earlier network's maps as input.

Source: auto-context: Tu and Bai, IEEE Transactions on Pattern Analysis and Machine Intelligence
32(10), 2010; of VoxResNet: Chen, Dou, Yu, Qin, Heng, NeuroImage 170, 2018; repeated, as refinement
of the result: Chen, Zheng, Park, Heng, Zhou, MICCAI 2016. That the maps of training patients come
from networks that were not trained on them (stacked generalization: Wolpert, Neural Networks 5,
1992) is our choice: a network's maps of its own training patients are better than those of any
other patient, and a second network would learn to copy them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.bundle.overlays import check_files
from scripts.bundle.recipe import Recipe
from scripts.datasets.datalist import absolute, read_datalist
from scripts.datasets.stored_slices import CONTEXT
from scripts.retraining.context.rounds import DATALIST, Round, run_round
from scripts.running.options import check_whole, read_words
from scripts.storage.files import write_json
from scripts.storage.locks import claimed
from scripts.study.workshop import Workshop

PREDICTION, EARLIER = "prediction.json", "earlier_models"


def context_maps(
    datalist: str,
    output: str,
    *,
    bundle: str,
    config_file: str | Sequence[str] = (),
    context_config: str | Sequence[str] = (),
    context_folds: int = 2,
    rounds: int = 1,
    seed: int = 0,
) -> None:
    """Add the probability maps of an earlier network to prepared data, for a second network.

    Trains the network of a bundle on prepared data several times: once for each fold of the
    training patients, without that fold, and once on all of them. The maps of a training patient
    come from the network that was not trained on it; those of validation and test from the one
    trained on all. Writes OUTPUT/datalist.json, the prepared data with these maps, which the files
    configs/data/*_context.json read as further channels of the input, and OUTPUT/prediction.json, a
    config file that names the networks of all patients, for ``predict``. With more rounds such
    networks are trained in turn, each on the maps of the round before. The same command resumes
    an interrupted run.

    Args:
        datalist: datalist.json, as ``prepare`` writes it.
        output: folder to write.
        bundle: folder of the bundle.
        config_file: files that are laid over its train.json: network, data, strategy, settings.
        context_config: file of configs/data for the networks of further rounds, which read maps.
        context_folds: folds of the training patients.
        rounds: how often networks are trained and their maps handed on.
        seed: of folds and trainings.

    Raises:
        ValueError: for an option that does not fit, or a datalist without enough patients.
        OSError: when the datalist does not exist or the output cannot be written.
        SystemExit: 1 when a training fails.
    """
    check_whole("context_folds", context_folds, 2)
    check_whole("rounds", rounds, 1)
    source, folder = Path(datalist).resolve(), Path(output).resolve()
    if source == folder / DATALIST:
        raise ValueError(f"output: {output} holds the datalist itself; choose another folder")
    files = read_words("config_file", config_file)
    further = read_words("context_config", context_config)
    if rounds > 1 and not further:
        raise ValueError(
            "context_config: networks of the second round read maps; name a file of "
            "configs/data/*_context.json, or set rounds to 1"
        )
    if rounds == 1 and further:
        raise ValueError(
            f"context_config: is for the networks of further rounds, got {', '.join(further)} with "
            "rounds 1; set rounds to 2 or more, or leave it out"
        )
    content = absolute(read_datalist(source), source.parent)
    for number in range(1, 3 if further else 2):  # before anything is trained
        check_files([f"{bundle}/configs/train.json", *_ordered(files, further, number)])
    with claimed(folder):
        for number in range(1, rounds + 1):
            recipe = Recipe(Path(bundle).as_posix(), _ordered(files, further, number))
            one = Round(number, recipe, folder / f"round{number}", seed, context_folds)
            content = run_round(one, content, Workshop(folder / "work"))
        models = [each["models"]["all"] for each in content[CONTEXT]]
        write_json(folder / PREDICTION, {EARLIER: models})
        write_json(folder / DATALIST, content)
    print(f"{rounds} round(s), {context_folds} folds; written to {folder / DATALIST}")


def _ordered(files: Sequence[str], further: Sequence[str], number: int) -> tuple[str, ...]:
    """Return the files of a round; those of further rounds come before files with settings.

    A file of settings alone, as the last one of a study, must win over every other one.
    """
    if number == 1:
        return tuple(files)
    last = [i for i, file in enumerate(files) if file.startswith(("configs/", "bundles/"))]
    place = last[-1] + 1 if last else 0
    return (*files[:place], *further, *files[place:])
