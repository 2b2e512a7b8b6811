import numpy as np
import pytest
import SimpleITK as sitk

from scripts.bundle.model_file import ModelFile
from scripts.bundle.training_scans import (
    TrainingScans,
    hashed_case,
    hashed_ids,
    ids_of,
    spacings_of,
)
from scripts.datasets.training_data import training_data
from scripts.volumes.volume import hash_of_voxels


def samples(*spacings):
    return [
        {"series_uid": f"1.{n}", "affine_lps": np.diag([pixel, pixel, distance, 1]).tolist()}
        for n, (pixel, distance) in enumerate(spacings)
    ]


def scans_of(listed, **settings):
    data = training_data("none.json", listed)
    return TrainingScans.of(ModelFile("model.pt", {}, settings, {"data": data}))


def test_training_then_its_smallest_and_largest_spacing_are_in_the_file():
    data = training_data("none.json", samples((0.7, 1.0), (0.6, 2.5), (0.8, 1.25)))
    assert (data["pixel_mm"], data["slice_mm"]) == ([0.6, 0.8], [1.0, 2.5])
    unknown = training_data("none.json", [{"series_uid": "1"}])
    assert (unknown["pixel_mm"], unknown["slice_mm"]) == (None, None)


@pytest.mark.parametrize(
    ("spacing", "count"),
    [((0.7, 1.0), 0), ((0.45, 1.0), 0), ((1.15, 5.0), 0), ((2.1, 1.0), 1), ((0.2, 1.0), 1)],
)
def test_pixels_far_from_the_trainings_then_one_warning(spacing, count):
    scans = scans_of(samples((0.6, 1.0), (0.8, 2.5)))
    assert len(scans.spacing_warnings([spacing] * 3)) == count


def test_slices_then_matter_only_to_networks_that_see_their_neighbours():
    listed = samples((0.7, 1.0))
    assert scans_of(listed, in_channels=1).spacing_warnings([(0.7, 5.0)]) == []
    assert "slices every 5 mm" in scans_of(listed, in_channels=3).spacing_warnings([(0.7, 5.0)])[0]
    volume = scans_of(listed, in_channels=1, input_kind="volume")
    assert len(volume.spacing_warnings([(0.7, 5.0)])) == 1


def test_case_of_the_training_then_recognised():
    scans = scans_of(samples((0.7, 1.0), (0.7, 1.0)))
    assert scans.includes(["name", "1.1"])
    assert not scans.includes(["1.2", ""])


def test_case_of_the_training_under_another_name_then_recognised_by_its_voxels():
    hu = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    scans = scans_of([{"series_uid": "case7", "image_hash": hash_of_voxels(hu)}])
    copy = {"series_uid": "renamed", "image_hash": hash_of_voxels(hu.copy())}
    assert scans.includes(ids_of(copy))
    assert not scans.includes(ids_of({"series_uid": "x", "image_hash": hash_of_voxels(hu + 1)}))


def test_file_of_an_earlier_version_then_completed_by_the_datalist_of_its_training():
    older = scans_of([{"series_uid": "1"}])
    training = [{"series_uid": "1", "image_hash": "5f"}]
    rest = {"validation": [{"series_uid": "2"}], "test": [{"series_uid": "3"}]}
    assert older.completed({"training": training, **rest}).set_aside(["3"])
    newer = scans_of(training)
    assert newer.completed({"training": training, **rest}).set_aside(["3"])
    for other in ([*training, {"series_uid": "4"}], [{"series_uid": "4"}]):
        assert older.completed({"training": other, **rest}).test is None


def test_file_of_another_tool_then_nothing_is_known():
    scans = TrainingScans.of(ModelFile("model.pt", {}, None, {}))
    assert scans == TrainingScans()
    assert scans.spacing_warnings([(9.0, 9.0)]) == []


def test_volumes_then_their_headers_are_read(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
    image.SetSpacing((0.7, 0.75, 2.5))
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    listed = [{"image": str(tmp_path / "ct.nii.gz")}, {"image": str(tmp_path / "none.nii.gz")}]
    assert spacings_of(listed) == [(pytest.approx(0.75), pytest.approx(2.5))]


def hashed(*names):
    return sorted(hashed_case(name, "s") for name in names)


def test_older_file_when_the_datalist_is_its_own_then_completed_from_it():
    scans = TrainingScans(cases=frozenset(hashed("a")), salt="s")
    datalist = {name: [{"series_uid": name[0]}] for name in ("apart", "validation", "test")} | {
        "training": [{"series_uid": "a", "scan_uid": "1.2"}]
    }
    completed = scans.completed(datalist)
    assert completed.was_selected_by(["v"])
    assert completed.set_aside(["t"])
    assert completed.test_cases == 1
    assert scans.completed(datalist | {"training": [{"series_uid": "b"}]}) == scans


def test_part_of_a_scan_then_recognised_by_the_uid_of_the_scan():
    sample = {"series_uid": "LIDC-IDRI-0003_R_2", "scan_uid": "1.2.3"}
    scans = TrainingScans(cases=frozenset(hashed_ids([sample], "s")), salt="s")
    assert scans.includes(["1.2.3"])
    assert scans.includes(["LIDC-IDRI-0003_R_2"])
    assert not scans.includes(["1.2.4"])


def test_patients_then_those_of_the_datalist_and_others_stay_unknown():
    entry = {"series_uid": "LIDC-IDRI-0003_R_2", "scan_uid": "1.2.3", "patient_id": "P3"}
    twin = {"series_uid": "1.2.4", "patient_id": "P3"}
    other = {"series_uid": "1.2.5", "patient_id": "P4"}
    scans = TrainingScans(cases=frozenset(hashed("1.2.3")), test=frozenset(), salt="s")
    known = scans.with_patients({"training": [entry, other], "volumes": {"test": [twin]}})
    assert [known.includes([one]) for one in ("LIDC-IDRI-0003_R_2", "1.2.4", "1.2.5")] == [
        *(True, True, False)
    ]
    assert known.test == frozenset()
    assert known.validation is None
    assert scans.with_patients({"test": [twin, other]}) == scans
