import pytest

from scripts.audit.modules import ROOT
from scripts.audit.names import Names


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "posix.system", "builtins.eval", "eval", "exec", "subprocess.Popen"),
        *("torch.os.system", "scripts.bundle.record.subprocess.run", "run_cmd", "optional_import"),
        *("torch.load", "torch.hub.load", "shutil.rmtree", "monai.bundle.ConfigParser"),
        *("monai.bundle.scripts.run", "scripts.storage.files.write_text", "scripts.demo.demo.demo"),
        *(
            "scripts.preparation.command.prepare",
            "json.codecs.builtins.eval",
            "functools.os.system",
        ),
        *("monai.apps.download_and_extract", "importlib.import_module", "pickle.loads"),
    ],
)
def test_target_that_reaches_out_then_high(target):
    assert Names().judge(target, target=True).level == "high"


@pytest.mark.parametrize("target", ["a_package.net.Net", "skimage.measure.label", "glob.glob"])
def test_target_not_looked_into_then_medium(target):
    assert Names().judge(target, target=True).level == "medium"


@pytest.mark.parametrize(
    "target",
    [
        *("Compose", "LoadImaged", "SaveImaged", "SupervisedTrainer", "monai.data.Dataset"),
        *("torch.optim.Adam", "torch.nn.L1Loss", "ignite.handlers.ProgressBar", "dict"),
        *("scripts.datasets.datalist.load_datalist", "custom_nets.unet.TransferUNet"),
        "scripts.training.run_record.RunRecord",
    ],
)
def test_target_of_monai_torch_ignite_or_here_then_low(target):
    assert Names().judge(target, target=True).level == "low"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("Compoze", "did you mean Compose"),
        ("torch.optim.Adem", "no component of this name"),
        ("scripts.datasets.datalist.load_datalst", "did you mean load_datalist"),
        ("scripts.sample.load_datalist", "has no sample"),
    ],
)
def test_target_that_is_not_there_then_a_problem(target, why):
    sign = Names().judge(target, target=True)
    assert sign.level == "problem"
    assert why in sign.why


def test_module_of_a_bundle_then_read_not_imported():
    files = {"nets.py": b"import os\nfrom subprocess import run as start\nclass Net: ...\n"}
    names = Names(files.get)
    assert names.judge("nets.Net").why == "runs Python of the bundle: nets.py"
    assert names.judge("nets.start").kind == "process"
    assert names.judge("nets.os.system").level == "high"


def test_module_of_a_bundle_when_ours_then_judged_as_ours():
    own = (ROOT / "scripts" / "datasets" / "datalist.py").read_bytes()
    same, other = (
        Names({"scripts/datasets/datalist.py": own}.get),
        Names({"scripts/datasets/datalist.py": b"x=1"}.get),
    )
    assert same.judge("scripts.datasets.datalist.load_datalist").level == "low"
    assert other.judge("scripts.datasets.datalist.load_datalist").level == "medium"
