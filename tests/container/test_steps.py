import configparser
import inspect
from pathlib import Path

import pytest

from scripts.__main__ import split_command
from scripts.commands import COMMANDS, sketch
from tests.container.steps import Step, read_steps

ROOT = Path(__file__).resolve().parents[2]


def steps_of(tmp_path, text, **arguments):
    file = tmp_path / "Containerfile"
    file.write_text(text)
    return read_steps(file, arguments)


@pytest.fixture
def settings():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture
def steps():
    return read_steps(ROOT / "Containerfile")


def test_steps_then_joined_and_filled_in(tmp_path):
    text = '# a comment\nARG A=1\nRUN one \\\n    two ${A}\n\nCMD ["x", "y"]\n'
    assert steps_of(tmp_path, text, A="3") == [
        *(Step("ARG", "A=1"), Step("RUN", "one two 3"), Step("CMD", '["x", "y"]')),
    ]
    assert steps_of(tmp_path, text)[-1].words == ["x", "y"]


@pytest.mark.parametrize(("text", "given"), [("RUN ${A}", {}), ("RUN a", {"B": "1"})])
def test_unknown_variable_or_argument_then_refused(tmp_path, text, given):
    with pytest.raises(KeyError):
        steps_of(tmp_path, text, **given)


def test_copied_files_then_there_and_not_ignored(steps):
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    for step in steps:
        if step.word == "COPY":
            *names, _ = step.words
            for name in names:
                assert (ROOT / name).exists(), name
                assert f"!{name}" in ignored, name


def test_copied_files_then_all_that_the_installation_is_made_of(steps, settings):
    copied = {word for step in steps if step.word == "COPY" for word in step.words[:-1]}
    packages = settings["options.packages.find"]["include"].replace("*", "").split()
    needed = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "constraints.txt", *packages}
    assert needed <= copied


def test_installation_of_the_project_then_with_extras_of_setup_cfg_only(steps, settings):
    words = [word.strip("'") for s in steps if "pip install" in s.text for word in s.text.split()]
    (project,) = [word for word in words if word == "." or word.startswith(".[")]
    extras = project.removeprefix(".").strip("[]").split(",")
    assert {*extras} - {""} <= set(settings["options.extras_require"])


def test_installations_then_by_the_constraints_with_torch_first(steps):
    installs = [s.text for s in steps if s.word == "RUN" and "pip install" in s.text]
    assert all(text.endswith("-c constraints.txt") for text in installs)
    assert " torch " in installs[0]


def test_entry_point_then_a_command_with_its_options(steps, settings):
    words = [word for step in steps if step.word in ("ENTRYPOINT", "CMD") for word in step.words]
    program, *arguments = words
    assert settings["options.entry_points"]["console_scripts"].strip().startswith(f"{program} =")
    command, options = split_command(arguments)
    valid = inspect.signature(sketch(COMMANDS[command].target)).parameters
    assert {word[2:] for word in options if word.startswith("--")} <= set(valid)
    required = {name for name, one in valid.items() if one.default is one.empty}
    assert required <= {word[2:] for word in options}


def test_image_then_no_root_no_reports_and_any_user_has_a_home(steps):
    words = [step.word for step in steps]
    (user,) = [step.text for step in steps if step.word == "USER"]
    assert user not in ("root", "0")
    assert words.index("USER") > max(n for n, word in enumerate(words) if word == "RUN")
    environment = " ".join(step.text for step in steps if step.word == "ENV")
    for variable in ("ORT_DISABLE_TELEMETRY=1", "MLFLOW_DISABLE_TELEMETRY=true", "HOME=/tmp"):
        assert variable in environment
