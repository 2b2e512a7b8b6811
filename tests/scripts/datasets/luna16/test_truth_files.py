import pytest

from scripts.datasets.luna16.truth_files import TruthFiles, find_truth_files

HEAD = "<LidcReadMessage><ResponseHeader><SeriesInstanceUid> {} </SeriesInstanceUid>"


END = "</ResponseHeader></LidcReadMessage>"


def write(folder, name, uid, end=""):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD.format(uid) + end)
    return path


def test_outlines_then_found_by_the_uid_inside_whatever_the_file_is_called(tmp_path):
    first = write(tmp_path, "157/158.xml", "1.2")
    write(tmp_path, "185/a.xml", "1.9")
    (tmp_path / "film.xml").write_text("<IdriReadMessage></IdriReadMessage>")
    assert find_truth_files("readers", tmp_path, ["1.2", "1.3"]) == TruthFiles({"1.2": first})


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace(">", ">\r\n"),
        lambda text: f"{text}<!-- copied -->",
    ],
    ids=["copy", "line ends", "comment"],
)
def test_two_equal_files_of_one_series_then_one_is_used(tmp_path, change):
    first = write(tmp_path, "a.xml", "1.2", END)
    second = write(tmp_path, "b/b.xml", "1.2", END)
    second.write_text(change(first.read_text()), newline="")
    assert find_truth_files("readers", tmp_path, ["1.2"]) == TruthFiles({"1.2": first})


@pytest.mark.parametrize("end", [END, ""], ids=["XML", "no XML"])
def test_two_different_files_of_one_series_then_its_scan_is_left_out_by_name(tmp_path, end):
    write(tmp_path, "a.xml", "1.2", f"<readingSession/>{end}")
    write(tmp_path, "b.xml", "1.2", end)
    other = write(tmp_path, "c.xml", "1.3", END)
    write(tmp_path, "d.xml", "1.9", end)
    write(tmp_path, "e.xml", "1.9", f"<readingSession/>{end}")
    found = find_truth_files("readers", tmp_path, ["1.2", "1.3"])
    assert found.files["1.3"] == other
    (problem,) = found.problems  # none of series that are not in the source
    assert (problem.scan_id, problem.left_out) == ("1.2", True)
    assert "several reader files that differ" in problem.reason
    assert "a.xml and" in problem.reason


def test_folder_or_file_that_cannot_be_read_then_reported_and_the_rest_used(tmp_path, locked):
    first = write(tmp_path, "open/a.xml", "1.2")
    write(tmp_path, "closed/b.xml", "1.3")
    locked(tmp_path / "closed")
    found = find_truth_files("readers", tmp_path, ["1.2", "1.3"])
    assert found.files == {"1.2": first}
    assert [str(p) for p in found.problems] == [
        f"outlines: {tmp_path / 'closed'}: cannot be read: Permission denied"
    ]


def test_files_of_other_series_only_then_refused_with_counts(tmp_path):
    write(tmp_path, "a.xml", "1.2")
    with pytest.raises(ValueError, match=r"of the 1 scans of the source; it holds 1 ser"):
        find_truth_files("readers", tmp_path, ["1.3"])


def test_masks_then_found_by_name_and_balls_need_none(tmp_path):
    (tmp_path / "1.2.nii.gz").touch()
    assert find_truth_files("masks", tmp_path, ["1.2"]).files == {"1.2": tmp_path / "1.2.nii.gz"}
    assert find_truth_files("ball", None, ["1.2"]) == TruthFiles()
