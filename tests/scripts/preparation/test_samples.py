import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.contract import Scan
from scripts.datasets.lidc_nodules import LidcNodules
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.cohort import prepare_cohort
from scripts.preparation.prepare_options import SliceOptions
from scripts.preparation.samples import PreparedScan, mean_of_images, shared_entries
from scripts.volumes.geometry import affine_of, to_lps
from tests.scripts.datasets.luna16.cohort import every_sample, request


def test_samples_then_equal_the_slices_of_their_volumes(cohort, prepared):
    samples = every_sample(prepared)
    assert len(samples) > 12
    for sample in samples:
        path = next(cohort.folder.glob(f"subset*/{sample['series_uid']}.mhd"))
        volume = to_lps(sitk.ReadImage(path))
        hu = sitk.GetArrayFromImage(volume)
        loaded = LoadSlicesd()(sample)
        k = sample["slice"]
        np.testing.assert_array_equal(loaded["image"], hu[[k - 1, k, k + 1]])
        np.testing.assert_allclose(sample["affine_lps"], affine_of(volume))
        assert set(np.unique(loaded["label"])) - {0} == {n["id"] for n in sample["nodules"]}


@pytest.mark.parametrize("share", [0, 0.2, 0.5], ids=str)
def test_empty_share_then_reached_inside_lungs_and_5_mm_away(cohort, tmp_path, share):
    report = prepare_cohort(
        request(cohort, tmp_path / "out", slices=SliceOptions("central", empty_share=share))
    )
    samples = every_sample(tmp_path / "out")
    empty = [s for s in samples if not s["nodules"]]
    assert len(empty) == report.empty_wanted == round(4 * share / (1 - share))
    records = {p.scan.id: p.record for p in report.prepared}
    for sample in empty:
        loaded = LoadSlicesd()(sample)
        assert not loaded["label"].any()
        assert loaded["lung"].any()
        used = records[sample["series_uid"]]["nodules"][0]["slices"]
        assert min(abs(k - sample["slice"]) for k in used) * 2.5 >= 5


def test_central_slices_then_the_nearest_to_each_centre(cohort, tmp_path):
    options = SliceOptions("central", empty_share=0)
    prepare_cohort(request(cohort, tmp_path / "out", slices=options))
    samples = sorted(every_sample(tmp_path / "out"), key=lambda s: s["series_uid"])
    assert [s["slice"] for s in samples] == [8, 9, 10, 11]


def test_neighbours_then_so_many_rows(cohort, tmp_path):
    options = SliceOptions("central", neighbours=2, empty_share=0)
    prepare_cohort(request(cohort, tmp_path / "out", slices=options))
    assert LoadSlicesd()(every_sample(tmp_path / "out")[0])["image"].shape[0] == 5


def test_slices_without_nodule_then_spread_evenly_over_the_scans(cohort, tmp_path):
    slices = SliceOptions("central", empty_share=0.5)
    prepare_cohort(request(cohort, tmp_path / "out", slices=slices))
    empty = [s["series_uid"] for s in every_sample(tmp_path / "out") if not s["nodules"]]
    assert sorted(empty) == ["1.0", "1.1", "1.2", "1.3"]


def test_crops_then_every_sample_says_so_and_those_of_scans_do_not():
    scan = Scan("a", "p", ())
    record = {"spacing_mm": [1, 1, 2], "label_kind": "votes", "image_hash": "5f"}
    assert shared_entries(PreparedScan(scan, record), LidcNodules())["crop"] is True
    assert "crop" not in shared_entries(PreparedScan(scan, record), Luna16())


def test_mean_without_a_training_slice_then_refused(tmp_path):
    with pytest.raises(ValueError, match="no training slice"):
        mean_of_images([], tmp_path, (-150, 250))


def test_mean_then_of_the_centre_slices_before_and_after_the_window(tmp_path):
    np.save(tmp_path / "a.npy", np.array([0, 100, 300, 900], np.int16).reshape(4, 1, 1))
    samples = [{"image": "a.npy", "rows": [0, 1, 2]}, {"image": "a.npy", "rows": [1, 2, 3]}]
    mean = mean_of_images(samples, tmp_path, (0, 200))
    assert (mean["hu"], mean["windowed"], mean["slices"]) == (200, 0.75, 2)
