import pytest

from scripts.datasets.luna16.truth_files import find_truth_files

HEAD = "<LidcReadMessage><ResponseHeader><SeriesInstanceUid> {} </SeriesInstanceUid>"


def write(folder, name, uid):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD.format(uid))
    return path


def test_outlines_then_found_by_the_uid_inside_whatever_the_file_is_called(tmp_path):
    first = write(tmp_path, "157/158.xml", "1.2")
    write(tmp_path, "185/a.xml", "1.9")
    (tmp_path / "film.xml").write_text("<IdriReadMessage></IdriReadMessage>")
    assert find_truth_files("readers", tmp_path, ["1.2", "1.3"]) == {"1.2": first}


def test_two_files_of_one_series_then_refused_by_name(tmp_path):
    write(tmp_path, "a.xml", "1.2")
    write(tmp_path, "b.xml", "1.2")
    with pytest.raises(ValueError, match=r"series 1.2 has two files, .*a.xml and .*b.xml"):
        find_truth_files("readers", tmp_path, ["1.2"])


def test_files_of_other_series_only_then_refused_with_counts(tmp_path):
    write(tmp_path, "a.xml", "1.2")
    with pytest.raises(ValueError, match=r"of the 1 scans of the source; it holds files of 1 ser"):
        find_truth_files("readers", tmp_path, ["1.3"])


def test_masks_then_found_by_name_and_balls_need_none(tmp_path):
    (tmp_path / "1.2.nii.gz").touch()
    assert find_truth_files("masks", tmp_path, ["1.2"]) == {"1.2": tmp_path / "1.2.nii.gz"}
    assert find_truth_files("ball", None, ["1.2"]) == {}
