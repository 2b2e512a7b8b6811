import pytest

from scripts.datasets.candidate_truth import Truth, distance_to_edge_mm, truth_of


def sphere(x, diameter, number=1):
    return {"id": number, "centre_lps_mm": [x, 0.0, 0.0], "diameter_mm": diameter}


@pytest.mark.parametrize(("x", "nodule"), [(3.99, 1), (4.0, None), (-3.99, 1), (4.01, None)])
def test_candidate_then_on_a_nodule_inside_its_radius_only(x, nodule):
    assert truth_of([x, 0, 0], [sphere(0, 8)]) == Truth(nodule)


def test_two_nodules_then_the_nearer_one():
    nodules = [sphere(0, 20, 4), sphere(6, 20, 9)]
    assert truth_of([4, 0, 0], nodules).nodule == 9
    assert truth_of([2, 0, 0], nodules).nodule == 4


def test_excluded_finding_then_neither_nodule_nor_false():
    found = truth_of([1, 0, 0], [sphere(50, 8)], [sphere(0, 8)])
    assert found == Truth(None, excluded=True)


def test_nodule_beside_an_excluded_finding_then_the_nodule_counts():
    assert truth_of([1, 0, 0], [sphere(0, 8)], [sphere(1, 8)]) == Truth(1)


def test_neither_then_false():
    assert truth_of([30, 0, 0], [sphere(0, 8)], [sphere(10, 8)]) == Truth()


def test_distance_then_negative_inside():
    assert distance_to_edge_mm([1, 0, 0], sphere(0, 8)) == pytest.approx(-3)
    assert distance_to_edge_mm([0, 0, 10], sphere(0, 8)) == pytest.approx(6)
