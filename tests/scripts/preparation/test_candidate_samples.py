import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.candidates import Candidate
from scripts.datasets.datalist import load_datalist
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.candidate_samples import CropOptions, CropTask, crop_scan
from scripts.transforms.lung_field import lung_field
from scripts.volumes.geometry import index_to_world
from scripts.volumes.readers import read_volume

FAR = (-5.0, 52.0, -60.0)  # in the lung, away from the nodule


@pytest.fixture
def volume(prepared):
    (entry,) = load_datalist(prepared / "datalist.json", "volumes/validation")
    return entry


def task_of(volume, output, *centres, section="training", **options):
    uid = volume["series_uid"]
    candidates = tuple(Candidate(uid, tuple(c), 0.9 - n / 10) for n, c in enumerate(centres))
    return CropTask(volume, section, candidates, output, CropOptions(**{"size": 32, **options}))


def origins(outcome):
    return [(sample["origin"], sample["target"]) for sample in outcome.samples]


def test_candidates_then_targets_by_what_they_lie_on(volume, tmp_path):
    (nodule,) = volume["nodules"]
    task = task_of(volume, tmp_path / "crops", nodule["centre_lps_mm"], FAR, negatives=3)
    outcome = crop_scan(task)
    assert origins(outcome) == [
        *[("candidate", [1.0]), ("candidate", [0.0]), ("annotation", [1.0])],
        *[("random", [0.0])] * 2,
    ]
    assert [sample["confidence"] for sample in outcome.samples[:3]] == [0.9, 0.8, None]
    assert [sample["nodule"] for sample in outcome.samples[:2]] == [nodule["id"], None]


def test_crop_then_the_hu_around_its_position_in_every_index_order(prepared, tmp_path):
    entries = load_datalist(prepared / "datalist.json", "volumes/training")
    entries += load_datalist(prepared / "datalist.json", "volumes/test")
    for entry in entries:
        (nodule,) = entry["nodules"]
        (*_, sample) = crop_scan(task_of(entry, tmp_path, negatives=0)).samples
        sample = {**sample, "image": str(tmp_path / sample["image"])}
        crop = LoadSlicesd("image")(sample)["image"].numpy()
        ct = read_volume(entry["image"]).in_lps()
        i, j, k = np.linalg.inv(ct.affine_lps) @ [*nodule["centre_lps_mm"], 1] @ np.eye(4)[:, :3]
        middle = ct.hu[round(k), round(j), round(i)]
        assert crop[1, 16, 16] == middle
        place = index_to_world([16, 16, sample["slice"]], sample["affine_lps"])
        np.testing.assert_allclose(place, nodule["centre_lps_mm"], atol=1.3)


def test_candidate_on_an_excluded_finding_then_left_out_and_counted(volume, tmp_path):
    finding = {"centre_lps_mm": list(FAR), "diameter_mm": 6.0}
    outcome = crop_scan(task_of({**volume, "excluded": [finding]}, tmp_path, FAR, section="test"))
    assert (outcome.samples, outcome.excluded) == ((), 1)


def test_scan_of_the_test_then_its_candidates_only(volume, tmp_path):
    outcome = crop_scan(task_of(volume, tmp_path, FAR, section="test"))
    assert origins(outcome) == [("candidate", [0.0])]


def test_random_positions_then_in_the_lung_and_away_from_the_nodule(volume, tmp_path):
    outcome = crop_scan(task_of(volume, tmp_path, negatives=12))
    (nodule,) = volume["nodules"]
    places = [s["centre_lps_mm"] for s in outcome.samples if s["origin"] == "random"]
    assert len({tuple(place) for place in places}) > 6
    ct = read_volume(volume["image"]).in_lps()
    lung = lung_field(ct.hu, ct.spacing_mm)
    for place in places:
        assert np.linalg.norm(np.subtract(place, nodule["centre_lps_mm"])) > 4.5 + 10
        i, j, k = np.rint(np.linalg.inv(ct.affine_lps)[:3] @ [*place, 1]).astype(int)
        assert lung[k, j, i]
    again = crop_scan(task_of(volume, tmp_path / "again", negatives=12))
    assert places == [s["centre_lps_mm"] for s in again.samples if s["origin"] == "random"]


def test_same_request_then_kept_and_another_then_cut_again(volume, tmp_path):
    crop_scan(task_of(volume, tmp_path, FAR))
    file = next(tmp_path.glob("scans/*/image.npy"))
    first = file.stat().st_mtime_ns
    crop_scan(task_of(volume, tmp_path, FAR))
    assert file.stat().st_mtime_ns == first
    moved = crop_scan(task_of(volume, tmp_path, (FAR[0] + 2, *FAR[1:])))
    assert file.stat().st_mtime_ns > first
    assert moved.samples[0]["centre_lps_mm"][0] == FAR[0] + 2


def test_candidate_outside_the_scan_then_a_problem_of_this_scan(volume, tmp_path):
    outcome = crop_scan(task_of(volume, tmp_path, (500.0, 0.0, 0.0)))
    assert "outside the CT" in str(outcome.problem)
    assert volume["series_uid"] in str(outcome.problem)


def test_patient_known_since_by_another_name_then_in_the_samples(volume, tmp_path):
    crop_scan(task_of(volume, tmp_path, FAR))
    renamed = {**volume, "patient_id": "P9"}
    outcome = crop_scan(task_of(renamed, tmp_path, FAR))
    assert {sample["patient_id"] for sample in outcome.samples} == {"P9"}


def test_scan_without_lungs_then_a_problem_that_says_how_to_do_without_them(volume, tmp_path):
    image = sitk.ReadImage(volume["image"])
    abdomen = tmp_path / "abdomen.nii.gz"
    sitk.WriteImage(sitk.Clamp(image, lowerBound=0), str(abdomen))
    own = {**volume, "image": str(abdomen)}
    (nodule,) = volume["nodules"]
    outcome = crop_scan(task_of(own, tmp_path / "crops", nodule["centre_lps_mm"]))
    assert "no lungs in this volume" in outcome.problem.reason
    assert outcome.problem.reason.endswith("--negatives 0 leaves random positions out")
    without = task_of(own, tmp_path / "crops", nodule["centre_lps_mm"], negatives=0)
    assert len(crop_scan(without).samples) == 2
