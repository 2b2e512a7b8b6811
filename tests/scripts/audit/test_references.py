"""References that lead nowhere, ids that nothing reads."""

import pytest

from scripts.audit.audit import audit_paths
from scripts.audit.bundle_files import FolderFiles
from scripts.audit.references import audit_files, audit_references
from scripts.bundle.compose import compose
from tests.scripts.audit.samples import write


@pytest.fixture
def problems(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def audit(*configs):
        files = [f"{number}.json" for number in range(len(configs))]
        for file, config in zip(files, configs, strict=True):
            write(tmp_path / file, config)
        made = compose(files, FolderFiles().read)
        found = [*audit_files(made), *audit_references(made)]
        assert {finding.level for finding in found} <= {"problem", "medium"}
        return {(finding.file, finding.place): f"{finding.what} {finding.why}" for finding in found}

    return audit


def test_references_of_every_kind_then_resolve(problems, tmp_path):
    write(tmp_path / "other.json", {"net": {"width": "@width"}})
    config = {
        "width": 1,
        "net": "%other.json::net",
        "a": {"b": [{"c": 1}], "d": "@#b", "e": "$@##width + @a#b#0#c + @a::b::0::c"},
        "list": ["$@#1", 2],
        "mail": "me@example.org",
        "run": ["$@a", "$@list", "$@net", "$@mail"],
        "training": "%run",
    }
    assert problems(config) == {}


def test_references_to_nothing_then_named_with_file_id_and_nearest(problems):
    config = {
        "width": 1,
        "run": ["$@widht + 1", "@none", "%absent.json::a", "%nothing"],
        "train": {"trainer": {"loss": "@#los", "deep": "@##########x"}},
    }
    found = problems(config, {"+run": ["$'a@b.c'"]})
    assert found["0.json", "run::0"].startswith("@widht refers to nothing; did you mean @width")
    assert "@none refers to nothing" in found["0.json", "run::1"]
    assert "no file absent.json" in found["0.json", "run::2"]
    assert "%nothing refers to nothing" in found["0.json", "run::3"]
    assert "@b refers to nothing" in found["1.json", "run::4"]
    assert "@train::trainer::los " in found["0.json", "train::trainer::loss"]
    assert "refers to a level above" in found["0.json", "train::trainer::deep"]
    assert ("0.json", "width") in found  # nothing reads it but the misspelt one


def test_reference_in_a_circle_then_named(problems):
    found = problems({"a": {"x": "$@b"}, "b": "$@a::x", "run": ["$@a::x"]})
    assert any("in a circle" in text for text in found.values())


def test_macro_in_a_macro_then_named(problems, tmp_path):
    write(tmp_path / "other.json", {"a": {"b": "%c"}, "c": 1})
    found = problems({"a": "%other.json::a", "run": ["$@a"]})
    assert "a macro inside a macro" in found["other.json", "a::b"]


def test_file_from_elsewhere_then_medium(tmp_path):
    secret = write(tmp_path / "secret.json", {"a": 1})
    config = write(tmp_path / "a.json", {"a": f"%{secret}::a", "run": ["$@a"]})
    made = compose([str(config)], FolderFiles().read)
    assert [(f.level, f.kind) for f in audit_files(made)] == [("medium", "read")]


def test_override_that_nothing_uses_then_named_with_its_file(problems):
    base = {
        "learning_rate": 1,
        "net": {"_target_": "dict", "lr": "@learning_rate"},
        "run": ["@net"],
    }
    found = problems(base, {"lerning_rate": 2, "net::width": 3, "learning_rate": 4})
    assert list(found) == [("1.json", "lerning_rate")]
    assert "no id uses it; did you mean learning_rate" in found["1.json", "lerning_rate"]


def test_addition_to_nothing_then_named_and_looked_into_as_monai_runs_it(tmp_path):
    first = write(tmp_path / "a.json", {"run": ["$1"]})
    second = write(tmp_path / "b.json", {"+initialize": ["$__import__('os').getpid()"]})
    found = {(f.level, f.place) for f in audit_paths([str(first), str(second)])}
    assert {("problem", "initialize"), ("high", "initialize::0")} <= found


def test_part_of_a_section_that_nothing_uses_then_named(problems):
    base = {"train": {"trainer": {"_target_": "dict"}, "los": 1}, "run": ["@train::trainer"]}
    found = problems(base, {"train::sampler": 1, "validate::x": 1, "imports": [], "device": "cpu"})
    assert set(found) == {("0.json", "train::los"), ("1.json", "train::sampler"),
                          ("1.json", "validate::x")}  # fmt: skip
    assert "no earlier file has" in found["1.json", "validate::x"]


def test_key_written_twice_then_named(problems):
    found = problems('{"run": ["$@a"], "a": {"b": 1, "b": 2}}')
    assert found["0.json", "b"].startswith("b set twice")
