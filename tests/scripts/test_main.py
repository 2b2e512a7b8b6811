import configparser
import inspect
import signal
import subprocess
import sys

import pytest

from scripts.__main__ import (
    INSTALLED,
    expand_home,
    explain,
    main,
    refuse_unknown_options,
    resolve,
    run,
    sketch_of,
)
from scripts.commands import COMMANDS


def error_of(capsys, *arguments):
    """What a command that must end with code 2 prints as its error."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_no_command_then_all_are_listed_with_a_line_each(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for words, command in COMMANDS.items():
        (line,) = [one for one in lines if one.endswith(command.summary)]
        assert line.split()[: len(words)] == list(words)


def test_group_with_help_then_its_commands_only(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "prepare luna16" in printed
    assert "phantom" not in printed


def test_help_of_every_command_then_no_heavy_module_is_imported():
    program = (
        "import sys\n"
        "from scripts.__main__ import main\n"
        "from scripts.commands import COMMANDS\n"
        "for words in COMMANDS:\n"
        "    main([*words, '--help'])\n"
        "heavy = {'torch', 'monai', 'SimpleITK', 'matplotlib'} & set(sys.modules)\n"
        "raise SystemExit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for words in COMMANDS:
        assert f"python -m scripts {' '.join(words)} - " in done.stdout


def test_help_then_options_with_their_types_defaults_and_meaning(capsys):
    main(["predict", "--help"])
    printed = capsys.readouterr().out
    described = "number of studies predicted in parallel."
    assert f"--jobs=JOBS\n        Type: int\n        Default: 1\n        {described}" in printed


def written_meanings(docstring):
    """The arguments of a docstring by its indentation alone, as it is read in the source."""
    lines = docstring.partition("\nArgs:\n")[2].partition("\nRaises:")[0].splitlines()
    meanings = {}
    for line in filter(None, lines):
        if not line.startswith("        "):
            name, _, meaning = line.strip().partition(": ")
            meanings[name] = []
        else:
            meaning = line.strip()
        meanings[name].append(meaning)
    return {name: " ".join(meaning) for name, meaning in meanings.items()}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_then_each_option_with_all_of_its_own_words(words):
    sketched = sketch_of(words)
    shown = " ".join(explain(words, sketched).split())
    for name, meaning in written_meanings(inspect.getdoc(sketched)).items():
        assert " ".join(meaning.split()) in shown, name


def test_misspelt_option_then_nothing_runs_and_the_nearest_is_named(capsys):
    error = error_of(capsys, "predict", "--sorce", "x", "--output", "y")
    assert error == "unknown option --sorce; did you mean --source?\n"


def test_option_like_none_then_no_long_list_but_how_to_set_an_id(capsys):
    error = error_of(capsys, "predict", "--decoder_norm", "batch")
    assert error.startswith("unknown option --decoder_norm, and none is similar; see --help; an id")
    assert 'by a JSON file in --config_file, such as {"network_def::norm"' in error


@pytest.mark.parametrize("words", [["--source="], ["--source", ""], ["--source", " "]], ids=str)
def test_option_without_a_value_then_refused_by_name(words, capsys):
    error = error_of(capsys, "predict", *words, "--output", "y")
    assert error == ("--source: is empty, as of an unset variable; give a value, or leave it out\n")


@pytest.mark.parametrize("words", [["~/scans"], ["--config=~/scans"], ["--config", "~/scans"]])
def test_home_folder_where_the_shell_leaves_it_then_found(words, called, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ana")
    main(["audit", *words])
    assert called["config"] == "/home/ana/scans"


def test_several_files_in_the_home_folder_then_each_found(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ana")
    assert expand_home(["--ckpt_path=~/a.pt,~/b.pt"]) == [
        "--ckpt_path=/home/ana/a.pt,/home/ana/b.pt"
    ]


@pytest.mark.parametrize("word", ["false", "FALSE", "no", "No", "False"])
def test_boolean_option_when_a_word_says_no_then_false(word, monkeypatch, called):
    main(["audit", "x", "--low", word])
    assert called == {"config": "x", "low": False}


@pytest.mark.parametrize(
    ("options", "low"),
    [(["--low"], True), (["--nolow"], False), (["--low=yes"], True), (["--low", "TRUE"], True)],
    ids=["bare", "negated", "yes", "true"],
)
def test_boolean_option_when_given_in_other_forms_then_read(options, low, called):
    main(["audit", "x", *options])
    assert called == {"config": "x", "low": low}


def test_boolean_option_when_not_given_then_its_default(called):
    main(["audit", "x"])
    assert called == {"config": "x", "low": None}


@pytest.mark.parametrize("word", ["maybe", "2", "on"])
def test_boolean_option_when_another_word_then_refused_by_name(word, capsys, called):
    error = error_of(capsys, "audit", "x", "--low", word)
    assert error.startswith("error: low: must be true, false, yes, no, 1 or 0, got ")
    assert called == {}


def test_option_when_it_is_a_literal_then_read_as_python(called):
    main(["audit", "[-150, 250]"])
    assert called == {"config": [-150, 250], "low": None}


@pytest.fixture
def called(monkeypatch):
    """What a command in the place of audit was called with."""
    given = {}

    def command(config, low: bool | None = None):
        given.update(config=config, low=low)

    monkeypatch.setattr("scripts.__main__.resolve", lambda target: command)
    return given


def test_negated_option_then_accepted():
    def command(verbose: bool = True) -> None: ...

    refuse_unknown_options(command, ["--noverbose"])


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (["predcit"], "predict"),
        (["prepair", "luna16"], "prepare"),
        (["prepare", "luna61"], "prepare luna16"),
        (["phantom"], "phantom luna16"),
        (["demo", "livr"], "demo liver"),
    ],
    ids=" ".join,
)
def test_unknown_command_then_the_nearest_is_named(asked, meant, capsys):
    assert f"did you mean {meant}" in error_of(capsys, *asked)


def test_wrong_folder_then_one_line_and_code_2(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "luna16", "--source", str(tmp_path / "no"), "--output", str(tmp_path)])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_mistake_found_by_a_component_of_a_config_then_one_line_and_code_2(capsys, monkeypatch):
    def component(run_id, bundle):
        try:
            raise FileNotFoundError(f"dataset_dir: nothing at {bundle}")
        except FileNotFoundError as error:
            raise RuntimeError("Failed to instantiate component") from error

    monkeypatch.setattr("scripts.__main__.resolve", lambda target: component)
    with pytest.raises(SystemExit) as stop:
        main(["run", "training", "--bundle", "x"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: dataset_dir: nothing at x\n"


def test_fault_of_the_program_then_not_hidden(monkeypatch):
    def faulty(run_id, bundle):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("scripts.__main__.resolve", lambda target: faulty)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["run", "training", "--bundle", "x"])


def test_terminated_from_outside_then_what_is_open_is_closed_first(tmp_path):
    program = (
        "import os, signal, tempfile\n"
        "from scripts.__main__ import leave\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "with tempfile.TemporaryDirectory(dir='.'):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_stopped_while_it_is_still_importing_then_one_line(capsys, monkeypatch):
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(["demo"])
    assert stop.value.code == 130
    assert "stopped by the user" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("predict", "--help"), ("info", "--json")], ids=" ".join)
def test_output_when_its_reader_ends_early_then_no_traceback(words):
    program = [sys.executable, "-u", "-m", "scripts", *words]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert error == ""


def test_console_command_then_its_name_in_help(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/ctseg"])
    main(["info", "--help"])
    with pytest.raises(SystemExit):
        main([])
    printed = capsys.readouterr().out
    assert "ctseg info - " in printed
    assert "usage: ctseg COMMAND" in printed
    assert "python -m scripts" not in printed


def test_console_command_of_the_installation_then_this_program():
    settings = configparser.ConfigParser()
    settings.read("setup.cfg")
    name, _, target = settings["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert name == INSTALLED
    assert resolve(target) is run
