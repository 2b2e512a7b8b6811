"""Files of a bundle besides its configs."""

import zipfile

import pytest

from scripts.audit.bundle_contents import audit_code, audit_contents, audit_logging
from scripts.audit.bundle_files import FolderFiles, ZipFiles
from tests.scripts.audit.samples import ROOT


def found_in(folder):
    found = audit_contents(FolderFiles(folder))
    return {(f.file, f.level, f.kind) for f in found}


@pytest.mark.parametrize(
    ("name", "content", "level", "kind"),
    [
        ("net.so", b"", "medium", "file"),
        ("run.sh", b"", "medium", "file"),
        ("Makefile", b"all:", "medium", "file"),
        ("docs/page.html", b"<p onload = 'x()'>", "medium", "code"),
        ("docs/page.html", b"<SCRIPT>x()</SCRIPT>", "medium", "code"),
        ("docs/picture.svg", b"<image src='//a.org/b.png'>", "medium", "network"),
        ("program", b"\x7fELF", "high", "code"),
        ("tool", b"#!/bin/sh", "high", "code"),
        ("numpy.py", b"", "high", "code"),
        ("pip/__init__.py", b"", "high", "code"),
        ("scripts/sitecustomize.py", b"", "high", "code"),
        ("scripts/net.py", b"x = 1", "medium", "code"),
        ("scripts/broken.py", b"def (", "high", "code"),
        ("tests/conftest.py", b"", "high", "code"),
        ("large_files.yml", b"url: https://a.org/m.pt", "medium", "network"),
        ("large_files.yml", b"- path: ../../m.pt", "high", "write"),
        ("large_files.yml", b"path: /root/.ssh/keys", "high", "write"),
        ("configs/logging.conf", b"[a]\nargs=(eval('1'),)", "high", "code"),
        ("configs/logging.conf", b"no section", "high", "file"),
        ("models/model.pt", b"nonsense", "high", "file"),
    ],
)
def test_file_then_judged_by_its_kind(tmp_path, name, content, level, kind):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    assert (name, level, kind) in found_in(tmp_path)


def test_text_and_pictures_then_nothing_said(tmp_path):
    (tmp_path / "README.md").write_text("see https://example.org")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "LICENSE").write_text("Apache")
    (tmp_path / "index.html").write_text("<p>A page. <a href='https://example.org'>See</a>.</p>")
    assert found_in(tmp_path) == set()


def test_own_module_then_low_until_changed(tmp_path):
    own = (ROOT / "scripts" / "transforms" / "crops.py").read_bytes()
    path = tmp_path / "scripts" / "transforms" / "crops.py"
    path.parent.mkdir(parents=True)
    path.write_bytes(own)
    assert {level for _, level, _ in found_in(tmp_path)} == {"low"}
    path.write_bytes(own + b"\nimport os\nos.remove('x')\n")
    assert "high" in {level for _, level, _ in found_in(tmp_path)}


def test_link_then_named_and_not_followed(tmp_path):
    (tmp_path / "a.py").symlink_to("/etc/passwd")
    assert found_in(tmp_path) == {("a.py", "medium", "file")}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_with_a_name_twice_or_leading_out_then_high(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name in ("b/a.txt", "b/a.txt", "b/../../x", "b/c:/y"):
            archive.writestr(name, "")
    found = audit_contents(ZipFiles(tmp_path / "b.zip"))
    whys = {(f.file, f.level, f.why) for f in found}
    assert ("b/a.txt", "high", "twice in the zip: programs differ in which one they read") in whys
    outside = "would be unpacked outside its folder"
    assert {("../../x", "high", outside), ("c:/y", "high", outside)} <= whys


def test_python_then_lines_of_dangerous_calls():
    lines = ["import subprocess as s", "from os import remove", "s.run([])", "remove(1)"]
    found = audit_code("\n".join(lines).encode())
    assert [(line, sign.what) for line, sign in found] == [
        ("line 3", "subprocess.run"),
        ("line 4", "os.remove"),
    ]


def test_text_that_is_not_python_then_refused():
    ((_, sign),) = audit_code(b"def")
    assert sign.level == "high"
    assert "cannot be parsed as Python" in sign.why


def test_logging_with_plain_arguments_then_low():
    text = b"[handler_a]\nclass=logging.StreamHandler\nargs=(sys.stderr,)\n[b]\nargs=(sys.stdout,)"
    assert [sign.level for _, sign in audit_logging(text)] == ["low"]


@pytest.mark.parametrize(
    "entry",
    [
        *("args=(open('a'),)", "class=a.b()", "kwargs={'a': [x for x in 'b']}"),
        *("class=FileHandler", "class=handlers.SMTPHandler", "class=logging.handlers.HTTPHandler"),
    ],
)
def test_logging_entry_that_is_evaluated_then_high_with_its_section(entry):
    (found,) = audit_logging(f"[handler_a]\n{entry}".encode())
    assert (found[0], found[1].level, found[1].what) == ("handler_a", "high", entry)
