"""Values of a command line and of overlays: as meant, or refused by the id's name."""

import pytest

from scripts.bundle.values import Values, as_word, read_optional, read_switches, values_of
from tests.scripts.audit.samples import write

CONFIG = {
    "resume": False,
    "width": None,
    "switches": {"_target_": "scripts.bundle.values.read_switches", "resume": "@resume"},
    "optional": {"_target_": "scripts.bundle.values.read_optional", "width": "@width"},
    "shuffle": True,
    "rate": 0.1,
    "size": [96, 96],
    "patch_size": "@size",
    "window_hu": [-1000, 400],
    "betas": [0.9, 0.99],
    "names": ["liver"],
    "filled": [],
    "encoder": "vgg16",
    "prefix": "",
    "output": "$@encoder + '/models'",
    "strategy": {"stages": []},
    "loss": {"_target_": "DiceLoss", "batch": True},
    "bundle_root": {"_target_": "scripts.packaging.location.bundle_root"},
}


@pytest.fixture
def values():
    return Values(CONFIG, {**CONFIG, "volume_patch_size": [80, 80, 24]})


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("resume", "FALSE"),
        ("resume", 1),
        ("width", "None"),
        ("width", 64),
        ("shuffle", False),
        ("rate", 1),
        ("size", (32, 32)),
        ("patch_size", [32]),
        ("volume_patch_size", [32, 32, 8]),
        ("volume_patch_size", ["@rate", 1]),
        ("window_hu", [-150.5, 250]),
        ("filled", [1, 2, 3]),
        ("names", ["a", "b"]),
        ("filled", [2]),
        ("encoder", "none"),
        ("prefix", ""),
        ("output", "results"),
        ("bundle_root", "/models/a package"),
        ("strategy", {"stages": [1]}),
        ("loss", {"_target_": "other"}),
        ("loss", "%other.json::loss"),
        ("loss#batch", False),
        ("loss#weight", [1, 2]),
        ("rate", "$2 * 3"),
        ("size", ["$1", "@rate"]),
    ],
)
def test_value_of_the_right_kind_then_accepted(values, name, given):
    values.check(name, given, "--")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("resume", "perhaps", "--resume: must be true, false, yes, no, 1 or 0, got 'perhaps'"),
        ("resume", [True], "--resume: must be true"),
        ("width", "", "--width: must not be empty; write none"),
        ("shuffle", "false", "--shuffle: 'false' would be passed on as text; write False"),
        ("shuffle", "null", "--shuffle: must be true"),
        ("loss#batch", "no", "--loss#batch: 'no' would be passed on as text; write False"),
        ("loss#sigmoid", "true", "--loss#sigmoid: 'true' would be passed on as text; write True"),
        ("loss#weight", "null", "--loss#weight: must have a value, got 'null'"),
        ("rate", "1e-4 ", "--rate: '1e-4 ' would be passed on as text; write 0.0001"),
        ("rate", "fast", "--rate: must be a number, got 'fast'"),
        ("rate", "null", "--rate: must be a number, got 'null'"),
        ("rate", "nan", "--rate: must be a number, got 'nan'"),
        ("rate", True, "--rate: must be a number, got True"),
        ("rate", [0.1], "--rate: must be a number"),
        ("size", 96, r"--size: must be a list, such as \[96, 96\], got 96"),
        ("size", " [3, 3]", r"--size: ' \[3, 3\]' would be passed on as text; write \[3, 3\]"),
        ("size", ["3", 3], r"--size: \['3', 3\] would .* write \[3, 3\]"),
        ("size", ["a", 3], "--size: must be a number, got 'a'"),
        (
            "size",
            [3],
            r"--size: must be 2 whole numbers of at least 1, such as \[96, 96\], got \[3\]",
        ),
        ("size", [0, 3], r"--size: must be 2 whole numbers of at least 1, .* got"),
        ("size", [3.5, 3], r"--size: must be 2 whole numbers .* got \[3.5, 3\]"),
        ("volume_patch_size", [3, 3], r"--volume_patch_size: must be 3 whole numbers"),
        ("volume_patch_size", 64, r"--volume_patch_size: must be a list, such as \[80, 80, 24\]"),
        ("window_hu", [400, -1000], r"--window_hu: must be 2 numbers, the lower first, such as"),
        ("window_hu", [0, 1, 2], r"--window_hu: must be 2 numbers"),
        ("betas", [0.9], r"--betas: must be 2 numbers, such as \[0.9, 0.99\], got \[0.9\]"),
        ("filled", "none", r"--filled: must be a list, such as \[\], got 'none'"),
        ("encoder", "", "--encoder: must not be empty"),
        ("encoder", "null", "--encoder: must be text, got 'null'"),
        ("encoder", "~/a.pt", "--encoder: ~ would be the name of a folder here, write"),
        ("encoder", 2024, "--encoder: 2024 would be passed on as a number; write \"'2024'\""),
        ("encoder", True, "--encoder: must be text, got True"),
        ("output", "null", "--output: must have a value, got 'null'"),
        ("strategy", "full", "--strategy: must be a dictionary, got 'full'; add its file"),
        ("loss", "dice", "--loss: must be a component, got 'dice'; add its file"),
    ],
)
def test_value_that_would_be_taken_for_another_then_refused(values, name, given, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        values.check(name, given, "--")


def test_read_then_as_meant_also_where_the_config_would_not_convert_it(values):
    given = {"shuffle": "No", "rate": "0.5 ", "encoder": 7, "resume": "yes", "width": "null"}
    read = {name: values.read(name, value) for name, value in given.items()}
    assert read == {"shuffle": False, "rate": 0.5, "encoder": "7", "resume": True, "width": None}


def test_components_then_read_each_spelling():
    assert read_switches(a="No", b=1, c=True) == {"a": False, "b": True, "c": True}
    assert read_optional(a="NULL", b=None, c="imagenet") == {"a": None, "b": None, "c": "imagenet"}
    with pytest.raises(ValueError, match="b: must be true"):
        read_switches(a=True, b="")


def test_word_then_read_back_by_fire():
    from fire.parser import DefaultParseValue

    for value in (True, 0.5, [1, "x"], "vgg16", "2024", "a b", "it's", "true", "/a/b-1.pt"):
        word = as_word(value)
        inner = word[1:-1] if word.startswith('"') else word  # the shell takes the outer quotes
        assert DefaultParseValue(inner) == value


def test_values_of_files_then_the_kinds_of_the_first(tmp_path):
    first = write(tmp_path / "a.json", {"rate": 1})
    second = write(tmp_path / "b.yaml", {"rate": "1e-4"})
    values = values_of([str(first), str(second)])
    assert (values.own, values.merged) == ({"rate": 1}, {"rate": "1e-4"})
