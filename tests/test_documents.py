"""Links between the project's documents: the files and headings that they lead to are there."""

import re
from pathlib import Path

import pytest

from tests.bundles.config_files import ROOT

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
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
