"""The command on configs and bundles that would do harm, and that must not do it here."""

import json
import zipfile

import pytest

from scripts.__main__ import main
from scripts.audit.audit import audit_paths
from tests.scripts.audit.samples import bundle_zip, malicious_config, write


@pytest.fixture
def canary(tmp_path):
    canary = tmp_path / "canary"
    yield canary
    assert not canary.exists(), "something of an audited config was run"


def code_of(*words):
    """Run the command; return its exit code."""
    try:
        main(["audit", *map(str, words)])
    except SystemExit as stop:
        return stop.code
    return 0


def test_malicious_config_then_everything_listed_and_nothing_run(tmp_path, canary, capsys):
    config = write(tmp_path / "a.json", malicious_config(canary))
    assert code_of("--config", config, "--fail_on", "high") == 1
    printed = capsys.readouterr().out
    for place in ("imports::0", "a", "b::c::0", "e", "run::0"):
        assert f"{config}:{place}\n" in printed
    assert printed.index("HIGH") < printed.index("LOW")


def test_malicious_zip_then_configs_python_and_pickles_looked_into(tmp_path, canary, capsys):
    path = bundle_zip(tmp_path / "evil.zip", canary)
    report = tmp_path / "report.json"
    assert code_of("--config", path, "--json", report, "--low", "false") == 1
    found = json.loads(report.read_text())["findings"]
    high = {(f["file"], f["kind"]) for f in found if f["level"] == "high"}
    assert {
        ("configs/inference.json", "write"),
        ("configs/inference.json", "code"),
        ("configs/metadata.json", "network"),
        ("models/model.pt", "pickle"),
        ("models/extra.pkl", "pickle"),
        ("torch.py", "code"),
        ("../../escape.txt", "file"),
    } <= high
    lines = {(f["file"], f["place"], f["what"]) for f in found}
    assert ("scripts/nets.py", "line 2", "os.mkdir") in lines
    assert "LOW" not in capsys.readouterr().out
    assert not (tmp_path.parent / "escape.txt").exists()


def test_bundle_folder_then_as_its_zip(tmp_path, canary):
    path = bundle_zip(tmp_path / "evil.zip", canary)
    with zipfile.ZipFile(path) as archive:
        safe = [name for name in archive.namelist() if ".." not in name]
        archive.extractall(tmp_path / "out", safe)
    zipped, folder = audit_paths([str(path)]), audit_paths([str(tmp_path / "out" / "evil")])
    keep = [f for f in zipped if "escape" not in f.file]
    assert {(f.file, f.place, f.what) for f in folder} == {(f.file, f.place, f.what) for f in keep}


@pytest.mark.parametrize(
    ("config", "codes"),
    [
        ({"run": ["$1 + 1"]}, (0, 0, 0)),
        ({"run": ["$1 + 1"], "unused": 1}, (1, 0, 0)),
        ({"run": ["$next(iter('a'))"]}, (1, 1, 0)),
        ({"run": ["$eval('1')"]}, (1, 1, 1)),
    ],
    ids=["clean", "problem", "medium", "high"],
)
def test_exit_code_then_by_level(tmp_path, config, codes):
    path = write(tmp_path / "a.json", config)
    levels = ("problem", "medium", "high")
    assert tuple(code_of("--config", path, "--fail_on", level) for level in levels) == codes
    assert code_of("--config", path) == codes[0]


@pytest.mark.parametrize("name", ["absent.json", "broken.json", "no.zip", "empty"])
def test_what_cannot_be_read_then_2(tmp_path, name, capsys):
    write(tmp_path / "broken.json", "{")
    write(tmp_path / "no.zip", "text")
    (tmp_path / "empty").mkdir()
    assert code_of("--config", tmp_path / name) == 2
    assert name in capsys.readouterr().err


def test_options_that_make_no_sense_then_2(tmp_path):
    assert code_of() == 2
    assert code_of("--config", "a.json", "--diff", "b.json") == 2
    assert code_of("--config", "a.json", "--fail_on", "low") == 2


def test_text_that_would_move_the_cursor_then_written_out(tmp_path, capsys):
    config = write(tmp_path / "a.json", {"run": ["$eval('\x1b[2K\x1b[1A')"]})
    code_of("--config", config)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "builtins.eval" in printed or "eval" in printed


def test_logging_that_is_evaluated_then_high(tmp_path):
    write(tmp_path / "b" / "configs" / "train.json", {"run": ["$1"]})
    text = "[handler_a]\nclass=StreamHandler\nargs=(__import__('os').getcwd(),)\n"
    write(tmp_path / "b" / "configs" / "logging.conf", text)
    found = audit_paths([str(tmp_path / "b")])
    assert [(f.file, f.place) for f in found if f.level == "high"] == (
        [("configs/logging.conf", "handler_a")]
    )


def test_overlay_in_a_bundle_then_put_upon_what_it_needs(tmp_path):
    folder = tmp_path / "b" / "configs"
    write(folder / "train.json", {"net": {"_target_": "dict", "lr": 0}, "run": ["@net"]})
    write(folder / "rates.json", {"net::lr": "@rate", "rate": 1})
    found = audit_paths([str(tmp_path / "b")])
    assert [f.place for f in found if f.level == "problem"] == []
    write(folder / "rates.json", {"net::lr": "@rat", "rate": 1})
    found = audit_paths([str(tmp_path / "b")])
    assert [f.place for f in found if f.level == "problem"] == ["net::lr", "rate"]
