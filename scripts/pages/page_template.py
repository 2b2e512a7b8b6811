"""The template of all pages: self-contained, closed to the network, every text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

LOOK = Path(__file__).with_name("look")
STYLES = ("look.css",)
SCRIPTS = ("tables.js",)
NOT_FOR_DIAGNOSIS = "Research only. Not for diagnosis."


def render_page(
    name: str,
    *,
    folder: Path = LOOK,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    **texts: Any,
) -> str:
    """Render a page that loads nothing from outside; the same input gives the same bytes.

    Style and program stand in the page, and its content security policy lets the browser run only
    these, by their hashes.

    Args:
        name: template, which extends ``look.html``.
        folder: of the template and of the further files; ``look.html`` is always found.
        styles: names of files of rules after those of the look.
        scripts: names of files of programs after that of sortable tables.
        texts: values for the template; ``title`` at least.

    Raises:
        jinja2.UndefinedError: when the template uses a value that is not given.
    """
    style = "".join([*map(_of_look, STYLES), *(_read(folder, each) for each in styles)])
    script = "\n".join([*map(_of_look, SCRIPTS), *(_read(folder, each) for each in scripts)])
    given = {"headline": "", "warnings": (), "not_for_diagnosis": NOT_FOR_DIAGNOSIS, **texts}
    page = template(name, folder)
    return page.render(policy=_policy(style, script), style=style, script=script, **given)


def template(name: str, folder: Path = LOOK) -> jinja2.Template:
    """Return a template: every text is escaped; a missing text is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda each: _find(each, folder)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # for JSON inside a script element: markup is escaped, so that no text can end the element
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template(name)


def _find(name: str, folder: Path) -> str | None:
    """Read a template of a folder, or else of the look."""
    for place in (folder, LOOK):
        if (place / name).is_file():
            return _read(place, name)
    return None


def _of_look(name: str) -> str:
    return _read(LOOK, name)


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a policy that allows the page's own style and program, by hash, and its pictures."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    ]
    return (
        "default-src 'none'; img-src data:; "
        f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
