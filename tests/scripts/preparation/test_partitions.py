import json

import pytest

from scripts.datasets.contract import Scan
from scripts.datasets.datalist import load_datalist
from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.shares import PARTITIONS, leaks
from scripts.preparation.cohort import prepare_cohort
from scripts.preparation.cohort_report import summary
from scripts.preparation.partitions import divide
from scripts.preparation.prepare_options import SliceOptions, SplitOptions
from scripts.preparation.samples import PreparedScan
from tests.scripts.datasets.luna16.cohort import TinyCohort, every_sample, request


def test_patients_file_in_the_source_then_no_patient_in_two_partitions(cohort, tmp_path):
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
        assert report.listing.facts["patients"].endswith("patients.csv")


def test_patients_file_lacking_a_series_then_refused(cohort, tmp_path):
    table = tmp_path / "p.csv"
    table.write_text("seriesuid,patient_id\n1.0,p\n")
    with pytest.raises(ValueError, match=r"3 of 4 are missing, the first: 1\.1"):
        prepare_cohort(request(cohort, tmp_path / "out", data_set=Luna16(patients=table)))


def test_subset_split_then_by_the_folder_of_each_scan(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    for k in range(3):
        cohort.add(f"1.{k}", [((20, 18, 9), 9.0)], subset=k)
    split = SplitOptions("subset", test_fold=1)
    prepare_cohort(request(cohort, tmp_path / "out", split=split))
    found = {
        section: {s["series_uid"] for s in load_datalist(tmp_path / "out/datalist.json", section)}
        for section in PARTITIONS
    }
    assert found == {"test": {"1.1"}, "validation": {"1.2"}, "training": {"1.0"}}


def test_nodule_split_of_scans_with_three_nodules_then_leak_is_reported(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    for n in range(2):
        cohort.add(f"1.{n}", [((20, 18, 6), 6.0), ((26, 18, 12), 6.0), ((14, 20, 12), 6.0)])
    split = SplitOptions("nodule", seed=1)
    slices = SliceOptions("central", empty_share=0)
    report = prepare_cohort(request(cohort, tmp_path / "out", split=split, slices=slices))
    samples = every_sample(tmp_path / "out")
    assert sum(len(s["nodules"]) for s in samples) == 6
    assert report.record()["patients_in_several_partitions"]


def test_nodule_folds_then_each_nodule_tested_once_and_patients_shared(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    for n in range(2):
        cohort.add(f"1.{n}", [((20, 18, 6), 6.0), ((26, 18, 12), 6.0), ((14, 20, 12), 6.0)])
    slices = SliceOptions("central", empty_share=0)
    tested = []
    for fold in range(3):
        split = SplitOptions("nodule_fold", folds=3, test_fold=fold)
        report = prepare_cohort(request(cohort, tmp_path / "out", split=split, slices=slices))
        assert report.record()["patients_in_several_partitions"]
        samples = load_datalist(tmp_path / "out" / "datalist.json", "test")
        tested += [(s["series_uid"], n["id"]) for s in samples for n in s["nodules"]]
    assert sorted(tested) == [(f"1.{n}", k) for n in range(2) for k in (1, 2, 3)]


def test_slice_block_split_of_one_scan_then_slices_apart(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    cohort.add("1.0", [((20, 18, 11), 20.0)])
    split = SplitOptions("slice_block")
    slices = SliceOptions("all", empty_share=0.3)
    prepare_cohort(request(cohort, tmp_path / "out", split=split, slices=slices))
    sides = {
        section: [s["slice"] for s in load_datalist(tmp_path / "out" / "datalist.json", section)]
        for section in PARTITIONS
    }
    assert all(sides.values())
    assert min(abs(a - b) for a in sides["training"] for b in sides["test"]) >= 2
    assert not set(sides["validation"]) & {*sides["training"], *sides["test"]}


@pytest.mark.parametrize("kind", ["nodule", "slice_block"])
def test_split_within_scans_then_volumes_not_listed_and_said(tmp_path, kind):
    cohort = TinyCohort(tmp_path / "luna")
    for n in range(3):
        cohort.add(f"1.{n}", [((20, 18, 11), 20.0)])
    split, slices = SplitOptions(kind), SliceOptions("all", empty_share=0.3)
    report = prepare_cohort(request(cohort, tmp_path / "out", split=split, slices=slices))
    content = json.loads((tmp_path / "out" / "datalist.json").read_text())
    assert "volumes" not in content
    assert f"note: volumes are not listed: split {kind} divides scans" in summary(report)
    with pytest.raises(ValueError, match=rf"lists no volumes; .* patient \(its split is {kind}\)"):
        load_datalist(tmp_path / "out" / "datalist.json", "volumes/test")


@pytest.mark.parametrize("kind", ["patient", "fold", "test_only", "validation_only"])
def test_split_of_whole_scans_then_every_volume_in_one_partition(cohort, tmp_path, kind):
    split = SplitOptions(kind, folds=3) if kind == "fold" else SplitOptions(kind)
    report = prepare_cohort(request(cohort, tmp_path / "out", split=split))
    volumes = json.loads((tmp_path / "out" / "datalist.json").read_text())["volumes"]
    owners = [(e["series_uid"], name) for name in PARTITIONS for e in volumes[name]]
    assert sorted(uid for uid, _ in owners) == ["1.0", "1.1", "1.2", "1.3"]
    slices = {s["series_uid"]: name for name in PARTITIONS for s in report.lists[name]}
    assert dict(owners) == slices
    assert "not listed" not in summary(report)


def test_slice_block_of_central_slices_then_refused(cohort, tmp_path):
    with pytest.raises(ValueError, match="slices: must be all for --split slice_block"):
        prepare_cohort(
            request(
                cohort,
                tmp_path,
                split=SplitOptions("slice_block"),
                slices=SliceOptions("central"),
            )
        )


def test_too_few_patients_then_refused_before_any_scan_is_read(tmp_path):
    cohort = TinyCohort(tmp_path / "luna")
    cohort.add("1.0", [((20, 18, 9), 9.0)])
    with pytest.raises(ValueError, match="at least 3 patients"):
        prepare_cohort(request(cohort, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data_set", "kind"),
    [
        *((Luna16(), kind) for kind in ("patient", "fold", "nodule", "slice_block")),
        *((Ircadb(), kind) for kind in ("patient", "fold", "slice_random", "slice_block")),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_seed_then_decides_the_draw_of_every_split(data_set, kind):
    nodule = {"id": 1, "slices": list(range(40))}
    record = {"nodules": [nodule], "known_classes": list(data_set.classes())}
    scans = [PreparedScan(Scan(f"1.{n}", f"p{n}", ()), record) for n in range(12)]
    samples = [
        {"series_uid": each.scan.id, "slice": k, "nodules": [nodule]}
        for each in scans
        for k in nodule["slices"]
    ]

    def drawn(seed):
        split = SplitOptions(kind, seed=seed)
        lists = divide(samples, scans, data_set, split, SliceOptions("all"))
        return {name: [(s["series_uid"], s["slice"]) for s in lists[name]] for name in PARTITIONS}

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_too_few_patients_with_nodules_then_refused_and_said_what_they_lack(tmp_path):
    cohort = TinyCohort(tmp_path / "scans")
    for uid, nodules in {
        "1.0": [((20, 18, 10), 9.0)],
        "1.1": [((20, 18, 10), 9.0)],
        "1.2": [],
    }.items():
        cohort.add(uid, nodules)
    with pytest.raises(ValueError, match="at least 3 patients with nodules"):
        prepare_cohort(request(cohort, tmp_path / "out"))
