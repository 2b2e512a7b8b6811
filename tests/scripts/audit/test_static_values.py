"""What is known of a config's values without running it."""

import pytest

from scripts.audit.static_values import LONGEST, UNKNOWN, Static, path_sign, plain_code

CONFIG = {
    "a": "models",
    "b": {"c": "$@a + '/x'", "list": ["one", "@a"]},
    "number": 3,
    "none": None,
    "computed": "$open('x')",
    "circle": "@back",
    "back": "$@circle + 'x'",
    "root": {"_target_": "scripts.packaging.location.bundle_root"},
    "optional": {"_target_": "scripts.bundle.values.read_optional", "path": "@b::c"},
    "source": {"_target_": "scripts.prediction.sources.studies.root_of", "source": "@a"},
}


@pytest.mark.parametrize(
    ("value", "known"),
    [
        ("@b::c", "models/x"),
        ("@b#c", "models/x"),
        ("$@b::c + '/model.pt'", "models/x/model.pt"),
        ("$@b['list'][1]", "models"),
        ("$'run ' + str(@number)", "run 3"),
        ("$f'{@a}/{@number}'", "models/3"),
        ("$f'{@number:02d}'", UNKNOWN),
        ("$os.path.join(@a, 'x')", "models/x"),
        ("$os.path.join(@a, '/etc')", "/etc"),
        ("$pathlib.Path(@a) / 'x'", "models/x"),
        ("$@b['list'] + ['two']", ["one", "models", "two"]),
        ("@root", "."),
        ("$@root + '/models'", "./models"),
        ("@source", "models"),
        ("$@optional['path'] + '/y'", "models/x/y"),
        ("$@optional['none']", "missing"),
        ("@none", None),
        (4, 4),
        ("@not::there", "missing"),
        ("@computed", UNKNOWN),
        ("@circle", UNKNOWN),
        ("$@a.upper()", UNKNOWN),
        ("$@a[0]", UNKNOWN),
        ("$(", UNKNOWN),
        ({"_target_": "DiceLoss"}, UNKNOWN),
        ({"x": "@a"}, {"x": "models"}),
    ],
)
def test_value_then_constants_and_texts_joined(value, known):
    static = Static(CONFIG, {"os": "os", "pathlib": "pathlib"})
    assert static.of(value) == known


def test_text_that_doubles_at_every_step_then_given_up():
    config = {"a0": "x" * 100} | {f"a{n}": f"$@a{n - 1} + @a{n - 1}" for n in range(1, 60)}
    assert Static(config).of("@a59") is UNKNOWN


def test_code_then_a_name_for_each_reference():
    assert plain_code("$@net#lr * @b") == ("REFERENCE_0 * REFERENCE_1", ["net::lr", "b"])
    with pytest.raises(ValueError, match="must not contain"):
        plain_code("$REFERENCE_0")
    with pytest.raises(ValueError, match="or be longer"):
        plain_code("$" + "1" * LONGEST)


@pytest.mark.parametrize(
    ("text", "read", "written"),
    [
        *(("models/model.pt", "low", "low"), ("", "low", "low"), (".", "low", "low")),
        *(("/etc", "medium", "high"), ("a/../../b", "medium", "high"), ("~/a", "medium", "high")),
        *(("C:\\a", "medium", "high"), ("\\\\server\\a", "medium", "high")),
        *((".git/hooks", "medium", "high"), (".ssh", "low", "high"), (".nii.gz", "low", "high")),
        *(("https://a.org", "high", "high"), ("s3://a", "high", "high")),
        *(
            ("file:/etc", "high", "high"),
            ("databricks", "high", "high"),
            ("me@a.org:x", "high", "high"),
        ),
        *(("env://", "low", "low"), ("cuda:0", "low", "low"), ("1:liver, 2:bone", "low", "low")),
    ],
)
def test_text_then_judged_as_a_path(text, read, written):
    assert path_sign(text, written=False).level == read
    assert path_sign(text, written=True).level == written
