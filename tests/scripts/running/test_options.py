import pytest
import torch

from scripts.running.options import check_choice, check_device, check_whole, cores, read_truth


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("true", True),
        ("FALSE", False),
        (True, True),
        ("No", False),
        ("yes", True),
        (1, True),
        ("0", False),
    ],
)
def test_yes_and_no_as_a_command_line_gives_them_then_read(value, read):
    assert read_truth("volumes", value) is read


@pytest.mark.parametrize("value", ["perhaps", 2, 1.0, None, ""])
def test_anything_else_then_refused_by_name(value):
    with pytest.raises(ValueError, match="volumes: must be true, false, yes, no, 1 or 0, got"):
        read_truth("volumes", value)


@pytest.mark.parametrize("value", [-1, 11, 2.0, True, "3"])
def test_no_whole_number_within_bounds_then_refused(value):
    check_whole("folds", 3, 0, 10)
    with pytest.raises(ValueError, match="folds: must be a whole number, 0 to 10, got"):
        check_whole("folds", value, 0, 10)


def test_unknown_word_then_valid_ones_listed():
    check_choice("split", "a", ("a", "b"))
    with pytest.raises(ValueError, match="split: must be one of a, b, got 'c'"):
        check_choice("split", "c", ("a", "b"))


def test_cores_then_at_least_one():
    assert cores() >= 1


@pytest.mark.parametrize("given", ["cuda", "cuda:2"])
def test_gpu_that_is_not_here_then_said_before_anything_is_read(given, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=f"device: {given} is not available: PyTorch finds 0"):
        check_device(given)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert check_device(given) == given
