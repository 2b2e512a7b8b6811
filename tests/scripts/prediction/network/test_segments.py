import numpy as np
import pytest

from scripts.prediction.network.segments import check_codes, declare_segments, number_segments


def labels_with(*boxes):
    labels = np.zeros((6, 20, 20), np.uint8)
    for value, *where in boxes:
        labels[tuple(slice(*pair) for pair in where)] = value
    return labels


def test_numbered_kind_then_a_segment_for_each_component_the_largest_first():
    labels = labels_with((1, (0, 1), (0, 2), (0, 2)), (1, (2, 5), (10, 15), (10, 15)))
    mask, segments = number_segments(labels, declare_segments(["", "nodule"], numbered=["nodule"]))
    assert [segment.name for segment in segments] == ["nodule 1", "nodule 2"]
    assert (mask == 1).sum() == 75
    assert (mask == 2).sum() == 4
    assert mask.dtype == np.uint8


def test_voxels_that_touch_at_a_corner_then_one_component_by_corners_two_by_faces():
    labels = labels_with((1, (0, 1), (0, 1), (0, 1)), (1, (1, 2), (1, 2), (1, 2)))
    for connectivity, count in ((3, 1), (1, 2)):
        rules = declare_segments(["", "n"], numbered=["n"], connectivity=connectivity)
        assert len(number_segments(labels, rules)[1]) == count


def test_organs_then_each_listed_even_if_not_found_and_pieces_stay_together():
    labels = labels_with(
        (1, (0, 1), (0, 2), (0, 2)), (3, (0, 1), (5, 6), (5, 6)), (3, (4, 5), (9, 10), (9, 10))
    )
    mask, segments = number_segments(labels, declare_segments(["", "liver", "bone", "kidney"]))
    assert [(s.number, s.kind) for s in segments] == [(1, "liver"), (2, "bone"), (3, "kidney")]
    assert (mask == 3).sum() == 2
    assert not (mask == 2).any()


def test_organ_beside_numbered_ones_then_numbers_without_a_gap():
    labels = labels_with((2, (0, 1), (0, 2), (0, 2)), (1, (0, 1), (5, 6), (5, 6)))
    rules = declare_segments(["", "nodule", "liver"], numbered=["nodule"])
    mask, segments = number_segments(labels, rules)
    assert [s.name for s in segments] == ["nodule 1", "liver"]
    assert mask[0, 0, 0] == 2


def test_more_than_255_components_then_16_bits():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[::2, ::2, ::2] = 1
    mask, segments = number_segments(labels, declare_segments(["", "n"], numbered=["n"]))
    assert mask.dtype == np.uint16
    assert len(segments) == mask.max() == 1000


def test_nothing_found_then_no_nodule_and_no_error():
    rules = declare_segments(["", "nodule"], numbered=["nodule"])
    assert number_segments(labels_with(), rules)[1] == ()


def test_label_that_no_class_has_then_refused():
    with pytest.raises(ValueError, match=r"labels \[4\] belong to no class of the bundle"):
        number_segments(labels_with((4, (0, 1), (0, 1), (0, 1))), declare_segments(["", "liver"]))


@pytest.mark.parametrize(
    ("names", "others", "reason"),
    [
        (["background"], {}, "must be background and one or more classes"),
        (["background", "a", "a"], {}, "each once"),
        (["background", "a"], {"numbered": ["b"]}, "numbered: must be of a, got b"),
        (["background", "a"], {"connectivity": 4}, "connectivity: must be 1, 2 or 3, got 4"),
    ],
)
def test_wrong_declaration_then_refused(names, others, reason):
    with pytest.raises(ValueError, match=reason):
        declare_segments(names, **others)


def test_class_without_codes_then_refused_before_anything_is_predicted():
    check_codes(declare_segments(["", "spleen"]))
    check_codes(declare_segments(["", "milt"], class_codes={"milt": "spleen"}))
    with pytest.raises(ValueError, match="class 'milt': no SNOMED CT code"):
        check_codes(declare_segments(["", "milt"]))
