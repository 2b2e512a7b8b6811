import copy

import pytest

from scripts.audit.bundle_files import FolderFiles
from scripts.audit.metric_names import audit_metrics
from scripts.bundle.compose import compose
from tests.scripts.audit.samples import write

CONFIG = {
    "train": {
        "handlers": [{"_target_": "StatsHandler"}],
        "trainer": {
            "_target_": "SupervisedTrainer",
            "train_handlers": "@train::handlers",
            "key_train_metric": {"train_acc": {}},
        },
    },
    "validate": {
        "handlers": [{"_target_": "StatsHandler"}],
        "key_metric": {"val_dice": {"_target_": "MeanDice"}},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "key_val_metric": "@validate::key_metric",
            "additional_metrics": {"val_iou": {}},
            "val_handlers": "@validate::handlers",
        },
    },
}


def metrics_missing(tmp_path, section, handler, **changes):
    config = copy.deepcopy(CONFIG)
    config[section]["handlers"].append(handler)
    config.update(changes)
    made = compose([str(write(tmp_path / "a.json", config))], FolderFiles().read)
    return [finding.what for finding in audit_metrics(made)]


def saver(**given):
    return {"_target_": "CheckpointSaver", "save_key_metric": True, **given}


@pytest.mark.parametrize(
    ("section", "handler", "missing"),
    [
        ("validate", saver(), []),
        ("validate", saver(key_metric_name="val_iou"), []),
        ("validate", saver(key_metric_name="val_mean_dice"), ["val_mean_dice"]),
        ("validate", saver(key_metric_name="train_acc"), ["train_acc"]),
        ("validate", {"_target_": "MetricsSaver", "metrics": "*"}, []),
        ("validate", {"_target_": "MetricsSaver", "metric_details": ["val_hd"]}, ["val_hd"]),
        ("train", {"_target_": "LrScheduleHandler",
                   "step_transform": "$lambda x: x.state.metrics['val_f1']"}, ["val_f1"]),
        ("validate", {"_target_": "EarlyStopHandler", "score_function":
                      "$monai.handlers.stopping_fn_from_metric('val_dicee')"}, ["val_dicee"]),
        ("train", {"_target_": "scripts.training.fine_tuning.stage_report.StageReport",
                   "metrics": ["val_iou", "val_hd"], "drawn": ["val_loss"]},
         ["val_hd", "val_loss"]),
    ],
)  # fmt: skip
def test_metric_asked_for_then_named_where_nothing_computes_it(tmp_path, section, handler, missing):
    assert metrics_missing(tmp_path, section, handler) == missing


def test_metrics_made_by_an_expression_then_nothing_is_said(tmp_path):
    handlers = [{"_target_": "StatsHandler"}, saver(key_metric_name="x")]
    section = {**CONFIG["validate"], "key_metric": "$dict(a=1)", "handlers": handlers}
    assert metrics_missing(tmp_path, "train", {}, validate=section) == []


def test_best_model_kept_without_a_key_metric_then_named(tmp_path):
    evaluator = {"_target_": "SupervisedEvaluator", "val_handlers": "@validate::handlers"}
    section = {"handlers": [saver()], "evaluator": evaluator}
    assert metrics_missing(tmp_path, "train", {}, validate=section) == ["save_key_metric"]


def test_metric_of_a_stage_then_named_where_nothing_computes_it(tmp_path):
    strategy = {"stages": [{"name": "A", "trainable": ["all"], "metric": "val_dise"}]}
    assert metrics_missing(tmp_path, "train", {}, strategy=strategy) == ["val_dise"]
