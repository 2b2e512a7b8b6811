from concurrent.futures import ThreadPoolExecutor

import pytest

from scripts.storage.output_folder import OutputError, claim_output, portable_path, writing_into


def test_claimed_then_made_and_left_empty(tmp_path):
    claim_output(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_claimed_where_a_file_stands_then_refused(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="output: cannot write into .*a: .*enough free space"):
        claim_output(tmp_path / "a")


def test_claimed_where_a_name_is_given_then_it_names_the_option(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match=r"^output_dir: cannot write into .*a: File exists"):
        claim_output(tmp_path / "a", "output_dir")


def test_claimed_when_the_disk_is_full_then_refused(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(OutputError, match="No space left on device"):
        claim_output(tmp_path)


def test_claimed_by_many_at_once_then_all_succeed(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(claim_output, [tmp_path] * 64)) == [None] * 64
    assert list(tmp_path.iterdir()) == []


def test_error_while_writing_then_named_with_the_way_on(tmp_path):
    refused = pytest.raises(OutputError, match="No space left.*same command continues")
    with refused, writing_into(tmp_path):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("source: no such folder"),
        FileNotFoundError(2, "No such file or directory", "/elsewhere/ct.mhd"),
        OutputError("output: process 7 is writing into it"),
    ],
    ids=["of the source", "of a file elsewhere", "of the output already"],
)
def test_error_that_is_not_of_the_output_then_as_it_was(tmp_path, error):
    unchanged = pytest.raises(OSError, match=r"source|No such file|process 7")
    with unchanged as caught, writing_into(tmp_path / "out"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("inside", [True, False], ids=["a file in it", "numpy's of a full disk"])
def test_error_of_the_output_then_named(tmp_path, inside):
    error = PermissionError(13, "Permission denied", str(tmp_path / "out" / "a"))
    refused = pytest.raises(OutputError, match="output: cannot write into")
    with refused, writing_into(tmp_path / "out"):
        raise error if inside else OSError("8192 requested and 0 written")


def test_path_inside_then_relative_and_outside_then_absolute(tmp_path):
    assert portable_path(tmp_path / "a" / "b", tmp_path) == "a/b"
    assert portable_path(tmp_path / "x", tmp_path / "a") == str(tmp_path / "x")
