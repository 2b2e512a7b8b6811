"""The two real LUNA16 scans, prepared with either kind of label."""

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.datalist import load_datalist
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.preparation.cohort import Request, prepare_cohort
from scripts.preparation.prepare_options import SliceOptions, SplitOptions
from scripts.volumes.geometry import affine_of, grid_difference, world_to_index

pytestmark = pytest.mark.real
OFFICIAL = "1.3.6.1.4.1.14519.5.2.1.6279.6001.170706757615202213033480003264"
EXCERPT = "1.3.6.1.4.1.14519.5.2.1.6279.6001.619372068417051974713149104919"


def prepared_with(real_data, output, data_set):
    request = Request(
        data_set,
        real_data / "luna16",
        output,
        SliceOptions("all", empty_share=0.2),
        SplitOptions("slice_block"),
    )
    return prepare_cohort(request)


@pytest.fixture(scope="module")
def balls(real_data, tmp_path_factory):
    output = tmp_path_factory.mktemp("balls")
    return output, prepared_with(real_data, output, Luna16())


@pytest.fixture(scope="module")
def consensus(real_data, tmp_path_factory):
    output = tmp_path_factory.mktemp("readers")
    readers = Luna16("readers", real_data / "luna16" / "lidc_xml")
    return output, prepared_with(real_data, output, readers)


def samples_of(output):
    return [s for section in PARTITIONS for s in load_datalist(output / "datalist.json", section)]


def volumes_of(real_data, output):
    """Image, label and nodules of each scan; blocks of slices list no volumes."""
    nodules = {}
    for sample in samples_of(output):
        own = nodules.setdefault(sample["series_uid"], {})
        own.update((nodule["id"], nodule) for nodule in sample["nodules"])
    return {
        uid: {
            "image": real_data / "luna16" / "subset0" / f"{uid}.mhd",
            "label": output / "volumes" / f"{uid}.nii.gz",
            "nodules": [own[number] for number in sorted(own)],
        }
        for uid, own in nodules.items()
    }


def test_real_samples_then_equal_the_slices_of_the_scan(real_data, balls):
    output, report = balls
    assert not report.problems
    hu = {}
    for sample in samples_of(output):
        uid = sample["series_uid"]
        if uid not in hu:
            image = sitk.ReadImage(real_data / "luna16" / "subset0" / f"{uid}.mhd")
            hu[uid] = sitk.GetArrayFromImage(image)
        k = sample["slice"]
        np.testing.assert_array_equal(LoadSlicesd()(sample)["image"], hu[uid][[k - 1, k, k + 1]])


def test_real_balls_then_three_official_nodules_of_their_volumes(real_data, balls):
    output, _ = balls
    volume = volumes_of(real_data, output)[OFFICIAL]
    image, label = sitk.ReadImage(volume["image"]), sitk.ReadImage(volume["label"])
    assert not grid_difference(image, label)
    voxel_mm3 = np.prod(image.GetSpacing())
    instances = sitk.GetArrayFromImage(label)
    assert [round(n["diameter_mm"], 1) for n in volume["nodules"]] == [21.5, 8.8, 12.8]
    for nodule in volume["nodules"]:
        exact = np.pi / 6 * nodule["diameter_mm"] ** 3
        measured = (instances == nodule["id"]).sum() * voxel_mm3
        assert measured == pytest.approx(exact, rel=0.1)


def test_real_slices_held_back_then_apart_from_those_of_training(balls):
    output, _ = balls
    sides = {
        section: [
            (s["series_uid"], s["slice"])
            for s in load_datalist(output / "datalist.json", section)
            if s["nodules"]
        ]
        for section in PARTITIONS
    }
    assert all(sides.values())
    for uid, number in sides["training"]:
        assert all(abs(number - k) >= 2 for other, k in sides["test"] if other == uid)


def test_real_readers_then_agree_with_the_reference_votes(real_data, consensus):
    output, report = consensus
    assert not report.problems
    for uid, volume in volumes_of(real_data, output).items():
        reference = real_data / "luna16" / "reference_masks" / f"{uid}_nodule_votes.nii.gz"
        wanted = sitk.GetArrayFromImage(sitk.ReadImage(reference)) >= 2
        label = sitk.ReadImage(volume["label"])
        assert not grid_difference(sitk.ReadImage(volume["image"]), label)
        found = sitk.GetArrayFromImage(label) > 0
        dice = 2 * (wanted & found).sum() / (wanted.sum() + found.sum())
        assert dice >= 0.9, f"{uid}: Dice {dice:.3f}"
        assert found.sum() == pytest.approx(wanted.sum(), rel=0.1)


def test_real_readers_then_every_official_centre_lies_inside(real_data, balls, consensus):
    official = volumes_of(real_data, balls[0])[OFFICIAL]["nodules"]
    volume = volumes_of(real_data, consensus[0])[OFFICIAL]
    image = sitk.ReadImage(volume["label"])
    instances = sitk.GetArrayFromImage(image)
    affine = affine_of(image)
    hit = set()
    for nodule in official:
        i, j, k = np.rint(world_to_index(nodule["centre_lps_mm"], affine)).astype(int)
        hit.add(int(instances[k, j, i]))
    assert 0 not in hit
    assert len(hit) == 3


def test_real_excerpt_then_the_nodule_of_two_readers_is_found(real_data, consensus):
    volume = volumes_of(real_data, consensus[0])[EXCERPT]
    assert len(volume["nodules"]) == 1


def test_real_nodules_then_inside_the_computed_lung_field(balls):
    _, report = balls
    assert set(report.facts()["lung_field"].values()) == {"computed"}
    assert report.outside_lungs == []
