import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from custom_nets.encoders import ENCODERS
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.result import SECOND_STAGE
from scripts.prediction.stopwatch import Stopwatch
from scripts.volumes.geometry import index_to_world
from tests.bundles.bundle_commands import run_here
from tests.custom_nets.tiny import TinyEncoder
from tests.scripts.prediction.network.second_stages import write_reducer
from tests.scripts.prediction.shapes import ORDERS, abdomen, chest
from tests.scripts.prediction.studies import (
    bright_chest,
    dice,
    one_convolution,
    write_nifti,
    write_series,
)

pytestmark = pytest.mark.usefixtures("_at_the_root")
TURNED = ORDERS[19]
WALK = "configs/postprocessing/random_walk.json"


def inferred(options, source, folder, **overrides):
    """The mask of the bundle's own ``run inferring``."""
    asked = {"dataset_dir": str(source), "output_dir": str(folder)}
    asked |= {"ckpt_path": options.checkpoints[0], "device": "cpu", **overrides}
    files = [str(options.bundle / "configs" / "inference.json"), *options.config_files]
    run_here("inferring", files, asked)
    (mask,) = folder.glob("*.nii.gz")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(mask)))


@pytest.mark.parametrize("order", [((0, 1, 2), (1, 1, 1)), TURNED], ids=["LPS", "turned"])
def test_nodules_then_mask_equals_that_of_run_inferring(lung_options, tmp_path, order):
    drawn = bright_chest(order=order)
    source = write_nifti(tmp_path / "scan.nii.gz", drawn)
    found = predict_volume(Model(lung_options), source, study="scan")
    mask = inferred(lung_options, source, tmp_path / "inferred")
    np.testing.assert_array_equal(found.mask > 0, mask > 0)
    np.testing.assert_array_equal(found.hu, drawn.hu)
    np.testing.assert_allclose(found.affine, drawn.affine, atol=1e-4)
    assert dice(found.mask > 0, drawn.mask > 0) > 0.9
    assert (found.lungs[drawn.lungs]).mean() > 0.9
    assert found.lungs.mean() < 0.5
    sizes = [(found.mask == segment.number).sum() for segment in found.segments]
    assert [segment.name for segment in found.segments] == ["nodule 1", "nodule 2", "nodule 3"]
    assert sizes == sorted(sizes, reverse=True)


def test_second_stage_then_removes_the_same_as_run_inferring(lung_options, tmp_path, monkeypatch):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest(order=TURNED))
    file = tmp_path / "reducer.pt"
    write_reducer(file, 0.0)
    options = replace(lung_options, reduce=str(file))
    everything = predict_volume(Model(options), source, study="scan")
    scores = sorted(one["probability"] for one in everything.facts[SECOND_STAGE]["kept"])
    write_reducer(file, (scores[0] + scores[1]) / 2)  # all but the least probable
    found = predict_volume(Model(options), source, study="scan")
    assert len(everything.segments) == 3
    assert [segment.name for segment in found.segments] == ["nodule 1", "nodule 2"]
    (removed,) = found.facts[SECOND_STAGE]["removed"]
    assert removed["probability"] == pytest.approx(scores[0])
    assert [one.probability for one in found.candidates] != scores[:2]
    mask = inferred(lung_options, source, tmp_path / "inferred", reducer=str(file))
    np.testing.assert_array_equal(found.mask > 0, mask > 0)


def test_organs_of_a_series_then_mask_equals_that_of_run_inferring(liver_options, tmp_path):
    drawn = abdomen()
    folder = tmp_path / "series"
    write_series(folder, drawn)
    found = predict_volume(Model(liver_options), folder, study="scan")
    np.testing.assert_array_equal(
        found.mask, inferred(liver_options, folder, tmp_path / "inferred")
    )
    assert [segment.kind for segment in found.segments] == ["liver", "bone", "kidney"]
    assert dice(found.mask == 1, drawn.mask == 1) > 0.99
    assert dice(found.mask == 2, drawn.mask == 2) > 0.99
    assert not (found.mask == 3).any()
    assert len(found.dicom_slices) == len(found.hu)
    assert found.lungs is None


def test_steps_then_timed(liver_options, tmp_path):
    watch = Stopwatch()
    source = write_nifti(tmp_path / "scan.nii.gz", abdomen())
    predict_volume(Model(liver_options), source, study="scan", watch=watch)
    assert watch.seconds.keys() == {
        *("read", "preprocess", "network", "postprocess", "candidates"),
    }
    assert all(seconds >= 0 for seconds in watch.seconds.values())


def ball(shape, spacing_mm, diameter_mm):
    """A ball around the middle voxel, (1, X, Y, Z) as probabilities."""
    grid = np.indices(shape).transpose(1, 2, 3, 0) - np.array(shape) // 2
    inside = np.linalg.norm(grid * spacing_mm, axis=-1) <= diameter_mm / 2
    return torch.from_numpy(inside[None].astype(np.float32))


@pytest.mark.parametrize("spacing", [(0.6, 0.6, 0.6), (0.82, 0.82, 2.5), (0.98, 0.98, 5.0)])
def test_nodule_of_3_mm_then_kept_and_a_single_voxel_of_noise_removed(lung_options, spacing):
    probability = ball((24, 24, 24), spacing, 3.0)
    drawn = probability.clone()
    probability[0, 2, 3, 4] = 1
    affine = torch.diag(torch.tensor([*spacing, 1.0]))
    data = {"pred": MetaTensor(probability, affine=affine), "lung": torch.ones(1, 24, 24, 24)}
    kept = Model(lung_options).cleaning(data)["pred"].as_tensor()
    assert drawn.sum() >= 2
    assert torch.equal(kept, drawn)


def test_threshold_then_decides_what_counts(lung_options, tmp_path):
    rules = ((0.0, 1.0),)  # sigmoid of the window's 0 to 1: 0.5 to 0.73
    overlay, weights = one_convolution(tmp_path, "soft", rules)
    source = write_nifti(tmp_path / "scan.nii.gz", chest())
    counts = []
    for threshold in (0.55, 0.7):
        options = replace(
            lung_options, config_files=(overlay,), checkpoints=(weights,), threshold=threshold
        )
        counts.append((predict_volume(Model(options), source, study="s").mask > 0).sum())
    assert counts[0] > 2 * counts[1]


FAINT_HU = 178  # where the network gives 0.33


@pytest.mark.parametrize("order", [((0, 1, 2), (1, 1, 1)), TURNED], ids=["LPS", "turned"])
def test_faint_nodule_then_a_candidate_that_the_mask_does_not_show(lung_options, tmp_path, order):
    drawn = bright_chest(order=order)
    drawn.hu[drawn.mask == 3] = FAINT_HU
    source = write_nifti(tmp_path / "scan.nii.gz", drawn)
    found = predict_volume(Model(lung_options), source, study="1.2.3")
    assert [one.segment for one in found.candidates] == [1, 2, 0]
    assert {one.series_uid for one in found.candidates} == {"1.2.3"}
    numbers = sorted((1, 2), key=lambda number: -(drawn.mask == number).sum())
    for candidate, number in zip(found.candidates, [*numbers, 3], strict=True):
        middle = np.argwhere(drawn.mask == number)[:, ::-1].mean(axis=0)
        place = index_to_world(middle, drawn.affine)
        np.testing.assert_allclose(candidate.centre_lps_mm, place, atol=1e-3)
    value = (FAINT_HU + 1000) / 1400
    expected = 1 / (1 + np.exp(85 - 100 * value))
    assert found.candidates[2].probability == pytest.approx(expected, abs=0.05)  # bfloat16
    bright, others = found.segments[0], Model(replace(lung_options, candidate_threshold=0.4))
    assert bright.probability == found.candidates[0].probability > 0.999
    assert bright.mean_probability == pytest.approx(bright.probability, abs=1e-3)
    without = predict_volume(others, source, study="1.2.3")
    assert without.candidates == found.candidates[:2]
    np.testing.assert_array_equal(without.mask, found.mask)


def test_several_networks_and_flips_then_confidence_is_of_their_mean(lung_options, tmp_path):
    _, doubtful = one_convolution(tmp_path, "doubtful", ((-96.0, 100.0),))
    files = (*lung_options.checkpoints, doubtful)
    options = replace(lung_options, checkpoints=files, flips=("x",), threshold=0.4)
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest())
    found = predict_volume(Model(options), source, study="scan")
    value = (350 + 1000) / 1400
    both = [1 / (1 + np.exp(-offset - 100 * value)) for offset in (-85, -96)]
    assert len(found.segments) == 3
    for segment in found.segments:
        assert segment.probability == pytest.approx(np.mean(both), abs=0.02)


def test_members_then_agreement_of_each_kind_and_of_each_lesion(lung_options, tmp_path):
    drawn = bright_chest()
    largest = int(np.argmax(np.bincount(drawn.mask.ravel())[1:])) + 1
    drawn.hu[drawn.mask == largest] = 250  # the second network takes more than 300 HU for nodule
    _, stricter = one_convolution(tmp_path, "stricter", ((-93.0, 100.0),))
    files = (*lung_options.checkpoints, stricter)
    options = replace(lung_options, checkpoints=files, flips=("x",), threshold=0.4)
    source = write_nifti(tmp_path / "scan.nii.gz", drawn)
    facts, watch = {}, Stopwatch()
    found = predict_volume(Model(options), source, study="scan", facts=facts, watch=watch)
    sizes = np.sort(np.bincount(found.mask.ravel())[1:])
    assert [one.members_share for one in found.segments] == [0.5, 1, 1]
    less, more = sizes[:-1].sum(), sizes.sum()  # what each network marks, with either flip
    expected = (4 * 2 * less / (less + more) + 2) / 6
    record = facts["agreement"]
    assert record["mean_pairwise_dice"] == pytest.approx(expected, abs=1e-4)
    assert record["dice"] == {"nodule": record["mean_pairwise_dice"]}
    assert len(record["members"]) == 4
    assert record["flagged"] is None
    assert watch.seconds["members"] > 0 <= watch.seconds["network"]


def test_single_network_without_flips_then_no_agreement(lung_options, tmp_path):
    facts = {}
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest())
    found = predict_volume(Model(lung_options), source, study="scan", facts=facts)
    assert "agreement" not in facts
    assert {one.members_share for one in found.segments} == {None}


def test_organs_then_no_candidate(liver_options, tmp_path):
    source = write_nifti(tmp_path / "scan.nii.gz", abdomen())
    found = predict_volume(Model(liver_options), source, study="scan")
    assert found.candidates == ()
    assert all(segment.probability is None for segment in found.segments)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (lambda hu: hu * 0 + 40, "must be HU, but they lie between 40"),
        (lambda hu: hu * 1e3, "16-bit.* to [^;]*$"),
    ],
    ids=["a mask", "beyond 16 bits"],
)
def test_values_that_are_no_hu_then_refused(liver_options, tmp_path, values, reason):
    image = sitk.GetImageFromArray(values(abdomen().hu.astype(np.float32)))
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    with pytest.raises(ValueError, match=reason):
        predict_volume(Model(liver_options), tmp_path / "scan.nii.gz", study="scan")
    if not reason.startswith("16-bit"):
        known = Model(replace(liver_options, check_hu=False))
        assert (predict_volume(known, tmp_path / "scan.nii.gz", study="scan").hu == 40).all()


def test_restoring_to_tensors_without_metadata_then_the_same_candidates(lung_options, tmp_path):
    own = {
        "inverse": "%bundles/lung_nodule_ct_segmentation/configs/inference.json::restoring",
        "plain": {"_target_": "EnsureTyped", "keys": "pred", "track_meta": False},
        "restoring": {"_target_": "Compose", "transforms": ["@inverse", "@plain"]},
    }
    (tmp_path / "own.json").write_text(json.dumps(own))
    options = replace(
        lung_options, config_files=(*lung_options.config_files, str(tmp_path / "own.json"))
    )
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest())
    found = predict_volume(Model(options), source, study="scan")
    usual = predict_volume(Model(lung_options), source, study="scan")
    assert found.candidates == usual.candidates
    assert len(found.candidates) >= 3


def noisy(drawn, inside, hu):
    """The same CT with single voxels in it that the network takes for another class."""
    hit = np.random.default_rng(0).random(drawn.hu.shape) < 0.1
    drawn.hu[hit & inside] = hu
    return drawn


def walking(options, folder, beta):
    """Options with the random walk, at another similarity."""
    soft = folder / "soft.json"
    soft.write_text(json.dumps({"random_walk::beta": beta}))
    return replace(options, config_files=(*options.config_files, WALK, str(soft)))


@pytest.mark.parametrize("order", [((0, 1, 2), (1, 1, 1)), TURNED], ids=["LPS", "turned"])
def test_random_walk_then_on_the_volume_and_its_probabilities_are_the_candidates(
    lung_options, tmp_path, order
):
    drawn = bright_chest(order=order)
    source = write_nifti(tmp_path / "scan.nii.gz", noisy(drawn, drawn.mask > 0, 175))
    plain = predict_volume(Model(lung_options), source, study="scan")
    options = walking(lung_options, tmp_path, 5.0)
    found = predict_volume(Model(options), source, study="scan")
    mask = inferred(options, source, tmp_path / "inferred")
    np.testing.assert_array_equal(found.mask > 0, mask > 0)
    holes = (drawn.hu == 175) & (drawn.mask > 0)
    assert holes.sum() >= 3
    assert not plain.mask[holes].any()
    assert (found.mask[holes] > 0).mean() > 0.5
    assert [one.name for one in found.segments] == ["nodule 1", "nodule 2", "nodule 3"]
    means = [[one.mean_probability for one in p.segments] for p in (plain, found)]
    assert means[0] != means[1]
    assert all(0.5 < one.mean_probability <= one.probability <= 1 for one in found.segments)


def test_random_walk_of_organs_then_mask_equals_that_of_run_inferring(liver_options, tmp_path):
    drawn = abdomen()
    noisy(drawn, drawn.mask == 1, 212)
    source = write_nifti(tmp_path / "scan.nii.gz", drawn)
    options = walking(liver_options, tmp_path, 5.0)
    found = predict_volume(Model(options), source, study="scan")
    np.testing.assert_array_equal(found.mask, inferred(options, source, tmp_path / "inferred"))
    plain = predict_volume(Model(liver_options), source, study="scan")
    bone = (drawn.hu == 212) & (plain.mask == 2)
    assert bone.sum() > 5
    assert (found.mask[bone] == 1).mean() > 0.5
