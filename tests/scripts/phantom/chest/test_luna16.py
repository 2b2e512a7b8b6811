from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.phantom.chest.luna16 import make_cohort
from scripts.suspicion.rated_nodules import read_nodules
from tests.scripts.phantom.conftest import OPTIONS, Cohort, array

KEYS = [
    *("ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "CompressedData"),
    *("TransformMatrix", "Offset", "CenterOfRotation", "AnatomicalOrientation"),
    *("ElementSpacing", "DimSize", "ElementType", "ElementDataFile"),
]
TINY = {"seed": 5, "size": 64, "slices": 24}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_cohort_has_the_files_of_luna16(cohort: Cohort) -> None:
    top = {path.name for path in cohort.folder.iterdir()}
    tables = {"annotations.csv", "seriesuids.csv", "patients.csv", "nodules.csv"}
    assert tables | {"seg-lungs-LUNA16", "masks", "README.txt", "cohort.json"} <= top
    for uid in cohort.uids:
        assert len(list(cohort.folder.glob(f"subset?/{uid}.raw"))) == 1
    assert list(cohort.rows("annotations.csv")[0]) == [
        *("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
    ]
    assert "SYNTHETIC" in (cohort.folder / "README.txt").read_text()


def test_header_has_the_fields_of_luna16_in_order(cohort: Cohort) -> None:
    for path in cohort.folder.glob("subset?/*.mhd"):
        lines = path.read_text().splitlines()
        fields = dict(line.split(" = ") for line in lines)
        assert list(fields) == KEYS
        assert fields["ElementType"] == "MET_SHORT"
        assert (path.parent / fields["ElementDataFile"]).stat().st_size == 2 * 96 * 96 * 60


def test_image_lungs_and_masks_share_one_geometry(cohort: Cohort) -> None:
    for uid in cohort.uids:
        image = cohort.image(uid)
        assert image.GetSize() == (96, 96, 60)
        for other in (cohort.lungs(uid), cohort.masks(uid)):
            assert other.GetSize() == image.GetSize()
            np.testing.assert_allclose(other.GetOrigin(), image.GetOrigin(), atol=1e-3)
            np.testing.assert_allclose(other.GetSpacing(), image.GetSpacing(), rtol=1e-5)
            np.testing.assert_allclose(other.GetDirection(), image.GetDirection(), atol=1e-6)


def test_annotations_number_the_masks_and_measure_them(cohort: Cohort) -> None:
    rows = cohort.rows("annotations.csv")
    for uid in cohort.uids:
        image, masks = cohort.masks(uid), array(cohort.masks(uid))
        own = [row for row in rows if row["seriesuid"] == uid]
        assert sorted(set(np.unique(masks)) - {0}) == list(range(1, len(own) + 1))
        for number, row in enumerate(own, start=1):
            point = [float(row[name]) for name in ("coordX", "coordY", "coordZ")]
            x, y, z = image.TransformPhysicalPointToIndex(point)
            assert masks[z, y, x] == number
            volume = (masks == number).sum() * np.prod(image.GetSpacing())
            diameter = float(row["diameter_mm"])
            assert diameter == pytest.approx(np.cbrt(6 * volume / np.pi), rel=1e-5)
            assert diameter >= 3.0


def test_nodules_lie_inside_the_lungs(cohort: Cohort) -> None:
    for uid in cohort.uids:
        lungs, masks = array(cohort.lungs(uid)), array(cohort.masks(uid))
        assert np.isin(lungs[masks > 0], (3, 4, 5)).all()


def test_left_lung_lies_at_larger_x_also_where_the_scan_is_flipped(cohort: Cohort) -> None:
    directions = set()
    for uid in cohort.uids:
        image = cohort.lungs(uid)
        directions.add(image.GetDirection()[0])
        means = {}
        for label in (3, 4, 5):
            index = np.argwhere(array(image) == label).mean(axis=0)[::-1]
            means[label] = image.TransformContinuousIndexToPhysicalPoint(index.tolist())
        assert means[3][0] > means[5][0] > means[4][0]
    assert directions == {1.0, -1.0}


def test_nodules_are_denser_than_the_lung_around(cohort: Cohort) -> None:
    kinds = {(row["seriesuid"], int(row["id"])): row["kind"] for row in cohort.rows("nodules.csv")}
    for (uid, number), kind in kinds.items():
        inside = array(cohort.image(uid))[array(cohort.masks(uid)) == number]
        assert np.median(inside) > (-780 if kind in ("ground-glass", "part-solid") else -600)


def test_a_patient_owns_two_series_with_the_same_chest(cohort: Cohort) -> None:
    owner: dict[str, list[str]] = {}
    for row in cohort.rows("patients.csv"):
        owner.setdefault(row["patient_id"], []).append(row["seriesuid"])
    assert len(owner) == 4
    assert [len(series) for series in owner.values()] == [1, 2, 1, 1]
    kinds = [
        [row["kind"] for row in cohort.rows("nodules.csv") if row["seriesuid"] == uid]
        for uid in owner["PHANTOM-0001"]
    ]
    assert kinds[0] == kinds[1]
    first, second = (array(cohort.image(uid)) for uid in owner["PHANTOM-0001"])
    assert not np.array_equal(first, second)


def test_uids_are_valid_dicom_uids(cohort: Cohort) -> None:
    for uid in cohort.uids:
        assert re.fullmatch(r"2\.25\.[1-9][0-9]*", uid)
        assert len(uid) <= 64
    assert len(set(cohort.uids)) == 5


def test_same_seed_gives_the_same_bytes_and_a_larger_cohort_begins_alike(
    cohort: Cohort, tmp_path: Path
) -> None:
    make_cohort(str(tmp_path), patients=2, **OPTIONS)
    small, large = digests(tmp_path), digests(cohort.folder)
    scans = [name for name in small if "/" in name]
    assert len(scans) == 3 * 6
    assert all(small[name] == large[name] for name in scans)


def test_cohort_grown_in_place_equals_one_made_at_once_with_processes(tmp_path: Path) -> None:
    make_cohort(str(tmp_path / "grown"), patients=1, **TINY)
    make_cohort(str(tmp_path / "grown"), patients=2, **TINY)
    make_cohort(str(tmp_path / "once"), patients=2, jobs=2, **TINY)
    assert digests(tmp_path / "grown") == digests(tmp_path / "once")


def test_interrupted_cohort_is_completed_and_the_rest_kept(tmp_path: Path) -> None:
    make_cohort(str(tmp_path), patients=2, **TINY)
    before = digests(tmp_path)
    raws = sorted(tmp_path.glob("subset?/*.raw"))
    kept = raws[1].stat().st_mtime_ns
    raws[0].unlink()
    make_cohort(str(tmp_path), patients=2, **TINY)
    assert digests(tmp_path) == before
    assert raws[1].stat().st_mtime_ns == kept


def test_another_seed_gives_other_images_and_uids(tmp_path: Path, cohort: Cohort) -> None:
    make_cohort(str(tmp_path), patients=1, **{**OPTIONS, "seed": 6})
    other = Cohort(tmp_path)
    assert other.uids[0] not in cohort.uids
    assert not np.array_equal(
        array(other.image(other.uids[0])), array(cohort.image(cohort.uids[0]))
    )


def test_nodule_limits_are_kept(tmp_path: Path) -> None:
    make_cohort(str(tmp_path), patients=3, nodule_min_mm=12, nodule_max_mm=16, **OPTIONS)
    diameters = [float(row["diameter_mm"]) for row in Cohort(tmp_path).rows("annotations.csv")]
    assert min(diameters) >= 12.0
    assert max(diameters) < 16.3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"size": 32}, "size: must be a whole number, 64 to 1024, got 32"),
        ({"size": 100.5}, "size: must be"),
        ({"patients": 0}, "patients: must be"),
        ({"seed": -1}, "seed: must be"),
        ({"slices": 3}, "slices: must be a whole number, 16"),
        ({"jobs": 0}, "jobs: must be"),
        ({"nodule_min_mm": 2}, "nodule diameters must satisfy 3 <= nodule_min_mm"),
        ({"nodule_min_mm": 9, "nodule_max_mm": 8}, "got 9 and 8"),
        ({"nodule_max_mm": 31}, "<= 30 mm"),
    ],
)
def test_bad_option_is_refused_before_anything_is_written(
    tmp_path: Path, option: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_cohort(str(tmp_path / "new"), **option)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_nodules_without_room_are_refused_saying_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lower nodule_max_mm or raise slices"):
        make_cohort(
            str(tmp_path), patients=1, size=64, slices=16, nodule_min_mm=28, nodule_max_mm=30
        )


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty and holds no cohort"):
        make_cohort(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_cohort_with_other_options_is_refused(tmp_path: Path) -> None:
    make_cohort(str(tmp_path), patients=1, **TINY)
    for change in ({"seed": 6}, {"size": 96}, {"slices": 25}, {"nodule_min_mm": 4}):
        with pytest.raises(FileExistsError, match="use the same options"):
            make_cohort(str(tmp_path), patients=1, **{**TINY, **change})
    assert json.loads((tmp_path / "cohort.json").read_text())["seed"] == 5


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="must be a folder"):
        make_cohort(str(tmp_path / "file"))
    with pytest.raises(OSError, match="cannot write into .*below: Not a directory"):
        make_cohort(str(tmp_path / "file" / "below"))


def test_two_classes_then_rated_in_the_xml_and_named_in_the_table(tmp_path: Path) -> None:
    classes = {"suspicion": True, "matched_sizes": True, "nodule_min_mm": 8, "nodule_max_mm": 14}
    make_cohort(str(tmp_path), patients=1, seed=5, size=96, slices=60, **classes)
    options = json.loads((tmp_path / "cohort.json").read_text())
    assert (options["suspicion"], options["matched_sizes"]) == (True, True)
    header, *lines = (tmp_path / "nodules.csv").read_text().splitlines()
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    assert sorted(row["suspicious"] for row in rows[:2]) == ["0", "1"]
    sizes = [float(row["diameter_mm"]) for row in rows]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)
    found = read_nodules(Luna16(label="readers", outlines=tmp_path / "lidc_xml"), tmp_path)
    assert len(found.nodules) == len(rows)
    means = sorted((np.mean(nodule.ratings), nodule.patient) for nodule in found.nodules)
    assert means[0][0] < 3 < means[-1][0]


def test_cohort_without_classes_then_no_trace_of_them(cohort: Cohort) -> None:
    assert "suspicion" not in (cohort.folder / "cohort.json").read_text()
    assert "suspicious" not in (cohort.folder / "nodules.csv").read_text()
    assert not any(
        "suspicious" in path.read_text() for path in cohort.folder.glob("records/*.json")
    )
    assert not (cohort.folder / "lidc_xml").exists()


def test_matched_sizes_without_classes_then_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="matched_sizes: needs --suspicion true"):
        make_cohort(str(tmp_path / "new"), patients=1, matched_sizes=True)
