"""Configs composed: as MONAI does it, with what is missing named."""

import json
import warnings
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from scripts.bundle.compose import compose, flatten, merge, overlaid
from scripts.bundle.config_files import MissingError, files_below, read_config

READ = files_below()


@pytest.fixture(autouse=True)
def write(tmp_path, monkeypatch):
    """Work in an empty folder; the fixture writes configs into it by name."""
    monkeypatch.chdir(tmp_path)

    def one(name, content):
        Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
        return name

    return one


def monai_makes(files, metadata=None, overrides=None):
    """Merge and resolve with MONAI's own parser."""
    parser = ConfigParser()
    parser.read_config(files)
    if metadata is not None:
        parser.read_meta(metadata)
    parser.update(overrides or {})
    parser.resolve_macro_and_relative_ids()
    made = parser.get()
    return made if made["_meta_"] else {k: v for k, v in made.items() if k != "_meta_"}


FIRST = {
    **{"size": 1, "net": "%part.json::net", "list": [1], "section": {"b": 1, "c": "@#b"}},
    **{"early": "%late", "late": "%part.json::net::size"},
}
SECOND = {"+list": [2, {"x": "@##size"}], "section::b": 5, "+section": {"n": 1}, "size": 3}
THIRD = {"list#0": "%size", "text": "colour #1", "again": "%section", "whole": "%part.json"}


@pytest.fixture
def three(write):
    write("part.json", {"net": {"size": "@size", "list": [1, {"a": "@size"}]}})
    return [write(f"{n}.json", c) for n, c in enumerate((FIRST, SECOND, THIRD))]


def test_files_then_merged_as_monai_merges_them(three, write):
    write("metadata.json", {"version": "1"})
    made = compose(three, READ)
    assert made.config == monai_makes(three, "metadata.json")
    assert made.complete() is made.config


def test_files_then_every_part_known_by_its_file(three):
    made = compose(three, READ)
    written_in = {
        **{"net::list::1": "part", "list::0": "2", "list::1": "1", "list::2": "1"},
        **{"section::b": "1", "section::n": "1", "section::c": "0", "text": "2"},
    }
    assert {id_: Path(made.file_of(id_)).stem for id_ in written_in} == written_in


def test_metadata_and_overrides_then_as_on_monais_command_line(three, write):
    write("metadata.json", {"version": "not this one"})
    names = [write("one.json", {"version": "1", "a": {"b": 1}}), write("two.json", {"a::b": 2})]
    overrides = {"size": 7, "section::c": "%part.json::net", "list#2#x": [1], "new": "%size"}
    made = compose(three, READ, metadata=names, overrides=overrides)
    assert made.config == monai_makes(three, names, overrides)
    assert made.config["_meta_"] == {"version": "1", "a": {"b": 2}}
    assert "_meta_" not in compose(three, READ, metadata=()).config


def test_plus_where_nothing_is_then_set_as_monai_does_and_remarked(write):
    files = [write("a.json", {"a": 1}), write("b.json", {"+b": [1], "c": 2})]
    made = compose(files, READ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's, about the same thing
        assert made.complete() == monai_makes(files)
    assert [(one.file, one.id, one.what, one.fatal) for one in made.remarks] == [
        ("b.json", "b", "+b", False)
    ]


@pytest.mark.parametrize(
    ("added", "id_"),
    [({"x::y": 1}, "x::y"), ({"+a": [1]}, "a"), ({"list::7": 1}, "list::7"), ({"a::b": 1}, "a::b")],
    ids=["no parent", "list added to a number", "beyond the list", "part of a number"],
)
def test_key_that_monai_refuses_then_refused_with_its_file(write, added, id_):
    files = [write("a.json", {"a": 1, "list": [1]}), write("b.json", added)]
    made = compose(files, READ)
    assert made.config == {"a": 1, "list": [1]}
    with pytest.raises(MissingError, match=rf"b\.json: {id_}: .*no earlier file has"):
        made.complete()
    with pytest.raises((KeyError, ValueError, IndexError, TypeError)):
        monai_makes(files)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("%absent.json::a", "no file absent.json in the current directory or in the bundle; run"),
        ("%other.json::widht", "refers to nothing; did you mean width"),
        ("%none", "refers to nothing"),
        ("@####x", "refers to a level above the root"),
    ],
)
def test_macro_or_reference_to_nothing_then_left_as_text_and_named(write, text, why):
    write("other.json", {"width": 1})
    made = compose([write("a.json", {"part": {"b": text}})], READ)
    assert made.config == {"part": {"b": text}}
    with pytest.raises(MissingError, match=f"a.json: part::b: {text}: {why}"):
        made.complete()


def test_macro_in_a_macro_then_left_as_monai_leaves_it(write):
    write("other.json", {"a": {"b": "%c"}, "c": 1})
    files = [write("a.json", {"a": "%other.json::a"})]
    made = compose(files, READ)
    assert made.complete() == monai_makes(files) == {"a": {"b": "%c"}}
    assert [(one.id, one.file) for one in made.remarks] == [("a::b", "other.json")]


def test_macros_then_copies_of_their_own(write):
    made = compose([write("a.json", {"a": {"x": [1]}, "b": "%a", "c": "%a"})], READ)
    made.config["b"]["x"].append(2)
    assert made.config["a"] == made.config["c"] == {"x": [1]}


def test_merge_then_macros_stay(three):
    merged = merge(three, READ).complete()
    assert merged == ConfigParser.load_config_files(three)
    assert merged["net"] == "%part.json::net"


def test_file_that_is_absent_then_refused(write):
    with pytest.raises(MissingError, match=r"no file b\.json in the current"):
        compose([write("a.json", {}), "b.json"], READ)


def test_metadata_that_imports_then_part_of_the_config(write):
    write("metadata.json", {"version": "$import socket"})
    made = compose([write("a.json", {"run": []})], READ)
    assert made.config["_meta_"] == {"version": "$import socket"}
    assert made.file_of("_meta_::version") == "metadata.json"


def test_yaml_that_blows_up_then_refused(write):
    lines = ["a0: &a0 [x, x]"]
    for n in range(1, 9):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]")
    with pytest.raises(ValueError, match="must have at most"):
        compose([write("a.yaml", "\n".join(lines))], READ)


def test_macro_that_blows_up_then_refused(write):
    wide = {"a": [0] * 1000, **{f"b{n}": "%a" for n in range(400)}}
    with pytest.raises(ValueError, match="must have at most"):
        compose([write("a.json", wide)], READ)


def flat(name, folder=None):
    read = files_below(folder)
    return flatten(read_config(name, read), read)


def test_flatten_then_macros_of_other_files_replaced_at_any_depth(write):
    write("deep.json", {"lr": 0.1, "keys": ["image"], "also": "%lr"})
    write("net.json", {"net": {"width": "%deep.json::also", "keys": "%deep.json::keys"}})
    main = {"train": {"net": "%net.json::net"}, "listed": ["%deep.json::keys::0"]}
    assert flat(write("main.json", main)) == {
        "train": {"net": {"width": 0.1, "keys": ["image"]}},
        "listed": ["image"],
    }


def test_flatten_then_all_else_stays_text_and_nothing_runs(write, tmp_path):
    ran = tmp_path / "ran"
    texts = {"run": f"$open({str(ran)!r}, 'w')", "again": "%run", "net": "@run", "share": "50%"}
    assert flat(write("main.json", texts)) == texts
    assert not ran.exists()


def test_flatten_then_files_named_from_the_folder_given(write, tmp_path, monkeypatch):
    write("part.json", {"a": 1})
    write("main.json", {"b": "%part.json::a"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert flat("main.json", tmp_path) == {"b": 1}


@pytest.mark.parametrize(
    ("macro", "message"),
    [
        ("%none.json::a", r"%none\.json::a: no file none\.json"),
        ("%other.json::widht", "%other.json::widht: refers to nothing; did you mean width"),
        ("%main.json::a", "refers to itself"),
    ],
    ids=["file missing", "id misspelt", "itself"],
)
def test_flatten_when_a_macro_leads_nowhere_then_refused(write, macro, message):
    write("other.json", {"width": 1})
    with pytest.raises(ValueError, match=message):
        flat(write("main.json", {"a": macro}))


def test_overlaid_then_as_monai_and_the_config_unchanged(write):
    config = {"net": {"width": 1}, "handlers": [1], "lr": 1}
    overlay = {"net::width": 2, "+handlers": [2], "lr": "@base", "base": 3}
    found = overlaid(config, overlay, list(overlay))
    assert found == {"net": {"width": 2}, "handlers": [1, 2], "lr": "@base", "base": 3}
    assert config == {"net": {"width": 1}, "handlers": [1], "lr": 1}
    files = [write("a.json", config), write("b.json", overlay)]
    assert found == ConfigParser.load_config_files(files)
