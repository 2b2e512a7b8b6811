from pathlib import Path

import pytest

from scripts.study.cells import make_cells, stage_epochs
from scripts.study.declaration import read_study, with_methods, with_weights
from scripts.study.sample_sources import Source, choose_source
from tests.scripts.study.studies import STUDY, write_datalist, write_study

PRETRAINING = {"config": "bundles/lung_nodule_ct_segmentation/configs/pretrain.json"}

ORGANS = {
    "config": "bundles/liver_ct_segmentation/configs/pretrain.json",
    "data": {"phantoms": {"patients": 6, "size": 64}, "prepare": {"every": 3}},
    "settings": {"max_epochs": 1},
}


def cells_of(folder, source=None, **changes):
    study = read_study(write_study(folder, **changes))
    return make_cells(study, source or Source())


def test_setting_that_no_config_has_then_refused_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean batch_size"):
        cells_of(tmp_path, settings={"batch_sise": 2})


def test_setting_of_training_only_then_not_given_to_the_evaluation(tmp_path):
    cell = cells_of(tmp_path, settings={"batch_size": 2, "num_workers": 0})[0]
    (evaluation,) = cell.evaluations.values()
    assert cell.training.files["settings.json"]["batch_size"] == 2
    assert evaluation.files["settings.json"] == {"num_workers": 0}


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


def test_methods_with_own_weights_then_share_the_pretraining_and_scratch_has_none(tmp_path):
    methods = [
        {"network": "unet", "encoder": "resnet34", "strategy": name, "weights": "own"}
        for name in ("bsft", "full", "scratch")
    ]
    bsft, full, scratch = cells_of(tmp_path, methods=methods, pretraining=PRETRAINING)
    assert bsft.training.needs[1].key == full.training.needs[1].key
    assert "<need1>/encoder.pt" in bsft.training.words
    assert len(scratch.training.needs) == 1
    words = scratch.training.words
    assert words[words.index("--encoder_weights") + 1] == "none"


def named_starts(folder, source=None, **changes):
    """Cells of one method that starts from own, organs and none, and the pretrainings of each."""
    methods = [{**STUDY["methods"][0], "weights": ["own", "organs", "none"]}]
    declared = {"pretraining": PRETRAINING, "pretrainings": {"organs": {**ORGANS, **changes}}}
    cells = cells_of(folder, source, methods=methods, paper={}, **declared)
    return {cell.method.weights: cell.training for cell in cells}


def test_named_pretraining_then_a_row_of_its_own_on_its_own_phantoms(tmp_path):
    found = named_starts(tmp_path)
    assert [len(training.needs) for training in found.values()] == [2, 2, 1]
    own, organs = found["own"].needs[1], found["organs"].needs[1]
    assert own.needs == found["own"].needs[:1]
    (prepared,) = organs.needs
    assert prepared.words[3] == prepared.needs[0].words[3] == "ircadb"
    assert prepared.needs[0].words[6:8] == ("--patients", "6")
    assert organs.words[organs.words.index("--encoder") + 1] == "resnet34"
    assert organs.files["settings.json"] == {"max_epochs": 1}
    assert found["organs"].words == found["own"].words
    assert len({training.key for training in found.values()}) == 3


def test_network_of_another_organ_then_trained_whole_and_started_from_without_its_head(tmp_path):
    config = "bundles/liver_ct_segmentation/configs/train.json"
    whole = {"config": config, "files": ["configs/networks/unet.json"]}
    training = named_starts(tmp_path, **whole, settings={"stage_epochs": 1})["organs"]
    words, organs = training.words, training.needs[1]
    assert words[words.index("--start_from") + 1] == "<need1>/model.pt"
    assert words[words.index("--other_domain") + 1] == "true"
    assert words[words.index("--encoder_weights") + 1] == "none"
    assert organs.words[:4] == ("-m", "monai.bundle", "run", "training")
    assert organs.resumable
    assert organs.kind == "pretraining"
    assert organs.files["settings.json"] == {"stage_epochs": 1}


def test_data_of_a_pretraining_when_changed_then_another_key_of_its_trainings_alone(tmp_path):
    other = {"phantoms": {"patients": 7, "size": 64}}
    before, after = named_starts(tmp_path), named_starts(tmp_path, data=other)
    changed = [name for name in before if before[name].key != after[name].key]
    assert changed == ["organs"]


def test_pretraining_without_data_then_on_those_of_the_training(tmp_path):
    training = named_starts(tmp_path, **PRETRAINING, data=None, settings={})["organs"]
    assert training.needs[1].needs == training.needs[:1]


def test_real_scans_then_the_organs_are_still_of_phantoms_unless_given(tmp_path):
    scans, abdomens = tmp_path / "scans", tmp_path / "abdomens"
    for folder in (scans, abdomens):
        folder.mkdir()
    write_datalist(abdomens, name="ircadb", kind="classes", label="classes")
    training = named_starts(tmp_path, Source(scans))["organs"]
    assert str(scans) in training.needs[0].words
    assert training.needs[1].needs[0].needs[0].kind == "cohorts"
    given = named_starts(tmp_path, Source(scans, pretraining_data=abdomens))["organs"]
    assert given.needs[1].needs[0].given == abdomens


def test_data_for_a_pretraining_that_has_none_of_its_own_then_refused(tmp_path):
    for declared in ({"pretraining": PRETRAINING}, {"pretrainings": {"organs": ORGANS}}):
        study = read_study(write_study(tmp_path, **declared))  # no method starts from it
        with pytest.raises(ValueError, match="methods of mine have no separate data"):
            choose_source(study, "phantoms", None, None, pretraining_data=str(tmp_path))
    methods = [{**STUDY["methods"][0], "weights": "organs"}]
    study = read_study(write_study(tmp_path, methods=methods, pretrainings={"organs": ORGANS}))
    source = choose_source(study, "phantoms", None, None, pretraining_data=str(tmp_path))
    assert source.pretraining_data == tmp_path


def test_setting_that_no_pretraining_has_then_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean max_epochs"):
        named_starts(tmp_path, settings={"max_epoch": 1})


def test_stages_as_rows_then_each_is_evaluated_with_its_own_weights(tmp_path):
    methods = [{"name": "x", "network": "unet", "encoder": "resnet34", "strategy": "bsft"}]
    (cell,) = cells_of(tmp_path, methods=methods, rows="stages", paper={})
    assert next(iter(cell.evaluations)) == "A: block5"
    last = list(cell.evaluations.values())[-1]
    assert "<need0>/stages/stage_5.pt" in last.words


def test_loss_of_a_method_then_wins_over_a_file_of_the_study(tmp_path):
    methods = [{**STUDY["methods"][0], "loss": "cross_entropy"}]
    files = ["configs/losses/soft_jaccard.json"]
    (cell,) = cells_of(tmp_path, methods=methods, files=files)
    assert cell.training.made_of["config"]["loss"]["_target_"] == "torch.nn.BCEWithLogitsLoss"


def test_full_form_without_data_then_told_what_to_give(tmp_path):
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
    (tmp_path / "datalist.json").write_text("{}")
    before = cells_of(tmp_path, Source(tmp_path))[0]
    assert before.training.needs[0].given == tmp_path
    (tmp_path / "datalist.json").write_text('{"test": []}')
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


def test_training_files_then_in_the_training_and_not_in_the_evaluation(tmp_path):
    file = "configs/data/lidc_nodule_crops.json"
    (cell,) = cells_of(tmp_path, methods=STUDY["methods"][:1], training_files=[file])
    assert file in " ".join(cell.training.words)
    (evaluation,) = cell.evaluations.values()
    assert file not in " ".join(evaluation.words)


def test_studies_of_real_nodules_then_they_share_their_trainings():
    studies = ("real_nodules", "real_nodules_strategies", "real_nodules_leak")
    keys = {}
    for name in studies:
        study = with_weights(read_study(f"configs/studies/{name}.json"), __file__)
        keys[name] = {c.training.key for c in make_cells(study, Source(Path("crops")))}
    decisive, strategies, leak = keys.values()
    assert [len(keys[name]) for name in studies] == [40, 18, 10]
    assert len(decisive & strategies) == 8
    assert len(decisive & leak) == 5


def test_file_of_weights_when_its_content_changes_then_another_key(tmp_path):
    file = tmp_path / "weights.pth"
    keys = set()
    for content in (b"1", b"2"):
        file.write_bytes(content)
        methods = [{**STUDY["methods"][0], "weights": str(file)}]
        keys.add(cells_of(tmp_path, methods=methods)[0].training.key)
    assert len(keys) == 2


VOLUMES = {"network": "vnet", "strategy": "scratch", "data": "luna16_volume_patches"}


def test_networks_on_volumes_beside_those_on_slices_then_evaluated_on_the_same_slices(tmp_path):
    methods = [STUDY["methods"][0], {**VOLUMES, "name": "V-Net"}]
    slices, volumes = cells_of(tmp_path, methods=methods)
    (of_slices,), (of_volumes,) = slices.evaluations.values(), volumes.evaluations.values()
    assert of_volumes.files["settings.json"]["only_sampled_slices"] is True
    assert "only_sampled_slices" not in of_slices.files["settings.json"]
    (alone,) = cells_of(tmp_path, methods=methods[1:], reference="V-Net", paper={})
    (evaluation,) = alone.evaluations.values()
    assert "only_sampled_slices" not in evaluation.files["settings.json"]


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


def test_settings_of_files_of_the_evaluation_then_given_to_it_and_one_training(tmp_path):
    walk = {"evaluation_files": ["configs/postprocessing/random_walk.json"]}
    walk["settings"] = {"random_walk::beta": 30.0}
    plain = STUDY["methods"][0]
    first, second = cells_of(tmp_path, methods=[plain, {**plain, **walk, "name": "walk"}])
    assert second.training.key == first.training.key
    (before,), (after,) = first.evaluations.values(), second.evaluations.values()
    assert after.key != before.key
    assert after.files["settings.json"] == walk["settings"]
    assert walk["evaluation_files"][0] in str(after.words)


@pytest.mark.parametrize(("stages", "samples", "batch"), [(1, 20, 8), (5, 20, 8), (1, 8, 8)])
def test_epochs_of_updates_then_as_many_for_any_stages_and_data(stages, samples, batch):
    expression = str(stage_epochs({"updates": 600})).removeprefix("$")
    for name, value in {
        "@strategy['stages']": f"range({stages})",
        "@train::dataset::data": f"range({samples})",
        "@batch_size": str(batch),
    }.items():
        expression = expression.replace(name, value)
    assert eval(expression) * stages * -(-samples // batch) == 600
    assert stage_epochs({"per_stage": 3}) == 3


def test_shipped_tables_then_equal_training_for_every_method_and_the_papers_as_an_option():
    for name, kind in (("table6", "updates"), ("table4", "total")):
        file = f"configs/studies/{name}.json"
        assert set(read_study(file).epochs) == {kind}
        assert read_study(file, paper_epochs=True).epochs == {"per_stage": 200}
    with pytest.raises(ValueError, match=r"paper_epochs: .* states no epochs of the paper"):
        read_study("configs/studies/table5.json", paper_epochs=True)


def test_evaluation_then_replaces_what_a_killed_one_left(tmp_path):
    (evaluation,) = cells_of(tmp_path)[0].evaluations.values()
    assert "--overwrite true" in " ".join(evaluation.words)


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


def test_network_with_weights_of_its_own_then_pretrained_with_its_file_and_no_encoder(tmp_path):
    sparse = {**PRETRAINING, "files": ["configs/pretrainings/sparse.json"]}
    rows = [{"network": "csae", "strategy": "csae", "weights": "sparse"}]
    rows.append({"network": "unet", "encoder": "resnet34", "weights": "sparse"})
    changes = {"methods": rows, "pretrainings": {"sparse": sparse}}
    own, transferred = (cell.training for cell in cells_of(tmp_path, **changes))
    first, second = own.needs[1], transferred.needs[1]
    files = [" ".join(step.words) for step in (first, second)]
    assert "configs/networks/csae.json" in files[0]
    assert "configs/networks/csae.json" not in files[1]
    assert "configs/pretrainings/sparse.json" in files[0]
    assert "--encoder" not in first.words
    assert second.words[second.words.index("--encoder") + 1] == "resnet34"
    assert own.words[own.words.index("--encoder_weights") + 1] == "<need1>/encoder.pt"


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
