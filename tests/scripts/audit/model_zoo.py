"""Two bundles as in MONAI's model zoo, in the form of its configs; neither has Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.scripts.audit.samples import write

SPLEEN_INFERENCE: dict[str, Any] = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "image_key": "image",
    "output_dir": "$@bundle_root + '/eval'",
    "output_ext": ".nii.gz",
    "output_dtype": "$np.float32",
    "output_postfix": "trans",
    "separate_folder": True,
    "dataset_dir": "/workspace/data/Task09_Spleen",
    "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": {
        "_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
        "channels": [16, 32, 64, 128, 256], "strides": [2, 2, 2, 2], "num_res_units": 2,
        "norm": "batch",
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
            {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [1.5, 1.5, 2.0],
             "mode": "bilinear"},
            {"_target_": "ScaleIntensityRanged", "keys": "@image_key", "a_min": -57, "a_max": 164,
             "b_min": 0, "b_max": 1, "clip": True},
            {"_target_": "EnsureTyped", "keys": "@image_key"},
        ],
    },
    "dataset": {
        "_target_": "Dataset",
        "data": "$[{'image': i} for i in @datalist]",
        "transform": "@preprocessing",
    },
    "dataloader": {
        "_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": False,
        "num_workers": 4,
    },
    "inferer": {
        "_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "sw_batch_size": 4,
        "overlap": 0.5,
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing",
             "orig_keys": "@image_key", "nearest_interp": False, "to_tensor": True},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir",
             "output_ext": "@output_ext", "output_dtype": "@output_dtype",
             "output_postfix": "@output_postfix", "separate_folder": "@separate_folder"},
        ],
    },
    "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
    "evaluator": {
        "_target_": "SupervisedEvaluator", "device": "@device", "val_data_loader": "@dataloader",
        "network": "@network", "inferer": "@inferer", "postprocessing": "@postprocessing",
        "val_handlers": "@handlers", "amp": True,
    },
    "checkpointloader": {
        "_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'",
        "load_dict": {"model": "@network"}, "map_location": "@device",
    },
    "initialize": ["$monai.utils.set_determinism(seed=123)", "$@checkpointloader(@evaluator)"],
    "run": ["$@evaluator.run()"],
}  # fmt: skip

PANCREAS_TRAIN: dict[str, Any] = {
    "imports": ["$import glob", "$import os", "$import ignite"],
    "bundle_root": "/workspace/pancreas_ct",
    "ckpt_dir": "$@bundle_root + '/models'",
    "output_dir": "$@bundle_root + '/eval'",
    "dataset_dir": "/workspace/data/Task07_Pancreas",
    "data_list_file_path": "$@bundle_root + '/configs/dataset_0.json'",
    "train_datalist": "$monai.data.load_decathlon_datalist(@data_list_file_path, "
    "data_list_key='training', base_dir=@dataset_dir)",
    "val_datalist": "$monai.data.load_decathlon_datalist(@data_list_file_path, "
    "data_list_key='validation', base_dir=@dataset_dir)",
    "device": "$torch.device('cuda:' + os.environ['LOCAL_RANK'])",
    "epochs": 1000,
    "num_interval_per_validation": 1,
    "learning_rate": 0.0001,
    "network_def": {
        "_target_": "SegResNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3,
        "init_filters": 32, "dropout_prob": 0.2,
    },
    "network": "$@network_def.to(@device)",
    "loss": {"_target_": "DiceCELoss", "include_background": False, "to_onehot_y": True,
             "softmax": True, "squared_pred": True, "batch": True},
    "optimizer": {"_target_": "torch.optim.AdamW", "params": "$@network.parameters()",
                  "lr": "@learning_rate"},
    "lr_scheduler": {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR",
                     "optimizer": "@optimizer", "T_max": "@epochs"},
    "train": {
        "deterministic_transforms": [
            {"_target_": "LoadImaged", "keys": ["image", "label"]},
            {"_target_": "EnsureChannelFirstd", "keys": ["image", "label"]},
            {"_target_": "CropForegroundd", "keys": ["image", "label"], "source_key": "image"},
        ],
        "random_transforms": [
            {"_target_": "RandCropByPosNegLabeld", "keys": ["image", "label"],
             "label_key": "label", "spatial_size": [96, 96, 96], "pos": 1, "neg": 1,
             "num_samples": 4, "image_key": "image", "image_threshold": 0},
            {"_target_": "RandFlipd", "keys": ["image", "label"], "prob": 0.5},
            {"_target_": "Lambdad", "keys": "label", "func": "$lambda x: torch.where(x > 1, 2, x)"},
        ],
        "preprocessing": {
            "_target_": "Compose",
            "transforms": "$@train#deterministic_transforms + @train#random_transforms",
        },
        "dataset": {"_target_": "CacheDataset", "data": "$@train_datalist[:-10]",
                    "transform": "@train#preprocessing", "cache_rate": 1.0, "num_workers": 8},
        "dataloader": {"_target_": "DataLoader", "dataset": "@train#dataset", "batch_size": 2,
                       "shuffle": True, "collate_fn": "$monai.data.list_data_collate"},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "AsDiscreted", "keys": ["pred", "label"],
                            "argmax": [True, False], "to_onehot": 3}],
        },
        "handlers": [
            {"_target_": "LrScheduleHandler", "lr_scheduler": "@lr_scheduler", "print_lr": True},
            {"_target_": "ValidationHandler", "validator": "@validate#evaluator",
             "epoch_level": True, "interval": "@num_interval_per_validation"},
            {"_target_": "StatsHandler", "tag_name": "train_loss",
             "output_transform": "$monai.handlers.from_engine(['loss'], first=True)"},
            {"_target_": "TensorBoardStatsHandler", "log_dir": "@output_dir",
             "tag_name": "train_loss",
             "output_transform": "$monai.handlers.from_engine(['loss'], first=True)"},
        ],
        "key_metric": {
            "train_accuracy": {
                "_target_": "ignite.metrics.Accuracy",
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }
        },
        "trainer": {
            "_target_": "SupervisedTrainer", "max_epochs": "@epochs", "device": "@device",
            "train_data_loader": "@train#dataloader", "network": "@network",
            "loss_function": "@loss", "optimizer": "@optimizer", "inferer": "@train#inferer",
            "postprocessing": "@train#postprocessing", "key_train_metric": "@train#key_metric",
            "train_handlers": "@train#handlers", "amp": True,
        },
    },
    "validate": {
        "preprocessing": {"_target_": "Compose",
                          "transforms": "%train#deterministic_transforms"},
        "dataset": {"_target_": "CacheDataset", "data": "@val_datalist",
                    "transform": "@validate#preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@validate#dataset", "batch_size": 1},
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96],
                    "sw_batch_size": 4},
        "postprocessing": "%train#postprocessing",
        "handlers": [
            {"_target_": "StatsHandler", "iteration_log": False},
            {"_target_": "CheckpointSaver", "save_dir": "@ckpt_dir",
             "save_dict": {"model": "@network"}, "save_key_metric": True,
             "key_metric_filename": "model.pt"},
        ],
        "key_metric": {
            "val_mean_dice": {
                "_target_": "MeanDice", "include_background": False,
                "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
            }
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator", "device": "@device",
            "val_data_loader": "@validate#dataloader", "network": "@network",
            "inferer": "@validate#inferer", "postprocessing": "@validate#postprocessing",
            "key_val_metric": "@validate#key_metric", "val_handlers": "@validate#handlers",
        },
    },
    "initialize": ["$monai.utils.set_determinism(seed=123)"],
    "run": ["$@train#trainer.run()"],
}  # fmt: skip


def write_spleen(folder: Path) -> Path:
    """Write a bundle for inference."""
    write(folder / "configs" / "inference.json", SPLEEN_INFERENCE)
    write(folder / "configs" / "metadata.json", {"version": "0.5.0", "schema": "https://a.org"})
    write(folder / "docs" / "README.md", "![](https://example.org/picture.png)")
    write(folder / "large_files.yml", "large_files:\n- path: models/model.pt\n  url: https://a.org")
    write(folder / "LICENSE", "Apache")
    return folder


def write_pancreas(folder: Path) -> Path:
    """Write a bundle for training with one process for each GPU."""
    write(folder / "configs" / "train.json", PANCREAS_TRAIN)
    write(folder / "configs" / "logging.conf", "[handler_a]\nclass=StreamHandler\nargs=()")
    return folder
