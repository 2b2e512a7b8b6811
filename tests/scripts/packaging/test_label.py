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

from scripts.packaging.command import package
from tests.scripts.packaging.packages import LUNG, OVERLAYS, ROOT, SMALL

LABEL = ("configs/data/luna16_volumes.json", "configs/runtime/monai_label.json")

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
        (folder / "small.json").write_text(json.dumps(small | {"slices_of_a_volume": 2}))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            package(
                str(LUNG),
                str(folder / "lung.zip"),
                config_file=[*OVERLAYS, *LABEL, str(folder / "small.json")],
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


def test_inference_then_a_mask_on_the_scans_grid(app_model, scans):
    parser = parsed(app_model, "inference.json")
    network = parser.get_parsed_content("network_def")
    checkpoint = torch.load(app_model / "models" / "model.pt", weights_only=True)
    loaded = network.load_state_dict(checkpoint.get("model", checkpoint), strict=False)
    assert (loaded.missing_keys, loaded.unexpected_keys) == ([], [])
    data = {"image": scans[0]["image"], "image_path": scans[0]["image"], "device": "cpu"}
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
    mask, scan = np.asarray(data["pred"][0]), sitk.ReadImage(scans[0]["image"])
    assert mask.shape == scan.GetSize()
    assert set(np.unique(mask)) <= {0, 1}


def test_training_then_one_epoch_on_plain_volumes(app_model, scans, tmp_path, monkeypatch):
    handlers = parsed(app_model, "train.json").get("train#handlers")
    assert all(isinstance(handler, dict) and "_target_" in handler for handler in handlers)
    loader = {"_target_": "CheckpointLoader", "load_dict": {"model": "$@network"}}
    loader |= {"load_path": str(app_model / "models" / "model.pt"), "strict": False}
    monkeypatch.setattr(sys, "path", [str(app_model), *sys.path])
    try:
        monai.bundle.run(
            run_id="run",
            init_id=None,
            final_id=None,
            meta_file=str(app_model / "configs" / "metadata.json"),
            config_file=str(app_model / "configs" / "train.json"),
            logging_file=False,
            **{
                "bundle_root": str(app_model),
                "output_dir": str(tmp_path),  # Label leaves it, and training replaces model.pt
                "train#trainer#max_epochs": 1,
                "train#dataset#data": scans[:2],
                "validate#dataset#data": scans[2:],
                "device": torch.device("cpu"),
                "train#handlers": [loader, *handlers],
            },
        )
    finally:
        set_determinism(None)
    (stage,) = json.loads((tmp_path / "stages.json").read_text())["stages"]
    assert stage["epochs"] == 1
    trained = torch.load(tmp_path / "model.pt", weights_only=True)["model"]
    before = torch.load(app_model / "models" / "model.pt", weights_only=True)
    assert trained.keys() == before.keys()
    learnt = [key for key in before if key.endswith((".weight", ".bias"))]  # no running means
    moved = max(float((trained[key] - before[key]).abs().max()) for key in learnt)
    assert 0 < moved < 0.1  # it went on from the packaged weights, one step of Adam


def test_output_of_training_then_where_label_reads_weights(app_model):
    parser = parsed(app_model, "train.json")
    assert parser.get_parsed_content("output_dir") == str(app_model / "models")
    assert parser["overwrite"] is True
    assert parser["encoder_weights"] == "none"
