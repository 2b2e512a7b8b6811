import csv

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.luna16.lidc_xml import read_xml
from scripts.datasets.luna16.outlines import (
    Outline,
    ReaderNodule,
    count_outside,
    enclosed,
    reader_instances,
    share_voxel,
)
from scripts.volumes.geometry import affine_of, set_affine, to_lps, world_to_index
from scripts.volumes.readers import read_image

UID = "1.2.3"
SHAPE = (6, 40, 48)
AFFINE = np.array([[0.7, 0, 0, -10], [0, 0.7, 0, -20], [0, 0, 2.0, -50], [0, 0, 0, 1.0]])


def roi(z, points, inclusion="TRUE"):
    edges = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points
    )
    head = f"<imageZposition>{z} </imageZposition><inclusion>{inclusion}</inclusion>"
    return f"<roi>{head}{edges}</roi>"


def square(x, y, half):
    """Edge points of a square whose inside is 2 half - 1 pixels wide."""
    steps = range(-half, half)
    top = [(x + s, y - half) for s in steps] + [(x + half, y + s) for s in steps]
    return top + [(x - s, y + half) for s in steps] + [(x - half, y - s) for s in steps]


def nodule(name, *rois, ratings=""):
    inside = f"<noduleID>{name}</noduleID>{ratings}{''.join(rois)}"
    return f"<unblindedReadNodule>{inside}</unblindedReadNodule>"


def write_xml(tmp_path, *sessions, head="", uid=UID):
    body = "".join(f"<readingSession>{session}</readingSession>" for session in sessions)
    path = tmp_path / "reading.xml"
    path.write_text(
        f'<?xml version="1.0"?>{head}<LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{uid}</SeriesInstanceUid></ResponseHeader>{body}</LidcReadMessage>"
    )
    return path


def image_with(affine=AFFINE, shape=SHAPE):
    return set_affine(sitk.Image(*shape[::-1], sitk.sitkInt16), affine)


def votes_of(outlines):
    """Number of readers who outlined each voxel, from the consensus of one reader, of two ..."""
    numbers = range(1, len(outlines.readers) + 1)
    maps = [reader_instances(outlines, image_with(), min_readers=n)[0] > 0 for n in numbers]
    return np.sum(maps, axis=0)


def test_outline_when_filled_then_its_own_pixels_stay_out():
    rows, columns = enclosed(np.array(square(10, 20, 4)), (40, 48))
    assert (rows.min(), rows.max()) == (17, 23)
    assert (columns.min(), columns.max()) == (7, 13)
    assert len(rows) == 49


def test_votes_when_readers_differ_then_counted_per_voxel_and_holes_cut(tmp_path):
    ring = nodule("a", roi(-46, square(20, 20, 8)), roi(-46, square(20, 20, 3), "FALSE"))
    path = write_xml(tmp_path, ring, nodule("b", roi(-46.0, square(20, 20, 6))))
    votes = votes_of(read_xml(path))
    assert not votes[[0, 1, 3, 4, 5]].any()
    assert votes[2, 20, 20] == 1  # in a's hole
    assert votes[2, 20, 23] == 2  # a hole's outline is nodule
    assert votes[2, 20, 27] == 1
    assert votes[2, 20, 28] == 0  # on the outline
    assert (votes == 2).sum() == 11**2 - 5**2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)], ids=str)
def test_votes_when_outline_inside_a_hole_then_nodule_again_in_any_order(tmp_path, order):
    rois = [
        roi(-46, square(20, 20, 14)),
        roi(-46, square(20, 20, 10), "FALSE"),
        roi(-46, square(20, 20, 6)),
        roi(-46, square(20, 20, 3), "FALSE"),
    ]
    votes = votes_of(read_xml(write_xml(tmp_path, nodule("a", *(rois[i] for i in order)))))
    assert (votes[2] == 1).sum() == 27**2 - 19**2 + 11**2 - 5**2
    row = votes[2, 20, 20:34]
    assert row.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]


def test_votes_when_hole_crosses_an_outline_then_cut_from_all_around_it(tmp_path):
    outer, inner = roi(-46, square(20, 20, 10)), roi(-46, square(20, 20, 5))
    crossing = roi(-46, square(30, 20, 7), "FALSE")
    votes = votes_of(read_xml(write_xml(tmp_path, nodule("a", outer, inner, crossing))))
    assert votes[2, 20, 20:30].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]


def test_votes_when_a_reader_outlined_a_voxel_twice_then_one_vote(tmp_path):
    twice = nodule("a", roi(-46, square(20, 20, 5))) + nodule("b", roi(-46, square(22, 20, 5)))
    assert votes_of(read_xml(write_xml(tmp_path, twice, ""))).max() == 1


@pytest.mark.parametrize(
    "signs", [(1, 1, 1), (-1, -1, 1), (1, 1, -1)], ids=["identity", "flipped", "head first"]
)
def test_instances_when_image_flipped_then_pixels_are_the_files_own(tmp_path, signs):
    affine = AFFINE @ np.diag([*signs, 1.0])
    image = image_with(affine)
    z = affine[2, 3] + 4 * affine[2, 2]
    path = write_xml(tmp_path, nodule("a", roi(z, square(10, 30, 4))))
    instances, nodules = reader_instances(read_xml(path), image, min_readers=1)
    expected_mm = affine[:3] @ [10, 30, 4, 1]
    np.testing.assert_allclose(nodules[0]["centre_lps_mm"], expected_mm)
    where = np.argwhere(instances).mean(axis=0)[::-1]
    lps = affine_of(to_lps(image))
    np.testing.assert_allclose(where, world_to_index(expected_mm, lps), atol=1e-6)
    assert (instances.shape, instances.dtype) == (SHAPE, np.uint8)


def test_instances_when_nodules_touch_then_two_ids_from_feet_to_head(tmp_path):
    upper = [roi(z, square(14, 20, 5)) for z in (-44, -42)]
    lower = [roi(z, square(23, 20, 5)) for z in (-46, -44)]
    reader = nodule("up", *upper) + nodule("low", *lower)
    instances, nodules = reader_instances(
        read_xml(write_xml(tmp_path, reader, reader, "", "")), image_with(), min_readers=2
    )
    assert [n["id"] for n in nodules] == [1, 2]
    assert instances[3, 20, 18] == 2
    assert instances[3, 20, 19] == 1  # the very next pixel
    assert [n["readers"] for n in nodules] == [2, 2]
    assert set(np.unique(instances[2])) == {0, 1}
    assert nodules[0]["diameter_mm"] == pytest.approx((6 / np.pi * 162 * 0.7**2 * 2) ** (1 / 3))


def test_instances_when_rated_then_texture_by_the_median_and_each_rating_of_malignancy(tmp_path):
    given = "<characteristics><texture>{}</texture><malignancy>{}</malignancy></characteristics>"
    outline = roi(-44, square(14, 20, 5))
    readers = [nodule("a", outline, ratings=given.format(*r)) for r in ((1, 4), (1, 5), (3, 2))]
    outlines = read_xml(write_xml(tmp_path, *readers, nodule("b", outline)))
    _, (found,) = reader_instances(outlines, image_with())
    assert (found["texture"], found["malignancy"]) == ("ground_glass", [4, 5, 2])
    _, (unrated,) = reader_instances(
        read_xml(write_xml(tmp_path, nodule("b", outline))), image_with(), min_readers=1
    )
    assert not {"texture", "malignancy"} & set(unrated)


def test_instances_when_outlines_lie_outside_the_volume_then_counted_and_reported(tmp_path, caplog):
    rois = [roi(z, square(14, 20, 5)) for z in (-40, -38, -30, -52)]
    outlines = read_xml(write_xml(tmp_path, nodule("a", *rois)))
    assert count_outside(outlines, SHAPE, AFFINE) == 3
    instances, nodules = reader_instances(outlines, image_with(), min_readers=1)
    assert len(nodules) == 1
    assert instances[5].any()
    assert "1.2.3: 3 outlines lie on slices outside the volume" in caplog.text


@pytest.mark.parametrize("readers", [0, 3])
def test_instances_when_min_readers_impossible_then_refused(tmp_path, readers):
    outlines = read_xml(write_xml(tmp_path, "", ""))
    with pytest.raises(ValueError, match=f"min_readers: must be 1 to 2, .* got {readers}"):
        reader_instances(outlines, image_with(), min_readers=readers)


def test_votes_when_z_between_slices_then_refused(tmp_path):
    outlines = read_xml(write_xml(tmp_path, nodule("a", roi(-45, square(14, 20, 5)))))
    with pytest.raises(ValueError, match="z = -45.0 mm lies between slices 2 and 3"):
        reader_instances(outlines, image_with(), min_readers=1)


def test_votes_when_points_beyond_the_image_then_refused(tmp_path):
    outlines = read_xml(write_xml(tmp_path, nodule("a", roi(-46, square(46, 20, 5)))))
    with pytest.raises(ValueError, match="must lie in the image of .40, 48. pixels"):
        reader_instances(outlines, image_with(), min_readers=1)


def test_votes_when_slices_not_axial_then_refused(tmp_path):
    outlines = read_xml(write_xml(tmp_path, nodule("a", roi(-46, square(14, 20, 5)))))
    with pytest.raises(ValueError, match="slices must be axial"):
        reader_instances(outlines, image_with(AFFINE[:, [2, 0, 1, 3]]), min_readers=1)


@pytest.mark.parametrize(("degrees", "accepted"), [(2, True), (3, False)])
def test_votes_when_slices_nearly_axial_then_accepted_up_to_a_thousandth(
    tmp_path, degrees, accepted
):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
    affine = turn @ AFFINE
    z = affine[2, 3] + 2 * affine[2, 2]
    outlines = read_xml(write_xml(tmp_path, nodule("a", roi(z, square(14, 20, 5)))))
    if accepted:
        instances, _ = reader_instances(outlines, image_with(affine), min_readers=1)
        assert np.flatnonzero(instances.any(axis=(1, 2))).tolist() == [2]
    else:
        with pytest.raises(ValueError, match="slices must be axial"):
            reader_instances(outlines, image_with(affine), min_readers=1)


def drawn(z, *centre_and_half, includes=True):
    points = np.array(square(*centre_and_half))
    return ReaderNodule("a", (Outline(z, includes, points),))


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (drawn(1.0, 23, 20, 5), True),
        (drawn(1.0, 29, 20, 5), False),  # their insides touch, the outlines cross
        (drawn(1.0, 40, 20, 5), False),
        (drawn(1.0, 20, 50, 5), False),
        (drawn(2.0, 20, 20, 5), False),
        (drawn(1.0, 20, 20, 5, includes=False), False),
    ],
    ids=["overlap", "touch", "beside", "below", "other slice", "a hole alone"],
)
def test_nodules_of_two_readers_then_share_a_voxel_or_not(other, shared):
    assert share_voxel(drawn(1.0, 20, 20, 5), other) is shared
    assert share_voxel(other, drawn(1.0, 20, 20, 5)) is shared


@pytest.mark.real
@pytest.mark.parametrize("name", ["LIDC-IDRI-0002_071", "LIDC-IDRI-0003_072"])
def test_votes_when_real_then_equal_the_reference_and_hold_the_official_centres(real_data, name):
    luna = real_data / "luna16"
    outlines = read_xml(luna / "lidc_xml" / f"{name}.xml")
    uid = outlines.series_uid
    image = read_image(luna / "subset0" / f"{uid}.mhd")
    file = luna / "reference_masks" / f"{uid}_nodule_votes.nii.gz"
    instances, nodules = reader_instances(outlines, image, min_readers=2)
    agreed, reference = instances > 0, sitk.GetArrayFromImage(to_lps(read_image(file))) >= 2
    assert 2 * (agreed & reference).sum() / (agreed.sum() + reference.sum()) > 0.98
    with (luna / "annotations.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["seriesuid"] == uid]
    lps = affine_of(to_lps(image))
    centres = [[float(row[f"coord{axis}"]) for axis in "XYZ"] for row in rows]
    indices = [np.rint(world_to_index(centre, lps)).astype(int) for centre in centres]
    ids = [int(instances[tuple(index[::-1])]) for index in indices]
    assert sorted(ids) == list(range(1, len(rows) + 1))
    for number, row in zip(ids, rows, strict=True):
        wanted = pytest.approx(float(row["diameter_mm"]), rel=0.15)
        assert nodules[number - 1]["diameter_mm"] == wanted
