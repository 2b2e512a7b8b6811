"""Training of a classifier of crops by the lung bundle with configs/classifiers."""

import json

import numpy as np
import pytest

from scripts.bundle.model_file import read_model, trained_network
from scripts.prediction.network.reducer import Reducer
from scripts.training.weights.trained_weights import load_weights
from scripts.volumes.volume import Volume
from tests.bundles.bundle_commands import SMALL, files_of, run_here
from tests.scripts.datasets.prepared import AFFINE

pytestmark = pytest.mark.usefixtures("_at_root")
CROPS = "configs/classifiers/crops.json"
CANDIDATES = "configs/classifiers/nodule_candidates.json"
FULL = "configs/strategies/full.json"


def disc(radius):
    y, x = np.mgrid[-24:24, -24:24]
    return np.where(np.hypot(x, y) < radius, 40, -850)


@pytest.fixture
def crops(tmp_path):
    """A data set of 48 x 48 crops, three slices each: discs are targets, plain lung is not."""
    random = np.random.default_rng(0)
    content = {"name": "discs", "kind": "targets", "test": []}
    for section, count in (("training", 12), ("validation", 6)):
        stack = [disc(10 if n % 2 else 0) for n in range(count) for _ in range(3)]
        noise = random.normal(0, 20, (len(stack), 48, 48))
        (tmp_path / "crops" / section).mkdir(parents=True)
        np.save(tmp_path / "crops" / section / "image.npy", (stack + noise).astype(np.int16))
        content[section] = [
            {
                "image": f"{section}/image.npy",
                "rows": [3 * n, 3 * n + 1, 3 * n + 2],
                "slice": n,
                "series_uid": f"{section}{n}",
                "patient_id": f"{section}{n}",
                "affine_lps": AFFINE,
                "target": [float(n % 2)],
                "origin": "candidate",
                "nodule": 1 if n % 2 else None,
            }
            for n in range(count)
        ]
    (tmp_path / "crops" / "datalist.json").write_text(json.dumps(content))
    return tmp_path / "crops"


def train(crops, output, encoder, *overlays, **overrides):
    asked = {**SMALL, "batch_size": 4, "num_workers": 0, "dataset_dir": str(crops)}
    asked |= {"encoder": encoder, "encoder_weights": "none", "output_dir": str(output)}
    files = [*files_of("train"), *overlays]
    return run_here("training", files, {**asked, "learning_rate": 0.03, **overrides})


def test_crops_then_a_classifier_that_tells_them_apart(crops, tiny_encoder, tmp_path):
    train(crops, tmp_path / "run", tiny_encoder, FULL, CROPS, stage_epochs=8)
    model = read_model(tmp_path / "run" / "model.pt")
    assert model.record["metric"] == "val_auc"
    assert model.record["value"] == 1.0
    assert model.settings["input_kind"] == "crops"
    assert model.settings["patch_size"] == [32, 32]
    network = trained_network(model.settings)
    load_weights(network, model)
    assert network.definition["_target_"] == "custom_nets.classifier.TransferClassifier"
    assert len(model.record["data"]["cases"]) == 12


def test_second_stage_then_keeps_the_nodules_of_the_validation_and_says_so(
    crops, tiny_encoder, tmp_path
):
    train(crops, tmp_path / "run", tiny_encoder, FULL, CROPS, CANDIDATES, stage_epochs=8)
    reducer = Reducer(tmp_path / "run" / "reducer.pt")
    point = reducer.operating_point
    assert (point["nodules"], point["nodules_kept"], point["keep"]) == (3, 3, 0.95)
    assert (point["false_candidates"], point["false_removed"]) == (3, 3)
    assert point["chosen_on"] == "validation (candidates)"
    stack = np.load(crops / "validation" / "image.npy")
    for number in range(6):
        crop = Volume(stack[3 * number : 3 * number + 3], np.eye(4))
        (probability,) = reducer.probabilities(crop, [[24.0, 24.0, 1.0]])
        assert reducer.keeps(probability) == bool(number % 2)


def test_two_targets_one_unknown_then_two_logits(crops, tiny_encoder, tmp_path):
    content = json.loads((crops / "datalist.json").read_text())
    for sample in [*content["training"], *content["validation"]]:
        sample["target"] = [*sample["target"], -1.0]
    (crops / "datalist.json").write_text(json.dumps(content))
    asked = {"class_names": ["nodule", "calcified"]}
    train(crops, tmp_path / "run", tiny_encoder, FULL, CROPS, **asked)
    assert read_model(tmp_path / "run" / "model.pt").settings["out_channels"] == 2


def test_crops_without_the_overlay_then_refused_by_the_kind_of_their_labels(
    crops, tiny_encoder, tmp_path
):
    with pytest.raises(RuntimeError) as caught:
        train(crops, tmp_path / "run", tiny_encoder, FULL)
    assert "has labels of kind targets, this bundle takes instances" in str(caught.value.__cause__)
