import numpy as np
import pytest

from scripts.datasets.ircadb.structures import (
    class_names,
    other_meaning,
    paint,
    part_of,
    recognise,
)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("liver", "liver"),
        ("Liver", "liver"),
        ("livertumor", "liver tumour"),
        ("livertumors", "liver tumour"),
        ("livertumor1", "liver tumour"),
        ("livertumor07", "liver tumour"),
        ("Liver_Tumor 2", "liver tumour"),
        ("livercyst", "liver cyst"),
        ("liverkyst", "liver cyst"),
        ("liverkyste", "liver cyst"),
        ("bone", "bone"),
        ("kidneys", "both kidneys"),
        ("leftkidney", "left kidney"),
        ("right_kidney", "right kidney"),
    ],
)
def test_variant_of_a_used_structure_then_its_part(name, part):
    assert part_of(name) == part
    assert other_meaning(name) is None


@pytest.mark.parametrize("name", ["tumor", "leftsurretumor", "metastasectomie", "hyperplasie"])
def test_lesion_that_is_no_liver_tumour_then_never_a_part(name):
    found = recognise(["liver", name])
    assert part_of(name) is None
    assert found.others[name]
    assert found.parts == {"liver": "liver"}


# the folder names of the published data set that make no class
PUBLISHED = (
    "artery", "aorta", "biliarysystem", "bladder", "colon", "duodenum", "gallbladder", "heart",
    "Hyperplasie", "leftlung", "leftsurrenalgland", "leftsurretumor", "lungs", "lymphNodes",
    "metal", "metastasectomie", "pancreas", "portalvein", "portalvein1", "rightlung",
    "rightsurrenalGland", "rightsurretumor", "sigmoid", "skin", "smallintestin", "spleen",
    "stomach", "stomachoesophage", "Stones", "surrenalgland", "tumor", "uterus", "venacava",
    "venoussystem",
)  # fmt: skip


def test_every_other_published_name_then_recognised():
    found = recognise(PUBLISHED)
    assert not found.parts
    assert not found.unrecognised


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["liver", "bone"], (0, 1, 2)),
        (["liver", "leftkidney"], (0, 1)),
        (["liver", "leftkidney", "rightkidney"], (0, 1, 3)),
        (["bone", "kidneys"], (0, 2, 3)),
        (["livertumor1", "skin"], (0,)),
    ],
    ids=["no-kidney", "one-kidney", "two-kidneys", "kidneys", "tumour-without-liver"],
)
def test_class_with_a_part_missing_then_unknown(names, known):
    assert recognise(names).known_classes() == known


def test_liver_without_tumour_folder_then_tumour_known_to_be_absent():
    assert recognise(["liver"]).known_classes(tumour=True) == (0, 1, 4)
    assert recognise(["bone"]).known_classes(tumour=True) == (0, 2)


def test_incomplete_class_then_its_structures_are_named_and_not_painted():
    masks = {"liver": np.array([True, False]), "leftkidney": np.array([False, True])}
    found = recognise(masks)
    assert found.incomplete() == ("leftkidney",)
    assert paint(masks, found).tolist() == [1, 0]


def test_unknown_name_then_listed():
    assert recognise(["liver", "thing"]).unrecognised == ("thing",)


@pytest.mark.parametrize("name", ["liver_left", "leftliver", "kidneycyst", "upper kidneys"])
def test_unknown_name_that_sounds_like_a_class_then_refused(name):
    with pytest.raises(ValueError, match="is unknown but named like the (liver|kidney)"):
        recognise(["bone", name])


def test_one_structure_spelled_twice_then_refused():
    with pytest.raises(ValueError, match="'Liver' and 'liver_'|'liver_' and 'Liver'"):
        recognise(["Liver", "liver_"])


def test_overlaps_then_tumour_over_liver_over_kidney_over_bone():
    every = np.ones(1, bool)
    order = ["bone", "kidneys", "liver", "livertumor"]
    for last, expected in ((1, 2), (2, 3), (3, 1), (4, 4)):
        masks = dict.fromkeys(order[:last], every)
        assert paint(masks, recognise(masks), tumour=True).tolist() == [expected]


def test_tumour_and_cyst_beyond_the_liver_then_part_of_the_liver_class():
    masks = {
        "liver": np.array([1, 0, 0, 0], bool),
        "livertumor01": np.array([0, 1, 0, 0], bool),
        "liverkyst": np.array([0, 0, 1, 0], bool),
    }
    assert paint(masks, recognise(masks)).tolist() == [1, 1, 1, 0]
    assert paint(masks, recognise(masks), tumour=True).tolist() == [1, 4, 1, 0]
    assert class_names(tumour=True)[4] == "liver tumour"


def test_masks_of_two_shapes_then_refused():
    masks = {"liver": np.ones(2, bool), "bone": np.ones(3, bool)}
    with pytest.raises(ValueError, match="masks: must be one or more of one shape"):
        paint(masks, recognise(masks))
