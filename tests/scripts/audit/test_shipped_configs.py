"""This project's own configs: whatever is combined as the documentation allows fits together."""

import json
from itertools import combinations, product
from pathlib import Path

import pytest

from scripts.__main__ import main
from scripts.audit.audit import audit_bundle, audit_composition
from scripts.audit.bundle_files import FolderFiles
from scripts.audit.findings import at_or_above
from scripts.audit.metric_names import audit_metrics
from scripts.audit.names import Names
from scripts.audit.references import audit_files, audit_references, references_of_project
from scripts.bundle.compose import compose
from tests.bundles.config_files import plain_networks

ROOT = Path(__file__).resolve().parents[3]
NAMES = Names()
WORKFLOWS = sorted(ROOT.glob("bundles/*/configs/*.json"))
WORKFLOWS = [p for p in WORKFLOWS if p.stem not in ("metadata",) and "multi_gpu" not in p.stem]

pytestmark = pytest.mark.usefixtures("_here")


@pytest.fixture
def _here(monkeypatch):
    monkeypatch.chdir(ROOT)


def files_in(folder):
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / "configs" / folder).glob("*"))]


def of_bundle(bundle, files):
    """Leave out what the documentation gives to the other bundle alone."""
    lung = "lung" in bundle.parent.parent.name
    # what sets a part of a trainer goes with training alone
    if bundle.stem != "train":
        files = [file for file in files if "::" not in "".join(json.loads(Path(file).read_text()))]
        files = [file for file in files if "monai_label" not in file]  # packaged into train.json
    if bundle.stem != "inference":  # transforms of a CT to predict
        files = [f for f in files if "preprocessing" not in json.loads(Path(f).read_text())]
    if bundle.stem == "pretrain":  # what is pretrained is an encoder
        files = [file for file in files if file not in plain_networks()]
        files = [file for file in files if "network" not in json.loads(Path(file).read_text())]
    if bundle.stem in ("evaluate", "inference") or (bundle.stem == "pretrain" and not lung):
        files = [
            file for file in files if "networks/" not in file
        ]  # the model file's, a classifier
    foreign = ["luna16", "lung", "ct_vol", "monai_label.json"]
    foreign += ["nodules_and_organs", "sensitivity_ratio"]
    if lung:
        foreign = ["fcn", "ircadb", "abdomen", "class_losses", "monai_label_organs"]
    return [file for file in files if not any(word in file for word in foreign)]


def every_two_together(dimensions):
    """Plans, one file of each dimension, so that every two files of two dimensions meet in one.

    Each plan begins with two that have not met; the others are those with most that are new to it.
    """
    apart = {
        frozenset(two)
        for (i, one), (j, other) in combinations(enumerate(dimensions), 2)
        for two in product(((i, file) for file in one), ((j, file) for file in other))
    }
    while apart:
        plan = dict(min(apart, key=sorted))
        for k in sorted(range(len(dimensions)), key=lambda k: -len(dimensions[k])):
            if k not in plan:
                new = {
                    file: sum(frozenset({(k, file), each}) in apart for each in plan.items())
                    for file in dimensions[k]
                }
                plan[k] = max(new, key=new.get)
        apart -= {frozenset(two) for two in combinations(plan.items(), 2)}
        yield [plan[k] for k in range(len(dimensions))]


@pytest.fixture(scope="module")
def read():
    files = {}

    def remembering(name):
        if name not in files:
            files[name] = FolderFiles().read(name)
        return files[name]

    return remembering


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda p: f"{p.parts[-3][:5]}-{p.stem}")
def test_files_in_any_two_dimensions_then_no_problem(workflow, read):
    losses = files_in("losses") if "lung" in str(workflow) else files_in("class_losses")
    dimensions = [files_in("networks"), files_in("strategies"), losses]
    dimensions += [files_in("data"), files_in("runtime")]
    chosen = [of_bundle(workflow, files) or [""] for files in dimensions]
    for plan in every_two_together(chosen):
        made = compose([str(workflow.relative_to(ROOT)), *filter(None, plan)], read)
        found = [
            *audit_files(made),
            *audit_references(made, references_of_project()),
            *audit_metrics(made),
        ]
        assert not found, plan


@pytest.mark.parametrize(
    "fragment",
    [f for d in ("networks", "strategies", "losses", "class_losses", "data", "runtime")
     for f in files_in(d)],
)  # fmt: skip
def test_every_fragment_upon_its_bundle_then_nothing_above_low(fragment, read):
    for workflow in WORKFLOWS:
        if of_bundle(workflow, [fragment]):
            made = compose([str(workflow.relative_to(ROOT)), fragment], read)
            assert not at_or_above(
                audit_composition(made, NAMES, references_of_project()), "problem"
            )


@pytest.mark.parametrize("bundle", sorted(ROOT.glob("bundles/*")), ids=lambda p: p.name)
def test_several_processes_then_nothing_above_low(bundle, read):
    train = str((bundle / "configs" / "train.json").relative_to(ROOT))
    made = compose([train, "configs/runtime/multi_gpu_train.json"], read)
    assert not at_or_above(audit_composition(made, NAMES, references_of_project()), "problem")


@pytest.mark.parametrize("bundle", sorted(ROOT.glob("bundles/*")), ids=lambda p: p.name)
def test_bundle_then_nothing_above_low(bundle):
    found = [
        f
        for f in audit_bundle(FolderFiles(bundle))
        if not f.file.startswith(("models/", "eval", "pred"))
    ]
    assert len(found) > 100
    assert not at_or_above(found, "problem")


@pytest.mark.parametrize("bundle", ["lung_nodule_ct_segmentation", "liver_ct_segmentation"])
def test_bundle_under_the_strict_policy_then_allowed(bundle, capsys):
    """A config folder without models and results, as in a fresh copy of the repository."""
    folder = ROOT / "bundles" / bundle / "configs"
    for workflow in ("train", "evaluate", "inference"):
        main(["audit", "--policy", "strict", "--config", str(folder / f"{workflow}.json")])
    assert capsys.readouterr().out.count("allowed: ") == 3
