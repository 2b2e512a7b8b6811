import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.datalist import load_datalist
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.cohort import prepare_cohort
from scripts.preparation.prepare_command import command_of
from scripts.storage.locks import LOCK, InUseError
from scripts.volumes.geometry import grid_difference
from tests.scripts.datasets.luna16.cohort import HEADER, every_sample, request
from tests.scripts.storage.holding import held_by_another


def test_label_then_ball_in_the_right_place_also_in_a_flipped_scan(cohort, prepared):
    for sample in every_sample(prepared):
        for nodule in sample["nodules"]:
            mask = LoadSlicesd()(sample)["label"][0].numpy() == nodule["id"]
            h, w = np.argwhere(mask).mean(axis=0)
            found = (np.array(sample["affine_lps"]) @ [w, h, sample["slice"], 1])[:3]
            np.testing.assert_allclose(found[:2], nodule["centre_lps_mm"][:2], atol=1e-6)
            dz = found[2] - nodule["centre_lps_mm"][2]
            area_mm2 = mask.sum() * 1.0 * 1.25
            exact_mm2 = np.pi * (4.5**2 - dz**2)
            assert area_mm2 == pytest.approx(exact_mm2, rel=0.35)


def test_volume_labels_then_on_the_grid_of_the_scan_on_disk(cohort, prepared):
    volumes = [
        v
        for section in PARTITIONS
        for v in load_datalist(prepared / "datalist.json", f"volumes/{section}")
    ]
    assert len(volumes) == 4
    for volume in volumes:
        image, label = sitk.ReadImage(volume["image"]), sitk.ReadImage(volume["label"])
        assert not grid_difference(image, label)
        (nodule,) = volume["nodules"]
        index = image.TransformPhysicalPointToIndex(nodule["centre_lps_mm"])
        assert label[index] == 1


def test_datalist_when_nothing_changed_then_kept_for_the_results_made_of_it(cohort, tmp_path):
    file = tmp_path / "out" / "datalist.json"
    prepare_cohort(request(cohort, tmp_path / "out"))
    first = file.read_text().replace('"time": "2', '"time": "1')
    file.write_text(first)
    prepare_cohort(request(cohort, tmp_path / "out"))
    assert file.read_text() == first
    file.write_text(first.replace('"scans": ', '"scans": 9'))
    prepare_cohort(request(cohort, tmp_path / "out"))
    assert '"time": "2' in file.read_text()
    file.write_text(first)
    shutil.rmtree(tmp_path / "out" / "scans")
    prepare_cohort(request(cohort, tmp_path / "out"))
    assert '"time": "2' in file.read_text()  # voxels may have changed


def test_datalist_then_tells_how_to_make_it_again(cohort, prepared):
    provenance = json.loads((prepared / "datalist.json").read_text())["provenance"]
    assert provenance["split"] == {"kind": "patient", "seed": 0, "shares": [8, 1, 1]}
    assert provenance["label"] == "ball"
    assert (provenance["slices"], provenance["neighbours"]) == ("all", 1)
    assert provenance["empty_share"] == 0.2
    assert provenance["source"] == str(cohort.folder)
    assert {"command", "versions", "git"} <= set(provenance)


def test_output_folder_inside_source_moved_together_then_everything_resolves(cohort, tmp_path):
    prepare_cohort(request(cohort, cohort.folder))
    cohort.folder.rename(tmp_path / "moved")
    assert load_datalist(tmp_path / "moved" / "datalist.json", "volumes/training")
    assert load_datalist(tmp_path / "moved" / "datalist.json", "training")


def write_masks(cohort, folder, change=lambda mask: mask):
    folder.mkdir(exist_ok=True)
    for path in cohort.folder.glob("subset*/*.mhd"):
        image = sitk.ReadImage(path)
        mask = np.zeros(image.GetSize()[::-1], np.uint8)
        mask[8:14, 15:22, 18:24] = 4
        label = sitk.GetImageFromArray(change(mask))
        label.CopyInformation(image)
        sitk.WriteImage(label, folder / f"{path.stem}.nii.gz")
    return Luna16(label="masks", masks=folder)


def test_masks_then_taken_with_their_numbers_and_measured(cohort, tmp_path):
    labels = write_masks(cohort, tmp_path / "masks")
    report = prepare_cohort(request(cohort, tmp_path / "out", data_set=labels))
    for prepared in report.prepared:
        (nodule,) = prepared.record["nodules"]
        assert nodule["id"] == 4
        assert nodule["slices"] == list(range(8, 14))
        volume = 6 * 7 * 6 * 2.5 * 1.25 * 1.0
        assert nodule["diameter_mm"] == pytest.approx((6 * volume / np.pi) ** (1 / 3))
        written = nibabel.load(tmp_path / "out" / "volumes" / f"{prepared.scan.id}.nii.gz")
        given = nibabel.load(tmp_path / "masks" / f"{prepared.scan.id}.nii.gz")
        np.testing.assert_array_equal(written.get_fdata(), given.get_fdata())
        np.testing.assert_allclose(written.affine, given.affine, atol=1e-4)


def test_excluded_findings_then_listed_with_slices_and_volumes_of_their_scan(cohort, tmp_path):
    rows = ["1.1,1,40,-60,-1", "1.1,5,45,-70,4.5", "9.9,1,1,1,3"]
    (cohort.folder / "annotations_excluded.csv").write_text("\n".join([HEADER, *rows]))
    prepare_cohort(request(cohort, tmp_path / "out"))
    content = json.loads((tmp_path / "out" / "datalist.json").read_text())
    entries = [e for one in (content, content["volumes"]) for name in PARTITIONS for e in one[name]]
    expected = [
        {"centre_lps_mm": [1.0, 40.0, -60.0], "diameter_mm": 10.0},
        {"centre_lps_mm": [5.0, 45.0, -70.0], "diameter_mm": 4.5},
    ]
    assert next(e["excluded"] for e in entries if e["series_uid"] == "1.1") == expected
    assert {e["series_uid"] for e in entries if "excluded" in e} == {"1.1"}


def test_mask_missing_or_on_another_grid_then_that_scan_is_left_out(cohort, tmp_path):
    labels = write_masks(cohort, tmp_path / "masks")
    cohort.add("1.9", [((20, 18, 10), 9.0)])
    moved = sitk.ReadImage(tmp_path / "masks" / "1.0.nii.gz")
    moved.SetOrigin((0, 0, 0))
    sitk.WriteImage(moved, tmp_path / "masks" / "1.0.nii.gz")
    report = prepare_cohort(request(cohort, tmp_path / "out", data_set=labels))
    reasons = {p.scan_id: p.reason for p in report.problems}
    assert set(reasons) == {"1.0", "1.9"}
    assert "not on the scan's grid" in reasons["1.0"]
    assert "no masks for this series" in reasons["1.9"]


def test_masks_folder_of_other_series_then_refused(cohort, tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"must hold <uid>.nii.gz of the 4 scans"):
        prepare_cohort(
            request(cohort, tmp_path / "o", data_set=Luna16(label="masks", masks=tmp_path))
        )


def test_volumes_false_then_none_written_or_listed(cohort, tmp_path):
    command_of("luna16")(str(cohort.folder), str(tmp_path / "out"), volumes="false", jobs=1)
    assert not (tmp_path / "out" / "volumes").exists()
    assert "volumes" not in json.loads((tmp_path / "out" / "datalist.json").read_text())


def test_output_that_another_process_writes_into_then_refused_and_nothing_written(cohort, tmp_path):
    out = tmp_path / "out"
    with held_by_another(out / LOCK), pytest.raises(InUseError, match="is writing into"):
        prepare_cohort(request(cohort, out))
    assert [path.name for path in out.iterdir()] == [LOCK]
    prepare_cohort(request(cohort, out))
    assert not (out / LOCK).exists()
