"""Configs that do harm: none is below medium, each is refused, and what can be tried is real."""

import logging

import pytest
from monai.bundle import ConfigParser

from scripts.__main__ import main
from scripts.audit.audit import audit_paths
from scripts.audit.findings import MEDIUM, at_or_above
from tests.scripts.audit.harmful import COMPOSED, OTHER, RUNNING, write_all


def strict(*words):
    """Run the command with the strict policy; return its exit code."""
    try:
        main(["audit", "--policy", "strict", *map(str, words)])
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in an empty folder, so that relative paths are inside it."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def canary(tmp_path):
    """A path outside the folder of the run."""
    return tmp_path / "canary"


@pytest.mark.parametrize("name", RUNNING)
def test_harm_that_can_be_tried_then_refused_and_real(name, folder, canary, capsys):
    (config,) = write_all(folder, [RUNNING[name]], canary)
    assert strict("--config", config) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed
    assert all(line.startswith("refused (") for line in printed)
    assert at_or_above(audit_paths([config]), MEDIUM)
    assert not canary.exists(), "the audit ran it"
    run(config)
    assert canary.exists(), "the config does no harm"


def run(config):
    """Run a config as MONAI does, whatever comes of it once the harm is done."""
    parser = ConfigParser()
    parser.read_config(config)
    parser.parse()
    logging.disable(logging.CRITICAL)
    try:
        for id_ in [one for one in ("seen", "run") if one in parser.config]:
            parser.get_parsed_content(id_)
    except Exception:  # a trick may end in an error after its harm
        pass
    finally:
        logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", OTHER)
def test_harm_that_cannot_be_tried_then_refused(name, folder, capsys):
    (config,) = write_all(folder, [OTHER[name]])
    assert at_or_above(audit_paths([config]), MEDIUM)
    assert strict("--config", config) == 1


@pytest.mark.parametrize("name", COMPOSED)
def test_harm_of_a_composition_then_refused_though_the_first_file_is_not(name, folder, capsys):
    configs, overrides = COMPOSED[name]
    files = write_all(folder, configs)
    assert strict("--config", *files, *overrides) == 1
    lines = capsys.readouterr().out
    assert "refused (high)" in lines or "refused (medium)" in lines
    if name != "macro":
        assert not at_or_above(audit_paths(files[:1]), MEDIUM)


def test_harmful_configs_then_many_and_each_different():
    configs = [str(one) for one in [*RUNNING.values(), *OTHER.values(), *COMPOSED.values()]]
    assert len(set(configs)) == len(configs) > 120
