import subprocess
import sys
from pathlib import Path

from scripts.packaging.location import bundle_root
from tests.scripts.packaging.packages import ROOT


def test_root_then_of_the_folder_that_holds_the_module_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bundle_root() == str(ROOT)
    copy = tmp_path / "unpacked" / "scripts" / "packaging" / "location.py"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(Path(ROOT, "scripts", "packaging", "location.py").read_bytes())
    program = f"import runpy; print(runpy.run_path({str(copy)!r})['bundle_root']())"
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert printed.strip() == str(tmp_path / "unpacked")
