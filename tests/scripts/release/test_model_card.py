"""The card says what the records say, in the zoo's headings, and no folder of this machine."""

import pytest

from scripts.release.evidence import read_evidence
from scripts.release.model_card import description_of, eval_metrics, model_card
from tests.scripts.release.records import write_evaluation, write_run

METADATA = {
    "name": "Segmentation of lung nodules, U-Net",
    "task": "Segmentation of lung nodules",
    "version": "0.2.0",
    "authors": "Ann Author",
    "data_source": "LIDC-IDRI",
    "intended_use": "Research only. Not for diagnosis.",
    "references": ["Ma J et al. 2020"],
    "monai_version": "1.6.1",
    "pytorch_version": "2.13.0",
    "numpy_version": "2.2.6",
}
HEADINGS = ("Model Description", "Data", "Performance", "Additional Usage Steps")
HEADINGS += ("System Configuration", "Limitations", "Citation Info", "References", "License")


def evidence_of(folder, data_set="lidc_nodules", partial=False, **changes):
    run = write_run(folder / "run", data_set=data_set)
    evaluation = write_evaluation(folder / "evaluation", run, **changes)
    return read_evidence(run, evaluation, partial_test=partial)


def card_of(evidence):
    return model_card("lung", METADATA, evidence, weights="`models/model.pt`", usage="Run it.")


def test_card_then_the_headings_of_the_zoo_in_their_order(tmp_path):
    card = card_of(evidence_of(tmp_path))
    found = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert found == list(HEADINGS)
    assert "/secret" not in card


def test_card_then_dice_with_detections_false_positives_intervals_and_sizes(tmp_path):
    card = card_of(evidence_of(tmp_path))
    value = "0.800 (95 % interval 0.700 to 0.900)"
    assert f"**Dice per nodule: {value} (12 nodules of 4 patients)**" in card
    assert f"**nodules detected: {value}**" in card
    assert f"**false positives per crop: {value}" in card
    assert f"| under 6 mm | 12 | {value} | {value} |" in card
    assert "| training | 4 | 8 | 8 |" in card
    assert "| test | 2 | 4 | 4 |" in card
    assert "| evaluated | 2 | 4 | 9 |" in card


def test_card_then_label_split_start_and_what_was_kept(tmp_path):
    card = card_of(evidence_of(tmp_path))
    assert "votes: voxels inside the outlines of at least 2 readers" in card
    assert "k folds by patient (kind fold, seed 0, folds 5, test_fold 0)" in card
    assert "encoder weights of the file vgg16.pth" in card
    assert "all, epoch 5, the best validation (val_dice_per_slice 0.7500)" in card
    assert "the whole test set that was set aside at training" in card
    assert "1 crops of the source could not be used" in card
    assert "Not for diagnosis" in card
    assert "say nothing about those in whole scans" in card


def test_group_of_another_kind_then_in_the_table_too(tmp_path):
    from tests.scripts.release.records import figure

    texture = {"dice_per_nodule_ground_glass_mean": figure(0.5, n=3)}
    summary = evidence_of(tmp_path / "usual").summary["figures"]
    card = card_of(evidence_of(tmp_path, figures={**summary, **texture}))
    assert "| ground glass | 3 | 0.500 (95 % interval 0.400 to 0.600) | not recorded |" in card


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cases": {"of_test": 3, "not_evaluated": 1}}, "a part of the test set (1 cases are"),
        ({"cases": {"of_test": 0}}, "4 cases that were in no partition of the training"),
        ({"cases": {"of_test": 3}}, "and 1 cases that were in no partition"),
        ({"data": {"data_set": "luna16"}}, "of another data set (LUNA16, lung nodules)"),
        ({"data": {"only_sampled_slices": True}}, "evaluated on chosen slices only"),
        ({"warnings": ["pixels of 2 mm"]}, "Note of the evaluation: pixels of 2 mm."),
    ],
)
def test_test_set_then_described_as_it_is(tmp_path, changes, words):
    assert words in card_of(evidence_of(tmp_path, partial=True, **changes))


def test_metrics_then_figures_intervals_and_their_basis(tmp_path):
    metrics = eval_metrics(evidence_of(tmp_path))
    assert metrics["dice_per_nodule_mean"] == 0.8
    assert metrics["nodules_detected_share_interval_95"] == pytest.approx([0.7, 0.9])
    assert metrics["false_positives_per_scan_mean"] == 0.8
    assert (metrics["test_patients"], metrics["test_cases"]) == (2, 4)
    assert "cpm" not in metrics
    scored = evidence_of(tmp_path / "scored", froc={"cpm": 0.6, "cpm_interval_95": [0.5, 0.7]})
    assert eval_metrics(scored)["cpm_interval_95"] == [0.5, 0.7]
    assert "**CPM of LUNA16: 0.600 (95 % interval 0.500 to 0.700)**" in card_of(scored)


def test_description_then_network_strategy_start_and_data(tmp_path):
    assert description_of(METADATA, evidence_of(tmp_path)) == (
        "Segmentation of lung nodules: U-Net with the encoder vgg16, trained with the strategy "
        "full from encoder weights of the file vgg16.pth, on nodules of LIDC-IDRI, cut out."
    )


def test_records_lost_then_said_instead_of_made_up(tmp_path):
    run = write_run(tmp_path / "run")
    for name in ("training_record", "training_config", "stages"):
        (run / f"{name}.json").unlink()
    card = card_of(read_evidence(run, write_evaluation(tmp_path / "evaluation", run)))
    assert "- **Training**: not recorded" in card
    assert "from initial weights that are not recorded" in card
