"""Rows of a comparison: what each sees, and on which nodules."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.bundle.model_file import read_model
from scripts.preparation.splits import assign_folds
from scripts.suspicion.experiment import (
    CROPS,
    PREDICTED,
    RADIOMICS,
    SHAPE,
    SIZE_ONLY,
    Experiment,
    experiment_of,
    single_readers,
)
from scripts.suspicion.feature_tables import Store
from scripts.suspicion.figures import auc
from scripts.suspicion.labels import LabelRule
from scripts.suspicion.network import Network, least_seen
from scripts.suspicion.rated_nodules import RatedNodules
from scripts.suspicion.shape import SHAPE_FEATURES
from scripts.suspicion.training_crops import crop_scores
from tests.scripts.suspicion.networks import write_classifier_of_crops, write_unet
from tests.scripts.suspicion.planted import planted


class FoundTwice(Network):
    """A network that sees every nodule one voxel wider to one side, and not the first at all."""

    def segmented(self, nodule):
        if nodule.id == self.missed:
            return np.zeros_like(nodule.mask)
        return nodule.mask | np.roll(nodule.mask, 1, axis=2)


@pytest.fixture
def experiment(nodules, design, rows, tmp_path):
    scans = {nodule.patient: [nodule.scan_id] for nodule in nodules}
    made = Experiment(nodules, design, scans, Store(tmp_path))
    made.__dict__["rows"] = rows
    return made


def by_name(experiment):
    return {outcome.name: outcome for outcome in experiment.outcomes}


def test_outlines_then_size_alone_beside_radiomics(experiment):
    experiment.run_outlines(experiment.rows)
    found = by_name(experiment)
    assert list(found) == [SIZE_ONLY, SHAPE, RADIOMICS]
    assert auc(found[RADIOMICS].scored).value > auc(found[SIZE_ONLY].scored).value
    assert found[RADIOMICS].unseen is None


def test_predicted_outlines_then_nearly_as_good_and_missed_nodules_left_out(
    experiment, nodules, tiny_encoder, tmp_path
):
    file = write_unet(tmp_path / "m.pt", tiny_encoder, seen=[nodules[3].scan_id])
    network = FoundTwice(**vars(Network.of_model(file)))
    object.__setattr__(network, "missed", nodules[0].id)
    experiment.run_outlines(experiment.rows)
    experiment.run_models([network])
    found = by_name(experiment)
    predicted = found[f"{RADIOMICS}{PREDICTED}"]
    assert np.flatnonzero(~predicted.used).tolist() == [0]
    assert auc(predicted.scored).value >= auc(found[RADIOMICS].scored).value - 0.05
    assert predicted.basis == f"{SIZE_ONLY}{PREDICTED}"
    assert predicted.seen == 1  # a patient
    own = [n.patient for n in nodules[1:]]
    assert [own[i] for i in np.flatnonzero(~predicted.unseen)] == [
        p for p in own if p == nodules[3].patient
    ]
    assert found["features of segmentation network"].seen == 1


def test_encoder_then_features_alone_and_with_radiomics(experiment, tiny_encoder):
    experiment.run_outlines(experiment.rows)
    experiment.run_encoder(Network.of_encoder("none", tiny_encoder), "encoder")
    assert {"features of encoder", "radiomics and encoder"} <= set(by_name(experiment))


def scans_of_fold(nodules, design, *folds):
    return [n.scan_id for n, k in zip(nodules, design.folds, strict=True) if k in folds]


def write_for_each_fold(write, folder, encoder, nodules, design):
    """Networks of folds as `prepare --split fold` has them: the next fold selects the weights."""
    paths = []
    for fold in range(5):
        held_out = (fold, (fold + 1) % 5)
        seen = scans_of_fold(nodules, design, *(set(range(5)) - set(held_out)))
        selected = scans_of_fold(nodules, design, held_out[1])
        paths.append(write(folder / f"{fold}.pt", encoder, seen=seen, selected=selected))
    return paths


def test_classifiers_then_each_fold_by_the_one_that_neither_learnt_nor_was_selected_by_it(
    experiment, nodules, design, tiny_encoder, tmp_path, monkeypatch
):
    used = []
    monkeypatch.setattr(
        "scripts.suspicion.experiment.crop_scores",
        lambda model, tested: used.append(model.path.stem) or crop_scores(model, tested),
    )
    paths = write_for_each_fold(write_classifier_of_crops, tmp_path, tiny_encoder, nodules, design)
    experiment.run_outlines(experiment.rows)
    experiment.run_classifiers([read_model(path) for path in paths])
    assert used == ["0", "1", "2", "3", "4"]
    assert np.isfinite(by_name(experiment)[CROPS].scored.scores).all()
    with pytest.raises(ValueError, match="trained on patients of fold 1, or selected by them"):
        experiment.run_classifiers([read_model(path) for path in paths[:1]])


def test_networks_of_folds_then_the_one_that_was_not_selected_by_the_patients(
    nodules, design, tiny_encoder, tmp_path
):
    paths = write_for_each_fold(write_unet, tmp_path, tiny_encoder, nodules, design)
    networks = [Network.of_model(path) for path in paths]
    for fold in range(5):
        scans = {scan: [scan] for scan in scans_of_fold(nodules, design, fold)}
        network, seen = least_seen(networks, scans)
        assert (network, seen) == (networks[fold], [])


def test_patients_without_a_rated_nodule_then_in_the_folds_as_prepare_has_them(nodules, tmp_path):
    bare = {f"bare {number}": {f"scan {number}"} for number in range(7)}
    found = RatedNodules(list(nodules), scans=bare)
    made = experiment_of(found, LabelRule(), Store(tmp_path), folds=3, seed=4, jobs=1)
    everyone = {*bare, *(nodule.patient for nodule in nodules)}
    for fold in range(3):
        wanted = assign_folds(everyone, folds=3, test_fold=fold, seed=4)
        tested = set(made.design.patients[made.design.folds == fold])
        assert tested == {p for p in tested | set(wanted) if wanted[p] == "test"} - set(bare)


def test_network_of_whole_scans_then_known_to_have_seen_the_crops_of_them(
    nodules, tiny_encoder, tmp_path
):
    crops = [replace(nodule, series_uid=f"1.2.{nodule.patient}") for nodule in nodules]
    other = {nodules[5].patient: {"another scan of the patient"}}
    found = RatedNodules(crops, scans=other)
    made = experiment_of(found, LabelRule(), Store(tmp_path), folds=3, seed=0, jobs=1)
    seen = [crops[0].series_uid, "another scan of the patient"]
    network = Network.of_model(write_unet(tmp_path / "m.pt", tiny_encoder, seen=seen))
    assert sorted(least_seen([network], made.scans_of)[1]) == sorted(
        {nodules[0].patient, nodules[5].patient}
    )


def test_shuffled_then_several_areas_around_a_half(experiment):
    areas = experiment.shuffled_auc()
    assert len(set(areas)) > 5
    assert 0.4 < np.mean(areas) < 0.6


def test_single_readers_then_each_against_the_median_of_the_others():
    nodules = planted(6)
    scored = single_readers(nodules)
    assert len(scored.labels) <= 4 * len(nodules)
    assert auc(scored).value > 0.9
    assert single_readers([]) is None


def test_nodules_without_ct_then_size_and_shape_only(experiment):
    experiment.density = False
    experiment.run_outlines(experiment.rows)
    assert list(by_name(experiment)) == [SIZE_ONLY, SHAPE]
    assert (experiment.best, experiment.features) == (SHAPE, list(SHAPE_FEATURES))
