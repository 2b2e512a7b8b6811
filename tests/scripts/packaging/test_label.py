"""MONAI Label's reading of a package, repeated: its own package needs an environment of its own.

monailabel 0.8.5 wants pydicom 2 (through pydicom-seg) where this project has pydicom 3. What its
`BundleInferTask` and `BundleTrainTask` take from a bundle is done here with MONAI alone;
docs/packaging.md tells how the real app was run.
"""

import json
import sys
import zipfile

import monai.bundle
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, LoadImaged, SaveImaged
from monai.utils import set_determinism

from custom_nets.fcn import TransferFCN
from scripts.packaging.package_command import package
from tests.bundles.model_files import write_model
from tests.scripts.packaging.packages import LIVER, LUNG, OVERLAYS, ROOT, SMALL

pytestmark = [
    # LoadImaged sets all of MONAI's readers up, those that are not named too
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
    # said by MONAI whenever a config is run
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
]


@pytest.fixture(scope="module")
def app_model(once, checkpoint):
    """The bundle that MONAI Label's app would have in its folder ``model``."""

    def build(folder):
        small = {key: SMALL[key] for key in ("decoder_channels", "patch_size", "batch_size")}
        (folder / "small.json").write_text(json.dumps(small))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            package(
                str(LUNG),
                str(folder / "lung.zip"),
                config_file=[*OVERLAYS, str(folder / "small.json")],
                ckpt_path=str(checkpoint),
            )
        with zipfile.ZipFile(folder / "lung.zip") as archive:
            archive.extractall(folder)

    return once("app_model", build) / LUNG.name


@pytest.fixture
def scans(cohort):
    """Images and labels as MONAI Label lists them: paths and nothing else."""
    prepared = cohort / "prepared"
    volumes = json.loads((prepared / "datalist.json").read_text())["volumes"]
    listed = [*volumes["training"], *volumes["validation"]]
    return [{key: str(prepared / one[key]) for key in ("image", "label")} for one in listed[:3]]


def parsed(bundle, name):
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / name))
    parser.config["bundle_root"] = str(bundle)
    return parser


def test_labels_and_type_then_from_metadata_and_the_folders_name(app_model):
    metadata = json.loads((app_model / "configs" / "metadata.json").read_text())
    inputs, outputs = (metadata["network_data_format"][key] for key in ("inputs", "outputs"))
    assert (next(iter(inputs)), next(iter(outputs))) == ("image", "pred")
    channels = outputs["pred"]["channel_def"]
    assert {name.lower(): int(key) for key, name in channels.items()} == {"nodule": 0}
    assert "segmentation" in app_model.name


def inferred_by_label(bundle, image):
    """The mask (X, Y, Z) that ``BundleInferTask`` makes of a file: transform after transform."""
    parser = parsed(bundle, "inference.json")
    network = parser.get_parsed_content("network_def")
    checkpoint = torch.load(bundle / "models" / "model.pt", weights_only=True)
    loaded = network.load_state_dict(checkpoint.get("model", checkpoint), strict=False)
    assert (loaded.missing_keys, loaded.unexpected_keys) == ([], [])
    data = {"image": str(image), "image_path": str(image), "device": "cpu"}
    for transform in parser.get_parsed_content("preprocessing").transforms:
        if isinstance(transform, LoadImaged):
            transform._loader.image_only = False
        data = transform(data)
    with torch.no_grad():
        pred = parser.get_parsed_content("inferer")(data["image"][None], network.eval())
    data["pred"] = pred[0]
    post = parser.get_parsed_content("postprocessing")
    assert isinstance(post, Compose)
    kept = [transform for transform in post.transforms if not isinstance(transform, SaveImaged)]
    assert len(kept) == len(post.transforms) - 1
    for transform in kept:
        data = transform(data)
    return np.asarray(data["pred"][0])


def test_inference_then_a_mask_on_the_scans_grid(app_model, scans):
    mask, scan = inferred_by_label(app_model, scans[0]["image"]), sitk.ReadImage(scans[0]["image"])
    assert mask.shape == scan.GetSize()
    assert set(np.unique(mask)) <= {0, 1}
    assert mask.dtype == np.uint8  # Label writes it as it is, and ITK takes no booleans


def trained_by_label(bundle, scans, output):
    """Train one epoch as ``BundleTrainTask`` does: plain volumes, and its own loader of weights."""
    handlers = parsed(bundle, "train.json").get("train#handlers")
    assert all(isinstance(handler, dict) and "_target_" in handler for handler in handlers)
    loader = {"_target_": "CheckpointLoader", "load_dict": {"model": "$@network"}}
    loader |= {"load_path": str(bundle / "models" / "model.pt"), "strict": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(bundle), *sys.path])
        try:
            monai.bundle.run(
                run_id="run",
                init_id=None,
                final_id=None,
                meta_file=str(bundle / "configs" / "metadata.json"),
                config_file=str(bundle / "configs" / "train.json"),
                logging_file=False,
                **{
                    "bundle_root": str(bundle),
                    "output_dir": str(output),  # Label leaves it, and training replaces model.pt
                    "train#trainer#max_epochs": 1,
                    "train#dataset#data": scans[:2],
                    "validate#dataset#data": scans[2:],
                    "device": torch.device("cpu"),
                    "train#handlers": [loader, *handlers],
                },
            )
        finally:
            set_determinism(None)
    (stage,) = json.loads((output / "stages.json").read_text())["stages"]
    assert (stage["name"], stage["epochs"]) == ("whole network", 1)
    trained = torch.load(output / "model.pt", weights_only=True)["model"]
    before = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert trained.keys() == before.keys()
    learnt = [key for key in before if key.endswith((".weight", ".bias"))]  # no running means
    return max(float((trained[key] - before[key]).abs().max()) for key in learnt)


def test_training_then_one_epoch_on_plain_volumes(app_model, scans, tmp_path):
    moved = trained_by_label(app_model, scans, tmp_path)
    assert 0 < moved < 0.1  # it went on from the packaged weights, a few steps of Adam


def test_training_of_organs_then_every_class_counts_as_annotated(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    torch.manual_seed(0)
    network = TransferFCN("resnet18", out_channels=4, normalise=0.2)
    write_model(tmp_path / "model.pt", network, LIVER / "configs")
    package(str(LIVER), str(tmp_path / "liver.zip"), ckpt_path=str(tmp_path / "model.pt"))
    with zipfile.ZipFile(tmp_path / "liver.zip") as archive:
        archive.extractall(tmp_path)
    random = np.random.default_rng(0)
    scans = []
    for case in range(3):
        values = random.integers(0, 4, (4, 40, 36)).astype(np.uint8)
        scan = {key: str(tmp_path / f"{key}{case}.nii.gz") for key in ("image", "label")}
        for key, array in (("image", values * 100 - np.int16(1000)), ("label", values)):
            sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.int16)), scan[key])
        scans.append(scan)
    moved = trained_by_label(tmp_path / LIVER.name, scans, tmp_path / "output")
    assert 0 < moved < 0.1


def test_train_config_then_labels_settings_for_plain_volumes_only(app_model, scans):
    for samples, overwrite in ((scans, True), ([{"image": "a", "label": "b", "case": 0}], False)):
        parser = parsed(app_model, "train.json")
        parser["train::dataset::data"] = samples
        assert parser.get_parsed_content("output_dir") == str(app_model / "models")
        assert parser.get_parsed_content("overwrite") is overwrite
        assert parser.get_parsed_content("start_from") == str(app_model / "models" / "model.pt")
        epochs = parser.get_parsed_content("stage_epochs")
        assert epochs is None if overwrite else epochs == 8
