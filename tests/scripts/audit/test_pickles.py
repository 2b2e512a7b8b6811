import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from scripts.audit.pickles import MOST_PICKLES, UNKNOWN, globals_in, unsafe_globals, why_of
from tests.scripts.audit.samples import Bomb


@pytest.fixture
def canary(tmp_path):
    canary = tmp_path / "canary"
    yield canary
    assert not canary.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_of_any_protocol_then_its_imports_without_running(canary, protocol):
    assert globals_in(pickle.dumps(Bomb(canary), protocol)) == ["posix.mkdir"]


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_of_plain_values_then_no_imports(protocol):
    assert globals_in(pickle.dumps({"a": [1, "os system"], "b": None}, protocol)) == []


def test_pickle_when_a_name_is_not_stated_then_unknown():
    built = b"\x80\x04\x8c\x02os\x94]\x94(h\x00\x8c\x06systeme0\x93."
    assert globals_in(built) == [UNKNOWN]
    assert why_of(UNKNOWN) == "cannot be known"


def test_several_pickles_then_all_read_and_what_follows_ignored(canary):
    two = pickle.dumps(1) + pickle.dumps(Bomb(canary)) + b"rest of a torch file"
    assert globals_in(two) == ["posix.mkdir"]
    hidden = pickle.dumps(1) * MOST_PICKLES + pickle.dumps(Bomb(canary))
    assert globals_in(hidden) == []


@pytest.mark.parametrize("content", [b"nonsense", b"", pickle.dumps([1, 2])[:-3]])
def test_pickle_when_damaged_then_refused(content):
    with pytest.raises(ValueError, match="cannot be read as a pickle"):
        globals_in(content)


def test_tensors_then_safe_and_other_classes_named():
    content = pickle.dumps({"a": OrderedDict(), "b": torch.Size([1])})
    assert unsafe_globals(content) == []
    assert unsafe_globals(pickle.dumps(np.random.RandomState)) == [
        "numpy.random.mtrand.RandomState"
    ]


def test_torchscript_then_its_own_classes_are_safe():
    content = b"c__torch__.net\nNet\n."
    assert unsafe_globals(content) == ["__torch__.net.Net"]
    assert unsafe_globals(content, torchscript=True) == []


def test_why_of_a_name_then_what_calling_it_does():
    assert why_of("posix.system") == "runs programs or ends processes"
