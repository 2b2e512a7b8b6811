"""What the project's documents name is there: files and headings of links, commands, options."""

import inspect
import re
import shlex
from pathlib import Path

import pytest

from scripts.__main__ import sketch_of, split_command
from scripts.commands import COMMANDS
from tests.bundles.config_files import ROOT

FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:\w+=\S+ )*(?:python -m scripts|ctseg) (.+)")
GROUPS = [[words[0]] for words in COMMANDS]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FOLDERS = (".", "docs", "docs/survey", "bundles/*/docs")
DOCUMENTS = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.md"))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings, each of another text."""
    titles = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", one) for one in HEADING.findall(text)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken_links(path: Path) -> list[str]:
    """The relative links of a document that lead to no file, or to no heading of it."""
    links = LINK.findall(FENCED.sub("", path.read_text()))
    return [link for link in links if not re.match(r"\w+:", link) and not leads(path, link)]


def leads(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    if not anchor or not target.exists():
        return target.exists()
    return anchor in anchors(FENCED.sub("", target.read_text()))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_then_their_files_and_headings_are_there(path):
    assert broken_links(path) == []


def test_link_to_nothing_then_found(tmp_path):
    other = "# `predict`: what, and [how](x.md)\n```\n# no heading\n```\n"
    text = "[a](other.md#predict-what-and-how) [b](https://x.org) [c](none.md) [d](#none)\n"
    text += "[e](other.md#no-heading)\n```\n[f](code.md)\n```\n"
    (tmp_path / "other.md").write_text(other)
    (tmp_path / "one.md").write_text(text)
    assert broken_links(tmp_path / "one.md") == ["none.md", "#none", "other.md#no-heading"]


def commands_of(text: str) -> list[list[str]]:
    """The words of each command of this project, in blocks and in inline code."""
    blocks = "\n".join(FENCED.findall(text)).replace("\\\n", " ")
    lines = [*blocks.splitlines(), *INLINE.findall(FENCED.sub("", text))]
    commands = filter(None, (COMMAND.match(line.strip()) for line in lines))
    return [shlex.split(command[1], comments=True) for command in commands]


def unknown_options(words: list[str]) -> list[str]:
    """The options that a command does not have; the command itself if there is none of its name."""
    if words in GROUPS or any(word.isupper() for word in words[:2]):  # such as prepare NAME
        return []
    try:
        command, rest = split_command(words)
    except SystemExit as ended:  # with 0 after a list of commands, as for --help
        return words[:2] if ended.code else []
    known = inspect.signature(sketch_of(command)).parameters
    options = [word[2:].partition("=")[0] for word in rest if word.startswith("--")]
    return [option for option in options if option not in known]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_document_then_they_have_its_options(path):
    if path.name != "CHANGELOG.md":  # earlier versions had others
        commands = commands_of(path.read_text())
        assert not [(words, unknown) for words in commands if (unknown := unknown_options(words))]


def test_command_that_does_not_exist_then_found():
    text = "`python -m scripts study`\n  ```\n  A=1 ctseg predict \\\n --sorce CT --output=x  # y\n"
    text += "  python -m scripts sae tran\n  pip install ctseg .\n  ```\n"
    commands = commands_of(text)
    assert commands == [["predict", "--sorce", "CT", "--output=x"], ["sae", "tran"], ["study"]]
    assert [unknown_options(words) for words in commands] == [["sorce"], ["sae", "tran"], []]
