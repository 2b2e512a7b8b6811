import csv
import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from scripts.geometry import affine_of, same_geometry, to_lps
from scripts.luna16.options import LabelOptions, SliceOptions, SplitOptions
from scripts.luna16.preparation import Request, prepare, prepare_cohort
from scripts.samples import LoadSlicesd, load_datalist
from scripts.splits import SECTIONS, leaks
from tests.scripts.luna16.cohort import TinyCohort, as_image, chest, several


def request(cohort, output, **changes):
    options = {"slices": SliceOptions("all", empty_share=0.2), "jobs": 1, **changes}
    return Request(cohort.folder, output, **options)


def every_sample(output):
    return [s for section in SECTIONS for s in load_datalist(output / "datalist.json", section)]


@pytest.fixture
def cohort(tmp_path):
    return several(tmp_path / "luna")


@pytest.fixture
def prepared(cohort, tmp_path):
    prepare_cohort(request(cohort, tmp_path / "out"))
    return tmp_path / "out"


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
        for section in SECTIONS
        for v in load_datalist(prepared / "datalist.json", f"volumes/{section}")
    ]
    assert len(volumes) == 4
    for volume in volumes:
        image, label = sitk.ReadImage(volume["image"]), sitk.ReadImage(volume["label"])
        assert same_geometry(image, label)
        (nodule,) = volume["nodules"]
        index = image.TransformPhysicalPointToIndex(nodule["centre_lps_mm"])
        assert label[index] == 1


def test_datalist_then_tells_how_to_make_it_again(cohort, prepared):
    provenance = json.loads((prepared / "datalist.json").read_text())["provenance"]
    assert provenance["split"] == {"kind": "patient", "seed": 0}
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


@pytest.mark.parametrize("share", [0, 0.2, 0.5], ids=str)
def test_empty_share_then_reached_inside_lungs_and_5_mm_away(cohort, tmp_path, share):
    report = prepare_cohort(
        request(cohort, tmp_path / "out", slices=SliceOptions("central", empty_share=share))
    )
    samples = every_sample(tmp_path / "out")
    empty = [s for s in samples if not s["nodules"]]
    assert len(empty) == report.empty_wanted == round(4 * share / (1 - share))
    records = {p.scan.uid: p.record for p in report.prepared}
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


# --- splits ---------------------------------------------------------------------------------------


def test_patients_file_in_the_source_then_no_patient_on_two_sides(cohort, tmp_path):
    cohort.add("1.9", [((20, 18, 10), 9.0)])
    owners = {f"1.{n}": f"p{n % 4}" for n in (0, 1, 2, 3)} | {"1.9": "p0"}
    text = "seriesuid,patient_id\n" + "".join(f"{u},{p}\n" for u, p in owners.items())
    (cohort.folder / "patients.csv").write_text(text)
    for seed in range(4):
        options = request(cohort, tmp_path / "out", split=SplitOptions(seed=seed))
        report = prepare_cohort(options)
        datalist = json.loads((tmp_path / "out" / "datalist.json").read_text())
        assert leaks(datalist) == []
        patients = {s["patient_id"] for s in every_sample(tmp_path / "out")}
        assert patients == {"p0", "p1", "p2", "p3"}
        assert report.patients_file.endswith("patients.csv")


def test_patients_file_lacking_a_series_then_refused(cohort, tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("seriesuid,patient_id\n1.0,p\n")
    with pytest.raises(ValueError, match=r"3 of 4 are missing, the first: 1\.1"):
        prepare_cohort(request(cohort, tmp_path / "out", patients=table))


def test_subset_split_then_by_the_folder_of_each_scan(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    for k in range(3):
        cohort.add(f"1.{k}", [((20, 18, 9), 9.0)], subset=k)
    split = SplitOptions("subset", test_fold=1)
    prepare_cohort(request(cohort, tmp_path / "out", split=split))
    found = {
        section: {s["series_uid"] for s in load_datalist(tmp_path / "out/datalist.json", section)}
        for section in SECTIONS
    }
    assert found == {"test": {"1.1"}, "validation": {"1.2"}, "training": {"1.0"}}


def test_nodule_split_of_scans_with_three_nodules_then_leak_is_told(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    for n in range(2):
        cohort.add(f"1.{n}", [((20, 18, 6), 6.0), ((26, 18, 12), 6.0), ((14, 20, 12), 6.0)])
    split = SplitOptions("nodule", seed=1)
    slices = SliceOptions("central", empty_share=0)
    report = prepare_cohort(request(cohort, tmp_path / "out", split=split, slices=slices))
    samples = every_sample(tmp_path / "out")
    assert sum(len(s["nodules"]) for s in samples) == 6
    assert report.record()["patients_on_two_sides"]


def test_slice_block_split_of_one_scan_then_slices_apart(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    cohort.add("1.0", [((20, 18, 11), 20.0)])
    split = SplitOptions("slice_block")
    slices = SliceOptions("all", empty_share=0.3)
    prepare_cohort(request(cohort, tmp_path / "out", split=split, slices=slices))
    sides = {
        section: [s["slice"] for s in load_datalist(tmp_path / "out" / "datalist.json", section)]
        for section in SECTIONS
    }
    assert all(sides.values())
    for one in SECTIONS:
        for other in SECTIONS:
            if one != other:
                assert min(abs(a - b) for a in sides[one] for b in sides[other]) >= 2


def test_slice_block_of_central_slices_then_refused(cohort, tmp_path):
    with pytest.raises(ValueError, match="slices: must be all for --split slice_block"):
        request(
            cohort,
            tmp_path,
            split=SplitOptions("slice_block"),
            slices=SliceOptions("central"),
        )


def test_too_few_patients_then_refused_before_any_scan_is_read(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    cohort.add("1.0", [((20, 18, 9), 9.0)])
    with pytest.raises(ValueError, match="at least 3 patients"):
        prepare_cohort(request(cohort, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# --- other labels ---------------------------------------------------------------------------------


def write_masks(cohort, folder, change=lambda mask: mask):
    folder.mkdir(exist_ok=True)
    for path in cohort.folder.glob("subset*/*.mhd"):
        image = sitk.ReadImage(path)
        mask = np.zeros(image.GetSize()[::-1], np.uint8)
        mask[8:14, 15:22, 18:24] = 4
        label = sitk.GetImageFromArray(change(mask))
        label.CopyInformation(image)
        sitk.WriteImage(label, folder / f"{path.stem}.nii.gz")
    return LabelOptions("masks", masks=folder)


def test_masks_then_taken_with_their_numbers_and_measured(cohort, tmp_path):
    labels = write_masks(cohort, tmp_path / "masks")
    report = prepare_cohort(request(cohort, tmp_path / "out", labels=labels))
    for prepared in report.prepared:
        (nodule,) = prepared.record["nodules"]
        assert nodule["id"] == 4
        assert nodule["slices"] == list(range(8, 14))
        volume = 6 * 7 * 6 * 2.5 * 1.25 * 1.0
        assert nodule["diameter_mm"] == pytest.approx((6 * volume / np.pi) ** (1 / 3))
        written = nibabel.load(tmp_path / "out" / "volumes" / f"{prepared.scan.uid}.nii.gz")
        given = nibabel.load(tmp_path / "masks" / f"{prepared.scan.uid}.nii.gz")
        np.testing.assert_array_equal(written.get_fdata(), given.get_fdata())
        np.testing.assert_allclose(written.affine, given.affine, atol=1e-4)


def test_mask_missing_or_on_another_grid_then_that_scan_is_left_out(cohort, tmp_path):
    labels = write_masks(cohort, tmp_path / "masks")
    cohort.add("1.9", [((20, 18, 10), 9.0)])
    moved = sitk.ReadImage(tmp_path / "masks" / "1.0.nii.gz")
    moved.SetOrigin((0, 0, 0))
    sitk.WriteImage(moved, tmp_path / "masks" / "1.0.nii.gz")
    report = prepare_cohort(request(cohort, tmp_path / "out", labels=labels))
    reasons = {p.series_uid: p.reason for p in report.problems}
    assert set(reasons) == {"1.0", "1.9"}
    assert "not on the scan's grid" in reasons["1.0"]
    assert "no masks for this series" in reasons["1.9"]


def test_masks_folder_of_other_series_then_refused(cohort, tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match=r"must hold <uid>.nii.gz of the 4 scans"):
        prepare_cohort(
            request(cohort, tmp_path / "o", labels=LabelOptions("masks", masks=tmp_path))
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "disc"}, "label: must be one of ball, readers, masks, got 'disc'"),
        ({"label": "readers"}, "readers_xml: must name a folder for --label readers"),
        ({"label": "masks", "masks": "none"}, "masks: no folder none"),
        ({"min_readers": 5}, "min_readers: must be a whole number, 1 to 4, got 5"),
        ({"split": "random"}, "split: must be one of patient, nodule, subset, slice_block"),
        ({"test_fold": 10}, "test_fold: must be a whole number, 0 to 9, got 10"),
        ({"slices": "some"}, "slices: must be one of central, all"),
        ({"neighbours": -1}, "neighbours: must be a whole number, at least 0"),
        ({"empty_share": 1}, "empty_share: must be a number from 0 to below 1, got 1"),
        ({"jobs": 0}, "jobs: must be a whole number, at least 1"),
        ({"seed": 0.5}, "seed: must be a whole number"),
        ({"volumes": "maybe"}, "volumes: must be true or false, got 'maybe'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_option_then_refused_by_name(cohort, tmp_path, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(str(cohort.folder), str(tmp_path / "out"), **options)


def test_volumes_false_then_none_written_or_listed(cohort, tmp_path):
    prepare(str(cohort.folder), str(tmp_path / "out"), volumes="false", jobs=1)
    assert not (tmp_path / "out" / "volumes").exists()
    assert "volumes" not in json.loads((tmp_path / "out" / "datalist.json").read_text())


# --- broken scans ---------------------------------------------------------------------------------


def shorten_raw(cohort):
    with (cohort.folder / "subset0/1.0.raw").open("r+b") as file:
        file.truncate(1000)


def remove_raw(cohort):
    (cohort.folder / "subset0/1.0.raw").unlink()


def spoil_header(cohort):
    (cohort.folder / "subset0/1.0.mhd").write_text("not a header\n")


def outside(cohort):
    cohort.row("1.0", 500, 500, 500, 5)


def not_a_number(cohort):
    cohort.row("1.0", "nan", 1, 2, 5)


def remove_lung_labels(cohort):
    sitk.WriteImage(as_image(chest() * 0), cohort.folder / "seg-lungs-LUNA16/1.0.mhd")


def lungs_elsewhere(cohort):
    mask = sitk.ReadImage(cohort.folder / "seg-lungs-LUNA16/1.0.mhd")
    mask.SetOrigin((0, 0, 0))
    sitk.WriteImage(mask, cohort.folder / "seg-lungs-LUNA16/1.0.mhd")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (shorten_raw, "cut short"),
        (remove_raw, "data file 1.0.raw is not beside it"),
        (spoil_header, "not a MetaImage header"),
        (outside, "row 6: the centre lies outside the volume"),
        (not_a_number, "coordX must be finite, got nan"),
        (remove_lung_labels, "must hold 3"),
        (lungs_elsewhere, "not on the scan's grid"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_broken_scan_then_named_and_the_others_go_on(cohort, tmp_path, capsys, spoil, reason):
    spoil(cohort)
    with pytest.raises(SystemExit) as stop:
        prepare(str(cohort.folder), str(tmp_path / "out"), slices="all", jobs=1)
    assert stop.value.code == 1
    (problem,) = json.loads((tmp_path / "out" / "report.json").read_text())["problems"]
    assert problem["series_uid"] == "1.0"
    assert problem["scan_left_out"] is True
    assert reason in problem["reason"]
    printed = capsys.readouterr().out
    assert "scans: 3 of 4 prepared" in printed
    assert f"  1.0: {problem['place']}: " in printed
    (row,) = csv.DictReader((tmp_path / "out" / "report.csv").read_text().splitlines())
    assert row["series_uid"] == "1.0"
    assert {s["series_uid"] for s in every_sample(tmp_path / "out")} == {"1.1", "1.2", "1.3"}


def test_unknown_uid_and_duplicated_row_then_reported_and_no_scan_lost(cohort, tmp_path):
    cohort.row("7.7", 1, 2, 3, 4)
    cohort.rows.append(cohort.rows[0])
    cohort.write_rows()
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    assert [problem.place for problem in report.problems] == [
        "annotations.csv row 6",
        "annotations.csv row 7",
    ]
    assert len(report.prepared) == 4


def test_every_scan_broken_then_one_error_with_the_reasons(tmp_path):
    cohort = several(tmp_path / "luna", 3)
    for path in cohort.folder.glob("subset0/*.raw"):
        path.unlink()
    with pytest.raises(ValueError, match="none of the 3 scans can be used: 1.0: 1.0.mhd: .*raw"):
        prepare_cohort(request(cohort, tmp_path / "out"))


def test_nodule_hidden_by_smaller_ones_then_named(tmp_path):
    cohort = several(tmp_path / "luna")
    cohort.add("1.9", [((20, 18, 9), 1.0), ((20, 18, 9), 1.1)])
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    (problem,) = report.problems
    assert "no voxel of the label is its own" in problem.reason


def test_lungs_without_seg_lungs_then_computed_and_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "scripts.luna16.scan_samples.lung_field", lambda hu, spacing_mm: np.asarray(hu) < -500
    )
    cohort = TinyCohort(tmp_path / "luna", lungs=False)
    for n in range(3):
        cohort.add(f"1.{n}", [((20, 18, 9), 9.0)])
    prepare(str(cohort.folder), str(tmp_path / "out"), jobs=1)
    assert "lung field: computed for 3 scans" in capsys.readouterr().out


def test_nodule_outside_the_lungs_then_told(cohort, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "scripts.luna16.scan_samples.lung_field_from_labels", lambda labels, spacing_mm: labels > 2
    )
    cohort.add("1.9", [((4, 4, 9), 3.0)])
    prepare(str(cohort.folder), str(tmp_path / "out"), jobs=1)
    assert "1 nodules lie mostly outside the lung field" in capsys.readouterr().out


# --- doing it again -------------------------------------------------------------------------------


def states(output):
    return {p.parent.name: p.stat().st_mtime_ns for p in output.glob("scans/*/image.npy")}


def test_again_then_finished_scans_are_kept(cohort, tmp_path):
    first = prepare_cohort(request(cohort, tmp_path / "out"))
    before, datalist = states(tmp_path / "out"), every_sample(tmp_path / "out")
    again = prepare_cohort(request(cohort, tmp_path / "out"))
    assert (first.reused, again.reused) == (0, 4)
    assert states(tmp_path / "out") == before
    assert every_sample(tmp_path / "out") == datalist


@pytest.mark.parametrize(
    "changes",
    [
        {"slices": SliceOptions("central", empty_share=0.2)},
        {"slices": SliceOptions("all", neighbours=0, empty_share=0.2)},
        {"slices": SliceOptions("all", empty_share=0.2, seed=1)},
        {"volumes": False},
    ],
    ids=["slices", "neighbours", "seed", "volumes"],
)
def test_again_with_another_option_then_made_anew(cohort, prepared, changes):
    assert prepare_cohort(request(cohort, prepared, **changes)).reused == 0


def test_again_with_another_split_then_nothing_is_read_again(cohort, prepared):
    report = prepare_cohort(request(cohort, prepared, split=SplitOptions(seed=3)))
    assert report.reused == 4


def test_again_after_one_scan_changed_then_only_that_one(cohort, prepared):
    before = states(prepared)
    cohort.rows[1] = cohort.rows[1].replace(",9.0", ",10.0")
    cohort.write_rows()
    path = cohort.folder / "subset0" / "1.0.raw"
    path.write_bytes(path.read_bytes())
    (prepared / "scans" / "1.2" / "lung.npy").unlink()
    report = prepare_cohort(request(cohort, prepared))
    assert report.reused == 1
    assert {uid for uid, time in states(prepared).items() if time == before[uid]} == {"1.3"}


def test_killed_between_two_files_then_the_scan_is_made_anew(cohort, tmp_path, monkeypatch):
    full = prepare_cohort(request(cohort, tmp_path / "whole"))

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("scripts.luna16.scan_samples.nibabel.save", die)
        with pytest.raises(KeyboardInterrupt):
            prepare_cohort(request(cohort, tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("scan.json"))
    assert not list((tmp_path / "out").rglob(".part*"))
    report = prepare_cohort(request(cohort, tmp_path / "out"))
    assert report.reused == 0
    for path in sorted((tmp_path / "whole").rglob("*.npy")):
        other = tmp_path / "out" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes()
    assert report.lists == full.lists


def test_full_disk_then_one_clear_line_and_no_half_file(cohort, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("scripts.luna16.scan_samples.np.save", full)
    with pytest.raises(OSError, match=r"cannot write into .*out: No space left.* goes on from"):
        prepare_cohort(request(cohort, tmp_path / "out"))
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_output_that_cannot_be_written_then_refused_at_once(cohort, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"output: cannot write into .*file.out: Not a directory"):
        prepare_cohort(request(cohort, tmp_path / "file" / "out"))
