import pytest
from monai.bundle import ConfigParser

from scripts.bundle.compose import compose
from scripts.bundle.config_files import (
    MissingError,
    files_below,
    find,
    find_shipped_files,
    load,
    read_config,
    references_of,
    walk,
)


def test_json_with_a_byte_order_mark_then_read():
    assert load("a.json", b"\xef\xbb\xbf" + b'{"a": 1}') == ({"a": 1}, [])


def test_key_written_twice_at_any_depth_then_named():
    assert load("a.json", b'{"a": {"b": 1, "b": 2}}') == ({"a": {"b": 2}}, ["b"])
    assert load("a.yaml", b"a: 1\nrun: ['$@a']\nb: {c: 1, c: 2}\n")[1] == ["c"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", b"[1]"),
        ("a.json", b"{"),
        ("a.json", b"\xff\xfe"),
        ("a.json", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("a.yaml", b"a: [1"),
        ("a.yaml", b"!!python/object/apply:os.system ['true']"),
    ],
    ids=["list", "broken", "no text", "deep", "broken yaml", "yaml that calls"],
)
def test_file_that_is_no_config_then_refused_by_name(name, text):
    with pytest.raises(ValueError, match=name):
        load(name, text)


def test_read_config_then_a_copy_and_twice_refused(tmp_path):
    read = files_below(tmp_path)
    (tmp_path / "a.json").write_text('{"a": [1]}')
    read_config("a.json", read)["a"].append(2)
    assert read_config("a.json", read) == {"a": [1]}
    (tmp_path / "b.json").write_text('{"a": 1, "a": 2}')
    with pytest.raises(ValueError, match=r"b\.json: has a twice; keep one"):
        read_config("b.json", read)
    with pytest.raises(MissingError, match=r"no file c\.json"):
        read_config("c.json", read)


def test_files_below_a_folder_then_absolute_names_as_they_are(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    read = files_below(tmp_path / "elsewhere")
    assert read(str(tmp_path / "a.json")) == b"{}"
    assert read("a.json") is None
    assert files_below(tmp_path)(".") is None


CONFIG = {"train": {"handlers": [{"a": 1}, 2]}, "lr": 0.1}


def test_walk_then_every_item_with_an_id_that_finds_it():
    items = dict(walk(CONFIG))
    assert list(items)[:3] == ["", "train", "train::handlers"]
    assert len(items) == 7
    assert all(find(CONFIG, id_) is value for id_, value in items.items())


@pytest.mark.parametrize("id_", ["none", "train::handlers::2", "train::handlers::x", "lr::a"])
def test_find_where_nothing_is_then_refused_by_id(id_):
    with pytest.raises(MissingError, match=f"{id_}: no such id"):
        find(CONFIG, id_)


@pytest.mark.parametrize("value", [1, None, ["@a"], "%a"])
def test_what_is_no_reference_then_refers_to_nothing(value):
    assert references_of(value) == []


def test_macros_of_shipped_configs_when_elsewhere_then_found(tmp_path, monkeypatch):
    config = "bundles/lung_nodule_ct_segmentation/configs/inference.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ConfigParser, "load_config_file", ConfigParser.load_config_file)
    find_shipped_files()
    find_shipped_files()  # a second time changes nothing
    parser = ConfigParser()
    parser.read_config(config)
    parser.resolve_macro_and_relative_ids()
    assert parser["model_settings"]["window_hu"] == "@window_hu"
    assert compose([config], files_below()).complete()["network"] == parser["network"]
