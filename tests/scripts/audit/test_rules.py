"""The table of risks: the longest name that is listed decides."""

import pytest

from scripts.audit.findings import LEVELS
from scripts.audit.names import judge
from scripts.audit.rules import METHODS, RISKS, is_internal, method_rule_of, rule_of


@pytest.mark.parametrize(
    ("name", "level", "kind"),
    [
        ("os.path.join", "low", "expression"),
        ("os.system", "high", "process"),
        ("os.listdir", "medium", "read"),
        ("posix.system", "high", "process"),
        ("json.load", "medium", "read"),
        ("json.loads", "low", "expression"),
        ("torch.jit.load", "medium", "code"),
        ("torch.load", "high", "pickle"),
        ("monai.bundle.download", "high", "network"),
        ("monai.bundle.utils.ID_SEP_KEY", "low", "expression"),
    ],
)
def test_name_then_the_rule_of_the_nearest_package(name, level, kind):
    rule = rule_of(name)
    assert (rule.level, rule.kind, rule.what) == (level, kind, name)


@pytest.mark.parametrize("name", ["torch.nn.L1Loss", "osprey.system", "scripts.training.losses.X"])
def test_name_that_no_rule_covers_then_none(name):
    assert rule_of(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("storage.files.write_text", "storage.output_folder.claim_output", "volumes.nifti.write"),
        *("bundle.record.record_config", "training.tensor_files.write_tensors"),
        *("packaging.zip_writer.write_zip", "packaging.command.package", "phantom.metaimage.write"),
        *("preparation.report.write_report", "study.workshop.Workshop", "demo.demo.demo"),
        *("prediction.products.write_mask", "prediction.report.overview.write_overview"),
        *("prediction.dicom.structure_set.write_structure_set", "storage.workers.work_through"),
    ],
)
def test_module_of_this_project_that_writes_where_it_is_asked_then_high(name):
    assert rule_of(f"scripts.{name}").level == "high"


@pytest.mark.parametrize(
    "name",
    [
        *("scripts.packaging.location.bundle_root", "scripts.training.run_record.RunRecord"),
        *("scripts.prediction.network.segments.Segment", "scripts.training.losses"),
        *("scripts.transforms.intensity.WindowHUd", "custom_nets.unet.TransferUNet"),
    ],
)
def test_component_that_configs_name_then_not_high(name):
    assert judge(name).level != "high"


def test_table_then_every_name_once_and_every_level_known():
    for table in (RISKS, METHODS):
        assert {level for level, _, _ in table} <= set(LEVELS)
        names = [name for names in table.values() for name in set(names.split())]
        assert len(names) == len(set(names))


def test_attribute_then_judged_on_whatever_object():
    assert method_rule_of("rmtree").kind == "delete"
    assert method_rule_of("__subclasses__").why == "reaches Python's insides"
    assert method_rule_of("shape") is None
    assert not is_internal("__")
    assert not is_internal("_private_")
