import json
from pathlib import Path

import pytest

from scripts.study.cells import make_cells
from scripts.study.declaration import read_study, with_methods, with_weights
from scripts.study.sample_sources import Source, choose_source
from tests.scripts.study.studies import STUDY, cells_of, write_datalist, write_study


def test_setting_that_no_config_has_then_refused_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean batch_size"):
        cells_of(tmp_path, settings={"batch_sise": 2})


@pytest.mark.parametrize(
    "changes",
    [{"settings": {"batch_size": 4}}, {"epochs": {"total": 11}}, {"seeds": [1]},
     {"data": {"phantoms": {"patients": 7}}}],
    ids=["setting", "epochs", "seed", "data"],
)  # fmt: skip
def test_anything_that_decides_the_result_when_changed_then_another_key(tmp_path, changes):
    before, after = cells_of(tmp_path)[0], cells_of(tmp_path, **changes)[0]
    assert before.training.key != after.training.key
    assert before.evaluations["BSFT"].key != after.evaluations["BSFT"].key


def test_title_when_changed_then_the_same_key(tmp_path):
    before, after = cells_of(tmp_path)[0], cells_of(tmp_path, title="Other words")[0]
    assert before.training.key == after.training.key


def test_methods_that_differ_in_what_they_are_tested_on_then_one_training(tmp_path):
    grid = [{**STUDY["methods"][0], "tested_label": ["ball", "masks"]}]
    first, second = cells_of(tmp_path, methods=grid)
    assert first.training.key == second.training.key
    keys = {task.key for cell in (first, second) for task in cell.evaluations.values()}
    assert len(keys) == 2


def test_stages_as_rows_then_each_is_evaluated_with_its_own_weights(tmp_path):
    methods = [{"name": "x", "network": "unet", "encoder": "resnet34", "strategy": "bsft"}]
    (cell,) = cells_of(tmp_path, methods=methods, rows="stages", paper={})
    assert next(iter(cell.evaluations)) == "A: block5"
    last = list(cell.evaluations.values())[-1]
    assert "<need0>/stages/stage_5.pt" in last.words


def test_stages_as_rows_when_the_strategy_may_end_earlier_then_refused(tmp_path):
    methods = [{"name": "x", "network": "unet", "encoder": "resnet34", "strategy": "auto_depth"}]
    with pytest.raises(ValueError, match="^rows: x has the strategy auto_depth, which may end"):
        cells_of(tmp_path, methods=methods, rows="stages", paper={})


def test_full_form_without_data_then_refused_with_what_to_give(tmp_path):
    study = read_study(write_study(tmp_path))
    with pytest.raises(ValueError, match="--data DIR"):
        choose_source(study, None, None, None)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        choose_source(study, str(tmp_path / "none"), None, None)
    assert choose_source(study, "phantoms", None, None).data is None


def test_prepared_folder_with_a_study_of_several_splits_then_refused(tmp_path):
    write_datalist(tmp_path)
    grid = [{**STUDY["methods"][0], "split": ["patient", "nodule"]}]
    study = read_study(write_study(tmp_path, methods=grid))
    with pytest.raises(ValueError, match="prepared with one label"):
        choose_source(study, str(tmp_path), None, None)


def test_prepared_folder_then_nothing_is_prepared_and_its_list_decides_the_key(tmp_path):
    content = {"training": [], "validation": [], "test": []}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    before = cells_of(tmp_path, Source(tmp_path))[0]
    assert before.training.needs[0].given == tmp_path
    (tmp_path / "datalist.json").write_text(json.dumps({**content, "test": [{"slice": 1}]}))
    assert cells_of(tmp_path, Source(tmp_path))[0].training.key != before.training.key


def test_split_without_a_test_section_then_its_validation_is_evaluated():
    study = read_study("configs/studies/leak_liver.json", small=True)
    cells = [cell for cell in make_cells(study, Source()) if cell.seed == 0]
    sections = {
        cell.method.split: "validation" in next(iter(cell.evaluations.values())).words
        for cell in cells
    }
    assert sections == {"patient": False, "slice_random": True}


def test_folds_then_a_cell_for_each_on_data_of_its_own(tmp_path):
    methods = [{**STUDY["methods"][0], "split": "fold"}]
    cells = cells_of(tmp_path, methods=methods, folds=[0, 3])
    assert [cell.name for cell in cells] == ["BSFT, seed 0, fold 0", "BSFT, seed 0, fold 3"]
    first, second = (cell.training.needs[0] for cell in cells)
    assert "--test_fold 0" in " ".join(first.words)
    assert "--test_fold 3" in " ".join(second.words)


def test_studies_of_real_nodules_then_they_share_their_trainings():
    studies = ("real_nodules", "real_nodules_strategies", "real_nodules_leak")
    keys = {}
    for name in studies:
        study = with_weights(read_study(f"configs/studies/{name}.json"), __file__)
        keys[name] = {c.training.key for c in make_cells(study, Source(Path("crops")))}
    decisive, strategies, leak = keys.values()
    assert [len(keys[name]) for name in studies] == [40, 38, 10]
    assert len(decisive & strategies) == 8
    assert len(decisive & leak) == 5


VOLUMES = {"network": "vnet", "strategy": "scratch", "data": "luna16_volume_patches"}


def test_rows_that_are_run_alone_then_the_same_steps_with_settings_of_all_rows(tmp_path):
    changes = {"methods": [STUDY["methods"][0], {**VOLUMES, "name": "V-Net"}]}
    changes["settings"] = {"volume_patch_size": [32, 32, 16], "decoder_norm": "group"}
    study = read_study(write_study(tmp_path, **changes))
    for number, whole in enumerate(make_cells(study, Source())):
        name = study.methods[number].name
        (alone,) = make_cells(with_methods(study, [name]), Source())
        assert alone.training.key == whole.training.key
        assert alone.evaluations[name].key == whole.evaluations[name].key
    misspelt = read_study(write_study(tmp_path, **{**changes, "settings": {"batch_sise": 2}}))
    with pytest.raises(ValueError, match="did you mean batch_size"):
        make_cells(with_methods(misspelt, ["BSFT"]), Source())


def test_shipped_tables_then_equal_training_for_every_method_and_the_papers_as_an_option():
    for name, kind in (("table6", "updates"), ("table4", "total")):
        file = f"configs/studies/{name}.json"
        assert set(read_study(file).epochs) == {kind}
        assert read_study(file, paper_epochs=True).epochs == {"per_stage": 200}
    with pytest.raises(ValueError, match=r"paper_epochs: .* states no epochs of the paper"):
        read_study("configs/studies/table5.json", paper_epochs=True)


def test_further_test_data_then_the_same_training_and_all_of_them_tested_once(tmp_path):
    methods = [{**STUDY["methods"][0], "split": "fold"}]
    usual = cells_of(tmp_path, methods=methods, folds=[0, 1])
    further = Source(test_data=tmp_path / "further")
    cells = cells_of(tmp_path, further, methods=methods, folds=[0, 1])
    assert [c.training.key for c in cells] == [c.training.key for c in usual]
    tests = [task.needs[1] for cell in cells for task in cell.evaluations.values()]
    assert len({task.key for task in tests}) == 1
    words = " ".join(tests[0].words)
    assert f"--source {tmp_path / 'further'}" in words
    assert "--split test_only" in words
    assert "test_fold" not in words


DOMAINS = {
    "own": "nodules",
    "name": "organs",
    "bundle": "liver_ct_segmentation",
    "figures": {"Dice": "dice_liver_per_volume_mean"},
    "data": {"phantoms": {"patients": 5}},
}


JOINT = {
    **{"name": "both", "network": "multi_domain", "encoder": "resnet34", "strategy": "full"},
    **{"data": "nodules_and_organs", "settings": {"batch_size": 16}},
}


def test_network_of_two_domains_then_trained_on_both_and_each_tested_by_its_own_bundle(tmp_path):
    (cell,) = cells_of(tmp_path, methods=[JOINT], other_domain=DOMAINS, epochs={"updates": 60})
    joined = cell.training.needs[0]
    nodules, organs = joined.needs
    assert (nodules.words[3], organs.words[3]) == ("luna16", "ircadb")
    assert joined.words[4] == "nodules=<need0>/datalist.json,organs=<need1>/datalist.json"
    assert "len(@train::dataloader)" in cell.training.files["settings.json"]["stage_epochs"]
    pairs = [(cell.evaluations, nodules, "lung_nodule"), (cell.others, organs, "liver")]
    for evaluations, data, bundle in pairs:
        model, tested_on = evaluations["both"].needs
        assert tested_on == data
        assert model.needs == (cell.training,)
        assert f"bundles/{bundle}_ct_segmentation" in model.words
        assert f"bundles/{bundle}_ct_segmentation" in " ".join(evaluations["both"].words)
        assert "nodules_and_organs" not in " ".join(evaluations["both"].words)
    assert cell.steps == (cell.evaluations["both"], cell.others["both"])


def test_updates_of_a_network_of_two_domains_then_as_many_as_its_batches(tmp_path):
    from scripts.transforms.domains import DomainBatches

    (cell,) = cells_of(tmp_path, methods=[JOINT], other_domain=DOMAINS, epochs={"updates": 60})
    samples = [{"domain": "nodules"}] * 20 + [{"domain": "organs"}] * 80
    batches = DomainBatches(samples, 16)
    expression = cell.training.files["settings.json"]["stage_epochs"].removeprefix("$")
    plain = expression.replace("@train::dataloader", "batches").replace("@strategy", "strategy")
    found = eval(plain, {"batches": batches, "strategy": {"stages": [0]}})
    assert found * len(batches) == 60
