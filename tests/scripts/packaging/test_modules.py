import pytest

from scripts.packaging.modules import PREDICTION, foreign_modules, needed_files
from tests.scripts.packaging.packages import ROOT


@pytest.fixture
def project(tmp_path):
    files = {
        "scripts/__init__.py": "",
        "scripts/a.py": "import scripts.b\nimport skimage.measure\n",
        "scripts/b.py": "def late():\n    from scripts.deep import thing\n",
        "scripts/deep/__init__.py": "from scripts.deep.inner import bound\n",
        "scripts/deep/inner.py": "from . import thing\nbound = 1\n",
        "scripts/deep/thing.py": "",
        "scripts/unused.py": "",
        "custom_nets/__init__.py": "",
        "custom_nets/net.py": "from custom_nets.encoders.one import One\n",
        "custom_nets/other.py": "",
        "custom_nets/encoders/__init__.py": "",
        "custom_nets/encoders/one.py": "",
        "custom_nets/encoders/two.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names_of(files, root):
    return {path.relative_to(root).as_posix() for path in files}


def test_imports_then_followed_wherever_they_stand(project):
    found = needed_files([{"x": [{"_target_": "scripts.a.Thing"}]}], root=project)
    wanted = {"__init__.py", "a.py", "b.py", "deep/__init__.py", "deep/inner.py", "deep/thing.py"}
    assert names_of(found, project) == {f"scripts/{name}" for name in wanted}
    assert foreign_modules(found, root=project) == ["skimage"]


@pytest.mark.parametrize(
    "text",
    ["scripts.deep.bound", "$scripts.deep.inner.f(@x)", "$__import__('scripts.deep').bound"],
    ids=["name of a package", "expression", "text inside of one"],
)
def test_name_in_any_text_then_found(project, text):
    assert "scripts/deep/inner.py" in names_of(needed_files([[text]], root=project), project)


def test_a_network_then_every_network_but_only_its_encoders(project):
    found = names_of(needed_files([{"_target_": "custom_nets.net.Net"}], root=project), project)
    assert {"custom_nets/other.py", "custom_nets/encoders/one.py"} <= found
    assert found.isdisjoint({"custom_nets/encoders/two.py", "scripts/__init__.py"})


@pytest.mark.parametrize("name", ["scripts.none.X", "scripts.deep.none.X"])
def test_name_of_no_module_then_refused(project, name):
    with pytest.raises(ValueError, match="there is no none in"):
        needed_files([{"_target_": name}], root=project)


def test_preparation_and_phantoms_then_not_needed():
    found = names_of(needed_files(["scripts.volumes.readers.SimpleITKReader"], root=ROOT), ROOT)
    assert "scripts/volumes/dicom/series_volume.py" in found
    assert not [name for name in found if "luna16" in name or "phantom" in name]


def test_module_that_another_names_as_text_then_found_but_not_by_a_registry(project):
    text = 'WRITER = "scripts.deep.thing:write"\n'
    (project / "scripts" / "late.py").write_text(text)
    found = needed_files([["scripts.late.x"]], root=project)
    assert "scripts/deep/thing.py" in names_of(found, project)
    (project / "scripts" / "late.py").rename(project / "scripts" / "commands.py")
    found = needed_files([["scripts.commands.x"]], root=project)
    assert "scripts/deep/thing.py" not in names_of(found, project)


def test_files_beside_a_module_then_found_but_no_other_package(project):
    for name in ("deep/look.css", "deep/page/viewer.js", "deep/more/x.py", "deep/more/x.txt"):
        (project / "scripts" / name).parent.mkdir(exist_ok=True)
        (project / "scripts" / name).write_text("")
    found = names_of(needed_files([["scripts.deep.thing.x"]], root=project), project)
    assert {"scripts/deep/look.css", "scripts/deep/page/viewer.js"} <= found
    assert not {name for name in found if "more" in name}


def test_prediction_then_every_product_and_its_page_but_no_other_command():
    found = names_of(needed_files([list(PREDICTION)], root=ROOT), ROOT)
    for name in ("report/page.py", "report/page/page.css", "dicom/segmentation_object.py"):
        assert f"scripts/prediction/{name}" in found
    assert not [name for name in found if "preparation" in name or "phantom" in name]
    assert "openvino" not in foreign_modules([ROOT / name for name in found], root=ROOT)
