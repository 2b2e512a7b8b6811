"""The score against LUNA16's rules as tests/scripts/evaluation/figures/luna16_rules.py has them."""

import math

import numpy as np
import pytest

from scripts.datasets.candidates import Candidate
from scripts.datasets.luna16.annotations import KnownSeries, read_annotations, read_findings
from scripts.evaluation.figures import froc
from scripts.evaluation.figures.froc import RATES, Marks, mark_scan, score
from tests.scripts.evaluation.figures import luna16_rules

UNMEASURED = -1.0


def around(generator, findings, *, near, elsewhere, digits):
    """Candidates of a scan: near the findings, on their rims, and anywhere else."""
    made = []
    for *centre, diameter in findings:
        radius = (10.0 if diameter < 0 else diameter) / 2
        for _ in range(generator.poisson(near)):
            direction = generator.normal(size=3)
            direction /= np.linalg.norm(direction)
            place = np.array(centre) + direction * radius * generator.uniform(0, 1.3)
            made.append((*place, round(generator.beta(3, 2), digits)))
    for _ in range(generator.poisson(elsewhere)):
        made.append((*generator.uniform(-150, 150, 3), round(generator.beta(2, 3), digits)))
    return made


def compared(scans):
    """Score scans of (candidates, nodules, excluded) by both; return both."""
    ours = score([mark(*scan) for scan in scans])
    return ours, [luna16_rules.judged(*scan) for scan in scans]


def mark(candidates, nodules, excluded):
    listed = [Candidate("scan", one[:3], one[3]) for one in candidates]
    known = [(*one[:3], 10.0 if one[3] < 0 else one[3]) for one in excluded]
    return mark_scan(listed, nodules, known)


def made_up(seed, *, scans=30, elsewhere=6.0, digits=2):
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(scans):
        nodules, others = (
            [
                (*generator.uniform(-100, 100, 3), size)
                for size in generator.uniform(3, 30, generator.poisson(mean))
            ]
            for mean in (1.2, 3)
        )
        if nodules:  # one that overlaps another, and an excluded finding on a nodule
            x, y, z, diameter = nodules[0]
            nodules.append((x + diameter / 3, y, z, diameter))
            others.append((x, y + 1, z, UNMEASURED))
        found = around(generator, nodules + others, near=0.8, elsewhere=elsewhere, digits=digits)
        made.append((found, nodules, others))
    return made


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("elsewhere", [0.05, 6.0, 130.0])  # 130: more than count of a scan
def test_made_up_candidates_then_as_the_rules_have_it(seed, elsewhere):
    ours, scans = compared(made_up(seed, elsewhere=elsewhere))
    expected = luna16_rules.sensitivities(scans)
    values = [point.value for point in ours.points]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)
    assert ours.cpm.value == pytest.approx(expected.mean(), abs=1e-9)
    assert 0 < ours.cpm.value < 1
    assert ours.detected == sum(p is not None for nodules, _ in scans for p in nodules)


def test_resampled_scans_then_as_the_rules_have_it(monkeypatch):
    monkeypatch.setattr(froc, "RESAMPLES", 200)
    made = made_up(7, scans=12)
    ours, scans = compared(made)
    generator = np.random.default_rng(0)
    draws = [generator.integers(12, size=12) for _ in range(200)]
    low, high = luna16_rules.ends(scans, draws)
    ends = [*(point.ends for point in ours.points), ours.cpm.ends]
    np.testing.assert_allclose(np.array(ends).T, [low, high], rtol=0, atol=1e-9)
    assert all(a < b for a, b in ends)


@pytest.mark.real
def test_official_lists_then_as_the_rules_have_it(real_data, monkeypatch):
    monkeypatch.setattr(froc, "RESAMPLES", 2)
    lists = real_data / "luna16"
    uids = (lists / "seriesuids.csv").read_text().split()
    files = [lists / f"{name}.csv" for name in ("annotations", "annotations_excluded")]
    rows = [{uid: [] for uid in uids} for _ in files]
    for path, by_uid in zip(files, rows, strict=True):
        for uid, *finding in luna16_rules.read(path):
            by_uid[uid].append(tuple(finding))
    generator = np.random.default_rng(1)
    scans = []
    for number, uid in enumerate(uids):
        nodules, excluded = rows[0][uid], rows[1][uid]
        many = 120 if number % 40 == 0 else 4
        found = around(generator, nodules, near=1.2, elsewhere=many, digits=3)
        found += around(generator, excluded, near=0.05, elsewhere=0, digits=3)
        scans.append((found, nodules, excluded))
    known = read_annotations(files[0], KnownSeries(set(uids)))
    findings = read_findings(files[1], set(uids))
    assert not [*known.problems, *findings.problems]
    marks = [
        mark_scan(
            [Candidate(uid, one[:3], one[3]) for one in scans[number][0]],
            [(*row.centre_lps_mm, row.diameter_mm) for row in known.nodules.get(uid, ())],
            [row.point for row in findings.findings.get(uid, ())],
        )
        for number, uid in enumerate(uids)
    ]
    ours = score(marks)
    expected = luna16_rules.sensitivities([luna16_rules.judged(*scan) for scan in scans])
    values = [point.value for point in ours.points]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)
    assert (len(ours.marks), ours.nodules) == (888, 1186)
    assert ours.counts()["candidates_on_excluded"] > 100


def test_candidate_at_the_radius_then_no_hit_and_just_inside_a_hit():
    for distance, hit in ((2.999, True), (3.0, False)):
        found = mark([(0, 0, distance, 0.9)], [(0, 0, 0, 6.0)], [])
        assert math.isnan(found.hits[0]) is not hit
        assert len(found.false_positives) == (not hit)


def test_several_candidates_on_a_nodule_then_one_hit_by_the_most_probable():
    found = mark([(0, 0, 1, 0.3), (0, 0, 0, 0.8), (1, 0, 0, 0.5)], [(0, 0, 0, 6.0)], [])
    assert found == Marks(hits=(0.8,), false_positives=(), candidates=3, repeated=2)


def test_candidate_on_an_excluded_finding_then_neither_and_on_both_a_hit():
    finding, nodule = (20, 0, 0, UNMEASURED), (0, 0, 0, 6.0)
    found = mark([(20, 0, 4.9, 0.9), (0, 0, 1, 0.4)], [nodule], [finding, (0, 0, 1, 4.0)])
    assert found == Marks(hits=(0.4,), false_positives=(), candidates=2, excluded=1)


def test_more_candidates_than_count_then_those_above_the_next():
    many = [(0, 0, 0, 0.5 + number / 1000) for number in range(120)]
    found = mark([*many, *[(0, 0, 0, 0.9)] * 3], [], [])
    assert found.candidates == len(found.false_positives) == 100
    assert min(found.false_positives) == 0.5 + 23 / 1000
    equal = mark([(0, 0, 0, 0.5)] * 101, [], [])
    assert equal.candidates == 0


def test_scans_without_nodules_then_their_false_positives_count_and_they_divide():
    nodule = (0, 0, 0, 6.0)
    scans = [([(0, 0, 0, 0.8)], [nodule], []), ([(9, 9, 9, 0.9)], [], []), ([], [], [])]
    ours, _ = compared(scans)
    assert ours.rates.tolist() == [0, 1 / 3, 1 / 3]
    assert ours.sensitivity(1 / 6) == 0
    assert ours.sensitivity(0.34) == ours.sensitivity(8) == 1
    assert ours.probability(0.25) is None
    assert ours.probability(0.9) == 0.8


def test_no_false_positive_then_the_sensitivity_of_all_candidates_at_every_rate():
    scans = [([(0, 0, 0, 0.8)], [(0, 0, 0, 6.0), (50, 0, 0, 6.0)], [])] * 2
    ours, _ = compared(scans)
    assert [point.value for point in ours.points] == [0.5] * 7
    assert ours.cpm.ends == (0.5, 0.5)


def test_no_candidate_then_sensitivity_0_and_no_probability():
    ours, _ = compared([([], [(0, 0, 0, 6.0)], [])] * 2)
    assert ours.cpm.value == 0
    assert ours.probability(8) is None
    assert "CPM 0.0000" in ours.text()


def test_no_nodule_then_refused():
    with pytest.raises(ValueError, match="at least one nodule"):
        score([mark([(0, 0, 0, 0.5)], [], [])])


def test_one_scan_then_no_interval():
    ours, _ = compared([([(0, 0, 0, 0.8)], [(0, 0, 0, 6.0)], [])])
    assert ours.band is None
    assert ours.cpm.ends is None
    assert len(ours.points) == len(RATES)


def test_scores_of_any_scale_then_only_their_order_counts():
    made = made_up(3)
    scaled = [([(*c[:3], 100 * c[3] - 7) for c in found], *rest) for found, *rest in made]
    assert compared(scaled)[0].points == compared(made)[0].points
