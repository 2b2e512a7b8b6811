"""The report says of each pretraining what it learned from, and how well."""

from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.pretrainings import (
    describe_continued,
    describe_pretrainings,
    pretraining_table,
    pretrainings_of,
)
from scripts.study.reporting.report import describe, write_report
from scripts.study.runner import run_cells
from scripts.study.sample_sources import Source
from scripts.study.workshop import Workshop
from tests.scripts.study.studies import STUDY, Pretender, write_study


def test_pretraining_that_validates_then_its_figures_and_data_are_reported(tmp_path):
    organs = {
        "config": "bundles/liver_ct_segmentation/configs/pretrain.json",
        "data": {"phantoms": {"patients": 6, "size": 64}},
    }
    methods = [{"name": "x", "network": "unet", "encoder": "resnet34", "weights": "organs"}]
    declared = {"methods": methods, "pretrainings": {"organs": organs}, "paper": {}}
    study = read_study(write_study(tmp_path, **declared))
    cells = make_cells(study, Source())
    shop = Workshop(tmp_path / "work", Pretender())
    run_cells(cells, shop, lambda: None)
    (step,) = pretrainings_of(cells[0])
    write_report(study, cells, shop, tmp_path, source=Source())
    assert "## Pretraining" not in (tmp_path / "report.md").read_text()
    (step.out(shop.work) / "metrics.csv").write_text("val_auc,0.8125\nval_auc_kidney,nan\n")
    write_report(study, cells, shop, tmp_path, source=Source())
    text = (tmp_path / "report.md").read_text()
    assert "| weights | split | val_auc | val_auc_kidney |" in text
    assert "| organs resnet34 seed 0 | patient | 0.812 | - |" in text
    assert "It does not include patients of the training partition" in text
    assert f"Weights organs: pretrained by {organs['config']} on synthetic phantoms" in text


def test_pretraining_on_two_splits_then_a_row_of_each_and_the_leak_reported(tmp_path):
    methods = [
        {
            "network": "fcn",
            "encoder": "vgg16",
            "strategy": "full",
            "weights": "own",
            "split": ["slice_random", "patient"],
        }
    ]
    own = {"config": "bundles/liver_ct_segmentation/configs/pretrain.json"}
    declared = {"methods": methods, "pretraining": own, "paper": {}, "data": {"phantoms": {}}}
    declared["figures"] = {"IoU": "iou_liver_per_volume_mean"}
    study = read_study(write_study(tmp_path, bundle="liver_ct_segmentation", **declared))
    cells, shop = make_cells(study, Source()), Workshop(tmp_path / "work", Pretender())
    for cell, auc in zip(cells, (0.75, 0.5), strict=True):
        (step,) = pretrainings_of(cell)
        shop.do(step)
        (step.out(shop.work) / "metrics.csv").write_text(f"val_auc,{auc}\n")
    table = pretraining_table(cells, shop)
    assert [row[1:] for row in table.rows] == [["slice_random", "0.750"], ["patient", "0.500"]]
    assert "LEAK: with the split slice_random" in " ".join(table.notes)
    assert "does not include" not in " ".join(table.notes)
    facts = describe_pretrainings(study, Source())
    assert facts == [f"Weights own: pretrained by {own['config']} on the data of the training."]


def test_rows_that_continue_a_network_or_have_other_labels_then_marked_in_the_report(tmp_path):
    liver = {
        "config": "bundles/liver_ct_segmentation/configs/train.json",
        "files": ["configs/networks/unet.json"],
        "data": {"phantoms": {"patients": 6, "size": 64}},
    }
    base = STUDY["methods"][0]
    methods = [
        base,
        {**base, "name": "from liver", "weights": "liver"},
        {**base, "name": "wrong", "derived": "shuffled_labels"},
        {**base, "name": "few", "derived": "few_labels", "settings": {"labelled_patients": "50%"}},
        {**base, "name": "again", "data": "luna16_slices_context", "derived": "refinement"},
    ]
    study = read_study(
        write_study(tmp_path, methods=methods, paper={}, pretrainings={"liver": liver})
    )
    facts = describe_continued(study)
    marks = [fact.partition(" ")[0] for fact in facts]
    assert marks == ["CONTINUED:", "CONTROL:", "few", "CONTINUED:"]
    assert "from liver starts from a network that was trained as a whole" in facts[0]
    assert "wrong has the labels of other patients" in facts[1]
    assert "few has the labels of 50% of the training patients" in facts[2]
    assert "again reads the maps of 2 earlier networks" in facts[3]
    described = describe(study, (), (), Source(), done=0)
    assert set(facts) <= set(described)


def test_pretraining_without_labels_then_described(tmp_path):
    methods = [{**STUDY["methods"][0], "weights": "own"}]
    own = {"config": "bundles/lung_nodule_ct_segmentation/configs/pretrain.json"}
    study = read_study(write_study(tmp_path, methods=methods, pretraining=own))
    (fact,) = describe_pretrainings(study, Source())
    assert fact.endswith("It restores hidden parts of slices and sees no label.")
