"""The cells of a study: one method with one seed, and the steps up to its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scripts.bundle.ids import refuse_unknown_ids
from scripts.preparation.splits import ALL_TEST
from scripts.study.declaration import Study
from scripts.study.further_data import OtherDomain
from scripts.study.methods import Method, domains_of
from scripts.study.procedures import read_derivation
from scripts.study.sample_sources import (
    Source,
    other_domain_task,
    prepared_task,
    test_task,
)
from scripts.study.steps import (
    derived_task,
    evaluation_task,
    merge,
    network_name,
    procedure_task,
    timing_task,
    training_files,
    training_task,
    weights_task,
)
from scripts.study.workshop import Task


@dataclass(frozen=True)
class Cell:
    """One training with one seed and test fold, and its evaluations.

    Args:
        method: the row.
        seed: of split and training.
        fold: the test fold; None for a split with a single test partition.
        training: None for a method that is not trained.
        evaluations: row -> step; several if the rows are stages.
        others: row -> evaluation of the same network on the other domain that it learnt.
        timings: engine -> prediction of the CT that is timed.
    """

    method: Method
    seed: int
    fold: int | None
    training: Task | None
    evaluations: Mapping[str, Task]
    others: Mapping[str, Task] = field(default_factory=dict)
    timings: Mapping[str, Task] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Task, ...]:
        """All evaluations and timings."""
        return (*self.evaluations.values(), *self.others.values(), *self.timings.values())

    @property
    def name(self) -> str:
        """Displayed name."""
        return f"{self.method.name}, {drawn(self.seed, self.fold)}"


def make_cells(study: Study, source: Source) -> list[Cell]:
    """Make all cells and check the configs that they merge; nothing is run.

    They are ordered by seed and fold, so that an interrupted study has all methods for some.

    Raises:
        ValueError: for a setting that is in none of the configs.
    """
    known: set[str] = set()
    draw = (study.seeds[0], next(iter(study.folds), None))
    others = [_cell(study, source, method, draw, known) for method in study.left_out]
    cells = [
        _cell(study, source, method, (seed, fold), known)
        for seed in study.seeds
        for fold in study.folds or (None,)
        for method in study.methods
    ]
    for cell in (*others, *cells):  # the study's settings may be those of rows that are left out
        for task in cell.steps:
            known.update(task.files.get("settings.json", {}))
    settings = {**study.settings, **{k: v for m in study.methods for k, v in m.settings.items()}}
    unread = [name for name in settings if name not in known]
    if unread:
        merged = merge(training_files(study, study.methods[0]))
        refuse_unknown_ids(merged, unread)
        raise ValueError(f"settings: no config of the study has {', '.join(unread)}")
    return cells


def drawn(seed: int, fold: int | None) -> str:
    """Describe the seed and fold of a step.

    Example:
        >>> drawn(0, None), drawn(1, 4)
        ('seed 0', 'seed 1, fold 4')
    """
    return f"seed {seed}" if fold is None else f"seed {seed}, fold {fold}"


def _cell(
    study: Study, source: Source, method: Method, draw: tuple[int, int | None], known: set[str]
) -> Cell:
    """Make the cell of a method with one seed and fold (``draw``)."""
    seed, fold = draw
    trained_on, tested_on = (
        prepared_task(study, source, (label, method.split, seed), fold=fold)
        for label in (method.label, method.tested_label)
    )
    tested = method
    if source.test_data is not None:
        tested_on = test_task(study, source, method.tested_label)
        tested = replace(method, split=ALL_TEST)
    if method.is_procedure:
        known.update(method.settings)
        step = procedure_task(method.network, tested, seed, (tested_on,))
        return Cell(method, seed, fold, None, {method.name: step})
    weights = weights_task(study, source, method, seed, trained_on)
    if study.other_domain is not None and domains_of(method.network):
        other_data = other_domain_task(study.other_domain, source, seed)
        needs = (joined_task(study.other_domain, trained_on, other_data), *weights)
        training = training_task(study, method, seed, needs, known)
        return _of_domains(study, (method, tested), (seed, fold), training, (tested_on, other_data))
    if method.derived is not None:
        trained_on = derived_task(study, method, seed, (trained_on, *weights), known)
        tested_on = trained_on if read_derivation(method.derived).test else tested_on
    training = training_task(study, method, seed, (trained_on, *weights), known)
    if method.evaluated_by is not None:
        step = procedure_task(method.evaluated_by, tested, seed, (tested_on, training))
        return Cell(method, seed, fold, training, {method.name: step})
    stages = stage_names(study, method)
    if not stages:
        evaluation = evaluation_task(study, tested, seed, (training, tested_on), "model.pt")
        timed = _timings(study, source, method, draw, training)
        return Cell(method, seed, fold, training, {method.name: evaluation}, timings=timed)
    several = len(study.methods) > 1
    evaluations = {
        f"{method.name} · {stage}" if several else stage: evaluation_task(
            study, tested, seed, (training, tested_on), f"stages/stage_{number}.pt"
        )
        for number, stage in enumerate(stages, start=1)
    }
    return Cell(method, seed, fold, training, evaluations)


def joined_task(other: OtherDomain, own_data: Task, other_data: Task) -> Task:
    """Make the step that joins the data of both domains."""
    lists = f"{other.own}=<need0>/datalist.json,{other.name}=<need1>/datalist.json"
    words = ("-m", "scripts", "domains", "--domains", lists, "--output", "<out>")
    return Task("joined", f"{other.own} and {other.name}", words, (own_data, other_data))


def _of_domains(
    study: Study,
    methods: tuple[Method, Method],
    draw: tuple[int, int | None],
    training: Task,
    data: tuple[Task, Task],
) -> Cell:
    """Make the cell of a network for several domains, each evaluated by its own bundle.

    Args:
        study: the study.
        methods: the row as trained, and as tested.
        draw: seed and fold.
        training: of the network.
        data: to test on, of the study's domain and of the other one.
    """
    other, (method, tested), (seed, fold) = study.other_domain, methods, draw
    assert other is not None
    alone = replace(tested, data=None)  # its settings are in the model file
    pairs = []
    for domain, bundle, tested_on in zip(
        (other.own, other.name), (study.bundle, other.bundle), data, strict=True
    ):
        words = ["-m", "scripts", "domain_model", "--model", "<need0>/model.pt"]
        words += ["--domain", domain, "--bundle", bundle.folder, "--output", "<out>/model.pt"]
        name = f"{domain} of {network_name(method)} seed {seed}"
        model = Task("models", name, tuple(words), (training,))
        holding = replace(study, bundle=bundle)
        pairs.append(evaluation_task(holding, alone, seed, (model, tested_on), "model.pt"))
    first, second = ({method.name: step} for step in pairs)
    return Cell(method, seed, fold, training, first, second)


def stage_names(study: Study, method: Method) -> list[str]:
    """Return the names of stages that are evaluated separately; none if the rows are methods.

    Raises:
        ValueError: for a strategy that need not come to its last stage.
    """
    if study.rows != "stages":
        return []
    strategy = merge([f"configs/strategies/{method.strategy}.json"])["strategy"]
    if strategy.get("stop_margin") is not None:
        raise ValueError(
            f"rows: {method.name} has the strategy {method.strategy}, which may end before its "
            "last stage, so that the later ones have no weights to evaluate; choose the rows "
            "methods, or another strategy"
        )
    if isinstance(strategy["stages"], list):
        return [str(stage["name"]) for stage in strategy["stages"]]
    from custom_nets.unet import TransferUNet  # slow import, needed by few studies
    from scripts.training.fine_tuning.strategies import superimposed

    encoder = str(method.encoder)
    layers = TransferUNet(encoder, in_channels=3, out_channels=1, weights="none").layer_names
    reverse = bool(strategy["stages"]["reverse"])
    return [str(stage["name"]) for stage in superimposed(layers, reverse=reverse)]


def _timings(
    study: Study, source: Source, method: Method, draw: tuple[int, int | None], training: Task
) -> dict[str, Task]:
    """Make the predictions of the timed CT, by the network of the first seed and fold."""
    if source.timed_ct is None or draw != (study.seeds[0], next(iter(study.folds), None)):
        return {}
    return {
        engine: timing_task(study, method, training, engine, source.timed_ct)
        for engine in study.engines
    }
