"""Prepared patients written by hand, and trainings that only pretend: networks of constant output.

The output of each network tells it from every other one, so that a map tells which network made it.
"""

import json
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.networks.nets import BasicUNet

from custom_nets.plain import PlainNetwork
from custom_nets.survey.voxresnet import VoxResNet
from scripts.bundle.model_file import content_of, settings_of
from scripts.bundle.recipe import Recipe
from scripts.datasets.datalist import load_datalist, read_datalist
from scripts.datasets.training_data import training_data
from scripts.study.processes import Outcome
from scripts.volumes.formats.nifti import nifti_of

AFFINE = np.diag([0.7, 0.8, 2.5, 1.0])
AFFINE[:3, 3] = [-10, -20, -30]
SIZE = (5, 6, 8)  # z, y, x
SCANS = {"a": "P1", "b": "P2", "c": "P3", "d": "P3", "e": "P4", "v": "P5", "t": "P6"}
PARTITION = {**dict.fromkeys("abcde", "training"), "v": "validation", "t": "test"}
CLASSES = ["background", "liver", "bone", "kidney"]


def write_patients(folder: Path) -> Path:
    """Five training scans of four patients, one validation and one test scan; the datalist."""
    content: dict = {"name": "x", "training": [], "validation": [], "test": []}
    content["volumes"] = {name: [] for name in ("training", "validation", "test")}
    content |= {"kind": "classes", "classes": dict(enumerate(CLASSES))}
    for uid, patient in SCANS.items():
        common = {"series_uid": uid, "patient_id": patient, "class_known": [True] * 4}
        common["spacing_mm"] = [0.7, 0.8, 2.5]
        (folder / "scans" / uid).mkdir(parents=True)
        (folder / "volumes").mkdir(exist_ok=True)
        hu = np.random.default_rng(0).integers(-900, 300, SIZE).astype(np.int16)
        arrays = {"image": hu, "label": np.zeros(SIZE, np.uint8), "lung": np.ones(SIZE, np.uint8)}
        for name, array in arrays.items():
            np.save(folder / "scans" / uid / f"{name}.npy", array)
            nibabel.save(nifti_of(array, AFFINE), folder / "volumes" / f"{uid}_{name}.nii.gz")
        files = {key: f"scans/{uid}/{key}.npy" for key in arrays}
        for rows in ([0, 1, 2], [2, 3, 4]):
            place = {"rows": rows, "slice": rows[1], "affine_lps": AFFINE.tolist()}
            content[PARTITION[uid]].append({**common, **files, **place})
        files = {key: f"volumes/{uid}_{key}.nii.gz" for key in ("image", "label")}
        content["volumes"][PARTITION[uid]].append({**common, **files})
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder / "datalist.json"


def constant_network(logit: float, *, volumes: bool, channels: int = 2):
    """A network with one logit for images, or four equal ones but the last for volumes."""
    if volumes:
        network = VoxResNet(channels, 4, widths=(1, 1))
    else:
        inner = partial(BasicUNet, 2, 3, 1, (2, 2, 4, 4, 4, 2), norm="batch")
        network = PlainNetwork(inner, in_channels=3, stride=16)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    last = network.sides[0].score.bias if volumes else list(network.parameters())[-1]
    with torch.no_grad():
        last[-1] = logit
    return network


def write_model(file: Path, network, datalist: Path, *, volumes: bool) -> None:
    """Write a model file that says it was trained on a datalist."""
    samples = load_datalist(datalist, f"{'volumes/' * volumes}training")
    data = training_data(datalist, samples)
    file.parent.mkdir(parents=True, exist_ok=True)
    settings = settings_of(network, {"input_kind": "made up"})
    torch.save(content_of(network.state_dict(), settings, data), file)


def recipe_for(folder: Path, *, volumes: bool) -> Recipe:
    """Return a recipe whose networks are like `constant_network`."""
    if not volumes:
        files = ("configs/networks/unet_plain.json", "configs/strategies/scratch.json")
        return Recipe("bundles/lung_nodule_ct_segmentation", files)
    (folder / "settings.json").write_text(json.dumps({"volume_patch_size": [8, 8, 8]}))
    data = "configs/data/ircadb_volume_two_windows.json"
    files = ("configs/networks/voxresnet.json", data, str(folder / "settings.json"))
    return Recipe("bundles/liver_ct_segmentation", files)


class PretendedTrainings:
    """Runs no command: writes a network whose logit is the number of the training."""

    def __init__(self, *, volumes: bool) -> None:
        self.volumes = volumes
        self.commands: list[list[str]] = []
        self.trained_on: list[set[str]] = []

    def __call__(self, words, log: Path, lock: int) -> Outcome:
        options = dict(zip(words[4::2], words[5::2], strict=True))
        datalist = Path(options["--dataset_dir"]) / "datalist.json"
        self.commands.append(list(words))
        entries = read_datalist(datalist)["training"]
        self.trained_on.append({entry["patient_id"] for entry in entries})
        channels = 2 + 4 * ("context" in str(words))
        network = constant_network(len(self.commands), volumes=self.volumes, channels=channels)
        file = Path(options["--output_dir"]) / "model.pt"
        write_model(file, network, datalist, volumes=self.volumes)
        log.write_text("")
        return Outcome(0, 0.0, 0.0, 0.0)
