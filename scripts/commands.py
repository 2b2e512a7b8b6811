"""The commands of ``python -m scripts``: names, functions and summaries.

No command is imported here, as importing torch and MONAI takes seconds. Help and option names are
read from the source files of the commands.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scripts.datasets.known import KNOWN


class Command(NamedTuple):
    """One command.

    Args:
        target: its function, as ``module:function``.
        summary: one line for the list of commands.
    """

    target: str
    summary: str

    @property
    def module(self) -> str:
        """The module of the function.

        >>> COMMANDS["predict",].module
        'scripts.prediction.predict_command'
        """
        return self.target.partition(":")[0]


EVERY: dict[tuple[str, ...], Command] = {
    ("phantom", "luna16"): Command(
        "scripts.phantom.chest.luna16:make_cohort",
        "make synthetic chest CTs with nodules, in the format of LUNA16",
    ),
    ("phantom", "ircadb"): Command(
        "scripts.phantom.abdomen.ircadb:make_cohort",
        "make synthetic abdominal CTs, in the format of 3D-IRCADb-01",
    ),
    **{
        ("prepare", name): Command("scripts.preparation.prepare_command:prepare", known.summary)
        for name, known in KNOWN.items()
    },
    ("candidates",): Command(
        "scripts.preparation.candidates_command:candidates",
        "cut crops of a network's candidates, to train a second stage on",
    ),
    ("domains",): Command(
        "scripts.preparation.domain_lists:join_domains",
        "join prepared data sets for one network with a head for each",
    ),
    ("shuffle_labels",): Command(
        "scripts.preparation.shuffled_labels:shuffle_labels",
        "give training images the labels of other patients: a control, which must fail",
    ),
    ("run",): Command(
        "scripts.audit.run_command:run_bundle",
        "run a workflow of a bundle with MONAI, after checking the overrides",
    ),
    ("predict",): Command(
        "scripts.prediction.predict_command:predict",
        "segment CTs: NIfTI mask, DICOM SEG, RTSTRUCT, measurements, HTML report",
    ),
    ("info",): Command(
        "scripts.prediction.info_command:info",
        "say what this program or a bundle is: labels, products, options, versions",
    ),
    ("adapt",): Command(
        "scripts.retraining.adapt.adapt_command:adapt",
        "segment a CT with a network that is adapted to it by one hand-drawn slice",
    ),
    ("adapt", "evaluate"): Command(
        "scripts.retraining.adapt.adapt_evaluate_command:evaluate_adaptation",
        "evaluate the adaptation by one annotated slice on the volumes of a datalist",
    ),
    ("froc",): Command(
        "scripts.evaluation.froc_command:froc",
        "score candidates by the rules of LUNA16: FROC, CPM",
    ),
    ("evaluate",): Command(
        "scripts.release.evaluate_command:evaluate",
        "evaluate a trained model on further annotated scans, all of them as test set",
    ),
    ("evaluate", "members"): Command(
        "scripts.prediction.members.evaluate_members_command:evaluate_members",
        "compare how far several networks agree with their errors; calibrate a warning",
    ),
    ("readers", "luna16"): Command(
        "scripts.evaluation.readers.readers_command:readers_luna16",
        "measure how LUNA16's readers agree, and what its labels are worth",
    ),
    ("graph_cut",): Command(
        "scripts.evaluation.graph_cut_evaluation:evaluate_graph_cut",
        "evaluate segmentation by graph cut, a classical baseline",
    ),
    ("sae", "train"): Command(
        "scripts.unsupervised.sae.training_command:train",
        "train a stacked auto-encoder on patches, without labels",
    ),
    ("sae", "segment"): Command(
        "scripts.unsupervised.sae.segmentation_command:segment",
        "label voxels by examples of other patients, from features of patches",
    ),
    ("cluster",): Command(
        "scripts.unsupervised.clusters.cluster_command:cluster",
        "divide one CT into clusters of learned patch features, without annotations",
    ),
    ("cluster", "evaluate"): Command(
        "scripts.unsupervised.clusters.cluster_evaluate_command:evaluate_clusters",
        "compare the clusters of each test volume with its annotated classes",
    ),
    ("suspicion",): Command(
        "scripts.suspicion.suspicion_command:suspicion",
        "compare classifiers of nodules by radiologists' suspicion of malignancy",
    ),
    ("self_train", "segmentation"): Command(
        "scripts.retraining.self_training.segmentation_command:self_train_segmentation",
        "self-training of a segmentation network from few labelled patients: a data set",
    ),
    ("self_train", "classification"): Command(
        "scripts.retraining.self_training.classification_command:self_train_classification",
        "self-training of a classifier of nodules from few labels, and what it is worth",
    ),
    ("context_maps",): Command(
        "scripts.retraining.context.context_maps_command:context_maps",
        "add an earlier network's probability maps to prepared data, for a second network",
    ),
    ("study",): Command(
        "scripts.study.study_command:study",
        "train and compare several methods over seeds, with statistics and a report",
    ),
    ("encoders",): Command(
        "scripts.training.weights.encoders_command:encoders",
        "list the encoders with their size, cost and published weights",
    ),
    ("new_bundle",): Command(
        "scripts.packaging.new_bundle:new_bundle",
        "write a bundle for your own prepared data",
    ),
    ("package",): Command(
        "scripts.packaging.package_command:package",
        "pack a trained bundle into one zip that runs without this repository",
    ),
    ("domain_model",): Command(
        "scripts.packaging.domain_model:write_domain",
        "write one domain of a network for several as a model by itself",
    ),
    ("release",): Command(
        "scripts.release.release_command:release",
        "pack a trained bundle with a model card of what it reached on a test set",
    ),
    ("audit",): Command(
        "scripts.audit.audit:audit",
        "list the code that a bundle would run, without running it",
    ),
    ("demo",): Command(
        "scripts.demo.demo:demo",
        "lung nodules on phantoms: pretraining, training, evaluation, prediction",
    ),
    ("demo", "liver"): Command(
        "scripts.demo.demo:demo_liver",
        "liver, bone and kidney on phantoms: from DICOM to prediction",
    ),
}


def is_present(command: Command) -> bool:
    """Whether a command's module is here: a package brings ``predict`` alone."""
    parts = command.module.split(".")[1:]
    return Path(__file__).parent.joinpath(*parts).with_suffix(".py").is_file()


COMMANDS = {words: command for words, command in EVERY.items() if is_present(command)}


class Written(str):
    """An annotation as written in the source; help shows it without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text itself."""
        return str(self)


def sketch(target: str) -> Callable[..., Any]:
    """Return a function with a command's signature and docstring, and no body.

    Args:
        target: the command's function, as ``module:function``. Its defaults must be literals, or
            constants that its module assigns from literals.

    Raises:
        LookupError: when the module or the function does not exist.

    Example:
        >>> sketch("scripts.commands:sketch").__annotations__["target"]
        str
    """
    module, _, name = target.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"target: no module {module} for {target}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise LookupError(f"target: {module} defines no function {name}")
    function = functions[name]
    function.decorator_list, function.body = [], function.body[:1]  # the docstring
    constants = [n for n in tree.body if isinstance(n, ast.Assign) and _is_literal(n.value)]
    future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
    program = ast.fix_missing_locations(ast.Module([future, *constants, function], []))
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(program, spec.origin, "exec"), namespace)
    return written(namespace[name])


def written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Set, in place, annotations that help shows as written in the source."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=Written(str(parameter.annotation).removesuffix(" | None")))
        for parameter in signature.parameters.values()
    ]
    changed: Any = function
    changed.__signature__ = signature.replace(parameters=parameters)
    changed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return function


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True
