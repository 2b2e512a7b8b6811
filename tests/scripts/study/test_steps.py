import pytest

from scripts.study.declaration import read_study
from scripts.study.sample_sources import Source, choose_source
from scripts.study.steps import stage_epochs
from tests.scripts.study.studies import STUDY, cells_of, write_datalist, write_study

PRETRAINING = {"config": "bundles/lung_nodule_ct_segmentation/configs/pretrain.json"}

ORGANS = {
    "config": "bundles/liver_ct_segmentation/configs/pretrain.json",
    "data": {"phantoms": {"patients": 6, "size": 64}, "prepare": {"every": 3}},
    "settings": {"max_epochs": 1},
}


VOLUMES = {"network": "vnet", "strategy": "scratch", "data": "luna16_volume_patches"}


def test_setting_of_training_only_then_not_given_to_the_evaluation(tmp_path):
    cell = cells_of(tmp_path, settings={"batch_size": 2, "num_workers": 0})[0]
    (evaluation,) = cell.evaluations.values()
    assert cell.training.files["settings.json"]["batch_size"] == 2
    assert evaluation.files["settings.json"] == {"num_workers": 0}


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
    assert organs.words[:4] == ("-m", "scripts.bundle", "run", "training")
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


def test_loss_of_a_method_then_wins_over_a_file_of_the_study(tmp_path):
    methods = [{**STUDY["methods"][0], "loss": "cross_entropy"}]
    files = ["configs/losses/soft_jaccard.json"]
    (cell,) = cells_of(tmp_path, methods=methods, files=files)
    assert cell.training.made_of["config"]["loss"]["_target_"] == "torch.nn.BCEWithLogitsLoss"


def test_training_files_then_in_the_training_and_not_in_the_evaluation(tmp_path):
    file = "configs/data/lidc_nodule_crops.json"
    (cell,) = cells_of(tmp_path, methods=STUDY["methods"][:1], training_files=[file])
    assert file in " ".join(cell.training.words)
    (evaluation,) = cell.evaluations.values()
    assert file not in " ".join(evaluation.words)


@pytest.mark.parametrize("derived", [None, "self_training"])
def test_file_of_weights_when_its_content_changes_then_another_key(tmp_path, derived):
    file = tmp_path / "weights.pth"
    keys = set()
    for content in (b"1", b"2"):
        file.write_bytes(content)
        methods = [{**STUDY["methods"][0], "weights": str(file), "derived": derived}]
        training = cells_of(tmp_path, methods=methods)[0].training
        keys.add(training.key if derived is None else training.needs[0].key)
    assert len(keys) == 2


def test_networks_on_volumes_beside_those_on_slices_then_evaluated_on_the_same_slices(tmp_path):
    methods = [STUDY["methods"][0], {**VOLUMES, "name": "V-Net"}]
    slices, volumes = cells_of(tmp_path, methods=methods)
    (of_slices,), (of_volumes,) = slices.evaluations.values(), volumes.evaluations.values()
    assert of_volumes.files["settings.json"]["only_sampled_slices"] is True
    assert "only_sampled_slices" not in of_slices.files["settings.json"]
    (alone,) = cells_of(tmp_path, methods=methods[1:], reference="V-Net", paper={})
    (evaluation,) = alone.evaluations.values()
    assert "only_sampled_slices" not in evaluation.files["settings.json"]


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


def test_epochs_of_updates_when_epochs_are_short_then_counted_in_these(tmp_path):
    short = {"training_files": ["configs/runtime/short_epochs.json"], "epochs": {"updates": 600}}
    whole, cut = (
        cells_of(tmp_path, **changes)[0].training.files["settings.json"]["stage_epochs"]
        for changes in ({"epochs": {"updates": 600}}, short)
    )
    assert "@batch_size" in whole
    assert cut == "$max(1, round(600 / len(@strategy['stages']) / len(@train::dataloader)))"


def test_evaluation_then_replaces_what_a_killed_one_left(tmp_path):
    (evaluation,) = cells_of(tmp_path)[0].evaluations.values()
    assert "--overwrite true" in " ".join(evaluation.words)


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
