import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import scripts.unsupervised.sae.autoencoder as module
from scripts.bundle.model_file import read_model
from scripts.bundle.training_scans import TrainingScans
from scripts.unsupervised.sae.autoencoder import (
    Training,
    fitted_pca,
    is_trained_with,
    read_autoencoder,
    train_autoencoder,
    training_patches,
    write_autoencoder,
)
from scripts.unsupervised.sae.patches import PatchShape
from tests.scripts.unsupervised.patch_cohort import write_cohort

TINY = Training(PatchShape(3, 3), (24, 8), patches=2048, epochs=4, fine_tuning=30)


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def model(datalist):
    return train_autoencoder(datalist, TINY)


@pytest.fixture
def file(model, datalist, tmp_path):
    write_autoencoder(tmp_path / "sae.pt", model, datalist)
    return tmp_path / "sae.pt"


def test_trained_then_patches_of_other_patients_reconstructed(model):
    figures = model.figures
    assert figures["held_out_error"] < 0.2  # of standardised patches: 1 without any knowledge
    assert figures["held_out_error_of_pca_8"] > figures["held_out_error_of_pca_16"]
    assert (figures["patients"], figures["slices"], figures["patches"]) == (4, 4, 2048)


def test_fine_tuning_then_better_than_the_layers_alone(model, datalist):
    alone = train_autoencoder(datalist, replace(TINY, fine_tuning=0))
    assert model.figures["held_out_error"] < alone.figures["held_out_error"] - 0.05


def test_held_out_error_then_that_of_the_validation_patients(model, datalist):
    held_out = module.draw_patches(
        module.load_datalist(datalist, "validation"), TINY.shape, module.HELD_OUT, 0
    ).patches
    patches = model.reader.standardise(held_out)
    difference = model.reconstruct(patches) - patches
    assert np.mean(difference**2) == pytest.approx(model.figures["held_out_error"], rel=1e-4)


def test_same_seed_then_the_same_weights_whatever_ran_before(model, datalist):
    torch.rand(7)
    again = train_autoencoder(datalist, TINY)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])
    other = replace(TINY, seed=1).network().state_dict()
    start = TINY.network().state_dict()
    assert not torch.equal(start["layers.0.encoder.weight"], other["layers.0.encoder.weight"])


def test_labels_of_validation_and_test_patients_then_not_needed_for_training(tmp_path, model):
    path = write_cohort(tmp_path)
    content = json.loads(path.read_text())
    test = content["test"][0]
    np.save(tmp_path / test["label"], np.zeros(0, np.uint8))  # unreadable as slices
    np.save(tmp_path / test["image"], np.zeros(0, np.int16))
    again = train_autoencoder(path, TINY)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])


def test_features_of_a_constant_patch_then_finite(model):
    constant = model.reader.read(np.full((3, 5, 5), -3000, np.float32), np.array([[1, 2, 2]]))
    features = model.features(constant)
    assert features.shape == (1, 8)
    assert np.isfinite(features).all()


def test_file_then_the_same_features_and_figures(file, model):
    again = read_autoencoder(file)
    patches = np.random.default_rng(0).normal(0, 1, (5, TINY.shape.values)).astype(np.float32)
    assert np.array_equal(again.features(patches), model.features(patches))
    assert again.reader == model.reader
    assert again.figures == model.figures


def test_file_then_names_its_training_cases_as_other_models_do(file):
    scans = TrainingScans.of(read_model(file))
    assert scans.includes(["s0"])
    assert not scans.includes(["s5"])
    assert scans.set_aside(["s5"])


def test_same_training_then_recognised_and_each_other_one_distinguished(file, datalist, tmp_path):
    assert is_trained_with(file, TINY, datalist)
    for other in ({"widths": (24, 9)}, {"seed": 3}, {"shape": PatchShape(5)}, {"epochs": 5}):
        assert not is_trained_with(file, replace(TINY, **other), datalist)
    assert not is_trained_with(file, TINY, write_cohort(tmp_path / "more", patients=7))
    assert not is_trained_with(file.with_name("none.pt"), TINY, datalist)


def test_other_files_then_refused_by_name(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="autoencoder: no file .* sae train"):
        read_autoencoder(tmp_path / "none.pt")
    torch.save({"model": {"a": torch.zeros(1)}, "settings": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="other.pt is no auto-encoder of patches"):
        read_autoencoder(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no tensors")
    with pytest.raises(ValueError, match="autoencoder: .*text.pt is no auto-encoder of patches"):
        read_autoencoder(tmp_path / "text.pt")
    content = torch.load(file, weights_only=True)
    content["settings"]["patches"]["shape"]["size"] = 5
    torch.save(content, tmp_path / "wrong.pt")
    with pytest.raises(ValueError, match="for patches of 54 values, its settings are for 150"):
        read_autoencoder(tmp_path / "wrong.pt")


def test_no_validation_patients_then_no_figure_of_them(tmp_path):
    path = write_cohort(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"validation": []}))
    quick = replace(TINY, epochs=1, fine_tuning=0)
    assert "held_out_error" not in train_autoencoder(path, quick).figures


def test_no_training_slices_then_refused(tmp_path):
    path = write_cohort(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"training": []}))
    with pytest.raises(ValueError, match="has no training slices"):
        training_patches(path, TINY)


def test_more_components_than_values_then_refused():
    with pytest.raises(ValueError, match="widths: 9 components need as many"):
        fitted_pca(np.zeros((20, 8), np.float32), 9, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"patches": 10}, "patches: "), ({"widths": (0,)}, "widths: "), ({"fine_tuning": -1}, "fine")],
)
def test_number_out_of_range_then_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Training(**options)
