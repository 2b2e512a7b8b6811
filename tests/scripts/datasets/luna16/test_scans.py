import pytest

from scripts.datasets.luna16.scans import assign_subsets, find_cohort


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_distributed_layout_then_every_scan_with_its_subset_and_lungs(tmp_path):
    touch(tmp_path, "subset0/b.mhd", "subset0/b.raw", "subset7/a.mhd", "subset7/._a.mhd")
    touch(tmp_path, "annotations.csv", "seg-lungs-LUNA16/a.mhd", "subset7/notes.txt")
    cohort = find_cohort(tmp_path)
    assert [(scan.uid, scan.subset) for scan in cohort.scans] == [("a", 7), ("b", 0)]
    assert cohort.scans[0].lungs == tmp_path / "seg-lungs-LUNA16" / "a.mhd"
    assert cohort.scans[1].lungs is None
    assert cohort.known.listed is None
    assert not cohort.problems


def test_series_list_then_read_with_or_without_header(tmp_path):
    touch(tmp_path, "subset0/a.mhd", "annotations.csv")
    (tmp_path / "seriesuids.csv").write_text("a\nb\n")
    assert find_cohort(tmp_path).known.listed == {"a", "b"}
    (tmp_path / "seriesuids.csv").write_text("seriesuid\na\n")
    assert find_cohort(tmp_path).known.listed == {"a"}


def test_archive_unpacked_into_its_own_name_then_found(tmp_path):
    touch(tmp_path, "subset3/subset3/a.mhd", "annotations.csv")
    assert [(scan.uid, scan.subset) for scan in find_cohort(tmp_path).scans] == [("a", 3)]


def test_subset_or_lung_folder_that_cannot_be_read_then_reported_by_name(tmp_path, locked):
    touch(tmp_path, *(f"subset{k}/s{k}.mhd" for k in range(10)), "annotations.csv")
    touch(tmp_path, "seg-lungs-LUNA16/s1.mhd")
    locked(tmp_path / "subset3")
    locked(tmp_path / "seg-lungs-LUNA16")
    cohort = find_cohort(tmp_path)
    assert {scan.subset for scan in cohort.scans} == {0, 1, 2, 4, 5, 6, 7, 8, 9}
    assert sorted(str(problem) for problem in cohort.problems) == [
        f"{name}: {tmp_path / name}: cannot be read: Permission denied"
        for name in ("seg-lungs-LUNA16", "subset3")
    ]
    assert not cohort.known.all_subsets  # rows of the unread subset are not unknown


def test_every_subset_unreadable_then_refused_with_the_reason(tmp_path, locked):
    touch(tmp_path, "subset0/a.mhd", "annotations.csv")
    locked(tmp_path / "subset0")
    with pytest.raises(FileNotFoundError, match="subset0: cannot be read: Permission denied"):
        find_cohort(tmp_path)


def test_series_in_two_subsets_then_first_used_and_second_reported(tmp_path):
    touch(tmp_path, "subset0/a.mhd", "subset1/a.mhd", "annotations.csv")
    cohort = find_cohort(tmp_path)
    assert [scan.subset for scan in cohort.scans] == [0]
    (problem,) = cohort.problems
    assert "subset1" in problem.place
    assert "subset0" in problem.reason
    assert not problem.left_out


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ([], "none/deeper", r"folder .*none.deeper not found; .* holds nothing"),
        ([], ".", "must be LUNA16's folder, with subset0/.*it holds nothing"),
        (["a.mhd"], ".", "looks like one subset: name its parent"),
        (["subset0.zip"], ".", "Unpack the subset archives"),
        (["subset0/a.part"], ".", "is a download unfinished"),
        (["luna/subset0/a.mhd"], ".", "Did you mean .*luna"),
        (["x/1.dcm"], ".", "LUNA16 distributes .mhd"),
        (["subset0/a.mhd"], ".", "1 scans but no annotations.csv"),
    ],
    ids=[
        "not there",
        "empty",
        "a subset itself",
        "zip",
        "unfinished",
        "parent",
        "DICOM",
        "no annotations",
    ],
)
def test_wrong_folder_then_says_what_was_expected_and_found(tmp_path, files, given, message):
    touch(tmp_path, *files)
    with pytest.raises(FileNotFoundError, match=message):
        find_cohort(tmp_path / given)


@pytest.mark.real
def test_real_folder_then_both_scans(real_data):
    cohort = find_cohort(real_data / "luna16")
    assert len(cohort.scans) == 2
    assert cohort.known.listed is not None
    assert len(cohort.known.listed) == 888


def test_subsets_then_fold_tests_and_next_validates():
    subsets = {f"uid{i}": i % 10 for i in range(20)}
    sections = assign_subsets(subsets, test_fold=9)
    assert {uid for uid, s in sections.items() if s == "test"} == {"uid9", "uid19"}
    assert {uid for uid, s in sections.items() if s == "validation"} == {"uid0", "uid10"}


@pytest.mark.parametrize("there", [(0, 1), (0, 2), (1, 2)], ids=str)
def test_subsets_missing_then_says_which_are_needed(there):
    with pytest.raises(ValueError, match=r"subset0 \(test\), subset1 \(validation\)"):
        assign_subsets({f"uid{k}": k for k in there})


def test_fold_that_is_none_then_refused():
    with pytest.raises(ValueError, match="test_fold: must be 0 to 9, got 10"):
        assign_subsets({"a": 1}, test_fold=10)
