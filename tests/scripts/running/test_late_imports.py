"""Stand-ins for modules: nothing is imported until it is used, and then everything is as usual."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from scripts.running import late_imports as module
from scripts.running.late_imports import late_imports

FILES = {
    "late_one/__init__.py": "answer = 42\n",
    "late_one/inner.py": "answer = 43\n",
    "late_zero/__init__.py": "",
    "late_zero/zero_redundancy_optimizer.py": "class ZeroRedundancyOptimizer:\n    pass\n",
}
# what predict does not need to find its files
FOREIGN = ("mlflow", "matplotlib.pyplot", "sympy", "pandas", "highdicom", "onnx", "tensorboardX")
FOREIGN += ("torch.distributed.optim", "torch.distributed.fsdp", "torch._dynamo", "openvino")


@pytest.fixture
def _modules(tmp_path, monkeypatch):
    """Late modules of this test, which are forgotten afterwards."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(module, "MODULES", ("late_one", "late_one.inner", "late_absent"))
    monkeypatch.setattr(module, "ZERO", "late_zero")
    yield
    for name in [name for name in sys.modules if name.startswith("late_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("_modules")
def test_late_module_when_it_is_used_then_imported_with_its_submodule():
    with late_imports():
        one = importlib.import_module("late_one")
        inner = importlib.import_module("late_one.inner")
        assert not hasattr(one, "__path__")
        assert one.__file__
    assert "late_one" not in sys.modules
    assert (one.answer, inner.answer) == (42, 43)
    assert sys.modules["late_one"].inner is sys.modules["late_one.inner"]
    with pytest.raises(AttributeError):
        _ = one.question


@pytest.mark.usefixtures("_modules")
def test_late_imports_when_a_module_is_loaded_or_absent_then_as_usual():
    own = importlib.import_module("late_one")
    with late_imports():
        assert importlib.import_module("late_one") is own
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("late_absent")


@pytest.mark.usefixtures("_modules")
def test_class_of_optimizers_when_torch_s_is_not_imported_then_nothing_is_one():
    with late_imports():
        stands_for = importlib.import_module("late_zero").ZeroRedundancyOptimizer
    assert not isinstance(object(), stands_for)
    own = importlib.import_module("late_zero.zero_redundancy_optimizer").ZeroRedundancyOptimizer
    assert isinstance(own(), stands_for)
    assert not isinstance(object(), stands_for)


def test_predict_when_ready_to_read_then_no_foreign_module_is_imported(tmp_path):
    words = ["predict", "--bundle", "bundles/lung_nodule_ct_segmentation", "--output", "none"]
    words += ["--source", str(tmp_path / "nowhere")]
    program = (
        "import sys\n"
        "from scripts.__main__ import main\n"
        "try:\n"
        f"    main({words})\n"
        "finally:\n"
        f"    print(*[name for name in {FOREIGN} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (2, ""), done.stderr
    assert "no such file or folder" in done.stderr


def test_stand_ins_when_monai_and_ignite_use_them_then_the_modules_themselves():
    program = (
        "import torch\n"
        "from scripts.running.late_imports import late_imports\n"
        "with late_imports():\n"
        "    from monai.handlers import mlflow_handler\n"
        "    from monai.visualize import utils\n"
        "    from ignite.handlers import checkpoint\n"
        "assert mlflow_handler.mlflow.entities.Metric\n"
        "assert mlflow_handler.mlflow.set_tracking_uri\n"
        "import mlflow, matplotlib.pyplot as plt\n"
        "assert mlflow.entities.Metric is mlflow_handler.mlflow.entities.Metric\n"
        "assert utils.plt.subplots is plt.subplots\n"
        "import torch.distributed.optim as real\n"
        "assert checkpoint.ZeroRedundancyOptimizer is not real.ZeroRedundancyOptimizer\n"
        "made = object.__new__(real.ZeroRedundancyOptimizer)\n"
        "assert isinstance(made, checkpoint.ZeroRedundancyOptimizer)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
