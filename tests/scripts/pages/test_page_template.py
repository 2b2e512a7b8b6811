import base64
import hashlib
import html
import re

import pytest
from jinja2 import TemplateError, UndefinedError

from scripts.pages.page_template import LOOK, NOT_FOR_DIAGNOSIS, render_page

CONTENT = '{% extends "look.html" %}{% block content %}<p>{{ said }}</p>{% endblock %}'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own.html").write_text(CONTENT)
    (tmp_path / "own.css").write_text("p { color: red; }\n")
    (tmp_path / "own.js").write_text("// mine\n")
    return tmp_path


def test_page_then_in_the_look_with_its_own_style_and_program_after_it(folder):
    page = render_page(
        "own.html", folder=folder, styles=["own.css"], scripts=["own.js"], title="T", said="<b>"
    )
    assert "<p>&lt;b&gt;</p>" in page
    assert NOT_FOR_DIAGNOSIS in page
    style = re.search("<style>(.*)</style>", page, re.DOTALL).group(1)
    script = re.findall("<script>(.*)</script>", page, re.DOTALL)[-1]
    assert style.startswith((LOOK / "look.css").read_text())
    assert style.endswith("p { color: red; }\n")
    assert "class SortableTable" in script
    assert script.endswith("// mine\n")
    for text, kind in ((style, "style"), (script, "script")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in html.unescape(page)


def test_headline_and_warnings_then_only_if_there_are_any(folder):
    bare = render_page("own.html", folder=folder, title="T", said="")
    assert 'class="headline"' not in bare
    assert 'class="warnings"' not in bare
    full = render_page(
        "own.html", folder=folder, title="T", said="", headline="two <", warnings=["one <"]
    )
    assert '<p class="headline">two &lt;</p>' in full
    assert "<li>one &lt;</li>" in full


def test_text_that_is_missing_then_an_error(folder):
    with pytest.raises(UndefinedError, match="'said' is undefined"):
        render_page("own.html", folder=folder, title="T")


def test_template_without_content_then_an_error(folder):
    (folder / "empty.html").write_text('{% extends "look.html" %}')
    with pytest.raises(TemplateError, match="content"):
        render_page("empty.html", folder=folder, title="T")
