"""Other software from a CT's file to a mask, with random weights that find nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.networks.nets import FlexibleUNet
from numpy.typing import NDArray
from rivals import eager
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.training.precision import native_dtype

WINDOW_HU = (-1000, 400)
NOTHING = 100.0  # bias of the last layer, so that no mask has to be cleaned; fits into float16
FAST_MM = 3.0  # voxels of TotalSegmentator's `--fast`
FAST_STEP = 0.8  # its part of a patch between two patches
FAST_CLASSES = 118  # with the background
NEEDS = {
    "smp": ("segmentation_models_pytorch", "timm", "torchvision"),
    "smp_quick": ("segmentation_models_pytorch", "timm", "torchvision"),
    "flexible_unet": (),
    "nnunet": ("nnunetv2", "dynamic_network_architectures", "blosc2", "pandas"),
    "nnunet_once": ("nnunetv2", "dynamic_network_architectures", "blosc2", "pandas"),
    "totalsegmentator": ("totalsegmentator", "nnunetv2", "blosc2", "pandas", "joblib"),
}
"""Packages that each takes, of those that the project does not install."""

Mask = NDArray[Any]
DECLARED: list[torch.library.Library] = []  # operators last as long as the object


@dataclass
class Software:
    """One way from a CT's file to a mask (Z, Y, X).

    Attributes:
        title: for the table.
        computes: what goes through the network.
        network: whose calls are counted.
        predict: reads the file, and returns the mask.
        shapes: of the network's inputs so far, with how often each came.
    """

    title: str
    computes: str
    network: nn.Module
    predict: Callable[[Path], Mask]
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Note the shapes of the network's inputs from now on."""
        note = lambda _, inputs: self.shapes.update([tuple(inputs[0].shape)])  # noqa: E731
        self.network.register_forward_pre_hook(note)

    def parameters(self) -> int:
        """Count the network's weights."""
        return sum(weight.numel() for weight in self.network.parameters())

    def operations(self) -> float:
        """Multiplications and additions of all calls so far, counted without computing them."""
        inner = self.network
        while isinstance(converted := getattr(inner, "network", None), nn.Module):
            inner = converted  # what an engine has converted
        network = deepcopy(inner).to("meta").float().eval()
        network._forward_pre_hooks.clear()
        total = 0.0
        for shape, times in self.shapes.items():
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                network(torch.empty(shape, device="meta"))
            total += times * counter.get_total_flops()
        return total


def missing(kind: str) -> list[str]:
    """Return the packages that a kind of software lacks here."""
    return [name for name in NEEDS[kind] if importlib.util.find_spec(name) is None]


def find_nothing(layer: nn.Module) -> None:
    """Let the background win by the bias of a network's last convolution."""
    bias: Any = layer.bias
    with torch.no_grad():
        bias[0] = NOTHING if len(bias) > 1 else -NOTHING


def windowed(path: Path) -> torch.Tensor:
    """Read a CT as (Z, Y, X) in [0, 1]."""
    hu = torch.from_numpy(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))).float()
    low, high = WINDOW_HU
    return hu.sub_(low).div_(high - low).clamp_(0, 1)


def neighbours(image: torch.Tensor) -> torch.Tensor:
    """Stack each slice of (Z, Y, X) between its neighbours: (Z, 3, Y, X)."""
    below, above = torch.cat([image[:1], image[:-1]]), torch.cat([image[1:], image[-1:]])
    return torch.stack([below, image, above], dim=1)


def smp(_: Path, *, quick: bool = False) -> Software:
    """segmentation-models-pytorch's U-Net, slice by slice in a plain loop."""
    declare_torchvision()
    import segmentation_models_pytorch as models

    network = models.Unet("resnet34", encoder_weights=None, in_channels=3, classes=1).eval()
    find_nothing(network.segmentation_head[0])
    dtype = native_dtype("cpu") if quick else torch.float32
    if quick:
        network = network.to(memory_format=torch.channels_last)

    def predict(path: Path) -> Mask:
        slices = neighbours(windowed(path))
        mask = np.zeros((len(slices), *slices.shape[2:]), np.uint8)
        autocast = torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32)
        with torch.inference_mode(), autocast:
            for number, one in enumerate(slices):
                if quick:
                    one = one[None].contiguous(memory_format=torch.channels_last)[0]
                mask[number] = (network(one[None])[0, 0] > 0).numpy()
        return mask

    how = f"channels last, {str(dtype).removeprefix('torch.')}" if quick else "float32"
    return Software(
        f"segmentation-models-pytorch Unet(resnet34), {how}",
        "2D, whole slices with their neighbours",
        network,
        predict,
    )


def declare_torchvision() -> None:
    """Declare two operators that torchvision describes at its import.

    Where its compiled part does not fit the installed torch, as in a CUDA build of torchvision
    beside a CPU build of torch, the import fails without them. No network here calls them.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            declared.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        DECLARED.append(declared)


def flexible_unet(_: Path) -> Software:
    """MONAI's U-Net with a ResNet34, by its SliceInferer."""
    network = FlexibleUNet(3, 1, "resnet34", pretrained=False).eval()
    find_nothing(network.segmentation_head[0])

    def predict(path: Path) -> Mask:
        volume = neighbours(windowed(path)).permute(1, 2, 3, 0)[None]
        logits = eager(volume, network)()
        return (logits[0, 0] > 0).permute(2, 0, 1).numpy().astype(np.uint8)

    return Software(
        "MONAI FlexibleUNet(resnet34), float32",
        "2D, whole slices with their neighbours",
        network,
        predict,
    )


@dataclass
class Planned:
    """What nnU-Net's own planner decides for one CT.

    Args:
        folder: for its files.
        spacing: (z, y, x) in mm.
        shape: (Z, Y, X).
        classes: with the background.
        configuration: "2d" or "3d_fullres".
    """

    folder: Path
    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    classes: int
    configuration: str

    def predictor(self, *, mirrored: bool, step: float = 0.5) -> Any:
        """Return nnU-Net's predictor on its default plan, with random weights."""
        dataset = self._write()
        with contextlib.redirect_stdout(io.StringIO()):
            from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner
            from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
            from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
            from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

            planner = default_experiment_planner.ExperimentPlanner("Dataset001_CT")
            manager = PlansManager(planner.plan_experiment())
            plan = manager.get_configuration(self.configuration)
            network = get_network_from_plans(
                plan.network_arch_class_name,
                plan.network_arch_init_kwargs,
                plan.network_arch_init_kwargs_req_import,
                1,
                self.classes,
                deep_supervision=False,
            ).eval()
            find_nothing(network.decoder.seg_layers[-1])
            predictor = nnUNetPredictor(
                step, use_mirroring=mirrored, device=torch.device("cpu"), allow_tqdm=False
            )
        axes = tuple(range(len(plan.patch_size))) if mirrored else None
        weights = [network.state_dict()]
        predictor.manual_initialization(network, manager, plan, weights, dataset, "random", axes)
        return predictor

    def _write(self) -> dict[str, Any]:
        """Write the description of a data set of which this CT is the median."""
        raw, ready = self.folder / "raw" / "Dataset001_CT", self.folder / "ready" / "Dataset001_CT"
        for folder, name in ((raw, "raw"), (ready, "preprocessed"), (raw, "results")):
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[f"nnUNet_{name}"] = str(folder.parent)
        (raw / "imagesTr").mkdir(exist_ok=True)
        (raw / "imagesTr" / "ct_0000.nii.gz").touch()
        labels = {"background": 0} | {f"organ {n}": n for n in range(1, self.classes)}
        dataset = {
            "channel_names": {"0": "CT"},
            "labels": labels,
            "numTraining": 800,
            "file_ending": ".nii.gz",
            "overwrite_image_reader_writer": "SimpleITKIO",
        }
        # of lungs in HU; they change no figure here
        intensities = {"max": 400, "mean": -600, "median": -700, "min": -1000, "std": 300}
        intensities |= {"percentile_00_5": -1000, "percentile_99_5": 300}
        fingerprint = {
            "spacings": [self.spacing],
            "shapes_after_crop": [self.shape],
            "foreground_intensity_properties_per_channel": {"0": intensities},
            "median_relative_size_after_cropping": 1.0,
        }
        (raw / "dataset.json").write_text(json.dumps(dataset))
        (ready / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
        return dataset


def nnunet(path: Path, *, mirrored: bool = True) -> Software:
    """nnU-Net's predictor on the default 2D plan for this CT."""
    spacing, shape = geometry(path)
    planned = Planned(path.parent / "nnunet", spacing, shape, 2, "2d")
    predictor = planned.predictor(mirrored=mirrored)
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    def predict(path: Path) -> Mask:
        image, facts = SimpleITKIO().read_images([str(path)])
        with contextlib.redirect_stdout(io.StringIO()):
            return np.asarray(predictor.predict_single_npy_array(image, facts))

    side = " x ".join(map(str, predictor.configuration_manager.patch_size))
    times = "mirrored, four times" if mirrored else "not mirrored"
    return Software(
        f"nnU-Net 2D, {times}, float32",
        f"2D, slices one by one in tiles of {side}",
        predictor.network,
        predict,
    )


def totalsegmentator(path: Path) -> Software:
    """TotalSegmentator's way at 3 mm: to 3 mm, nnU-Net in 3D without mirroring, and back.

    Resampling is TotalSegmentator's own code, in the same order and with the same settings as in
    its ``nnUNet_predict_image``. Its weights and their plan have to be downloaded: the network is
    that of nnU-Net's default plan for this CT at 3 mm, which has the same stages and channels.
    """
    spacing, shape = geometry(path)
    low = tuple(round(n * mm / FAST_MM) for n, mm in zip(shape, spacing, strict=True))
    three = (FAST_MM,) * 3
    planned = Planned(path.parent / "total", three, low, FAST_CLASSES, "3d_fullres")
    predictor = planned.predictor(mirrored=False, step=FAST_STEP)
    import nibabel
    from totalsegmentator.alignment import as_closest_canonical, undo_canonical
    from totalsegmentator.resampling import change_spacing

    def predict(path: Path) -> Mask:
        source: Any = nibabel.load(path)
        image = as_closest_canonical(source)
        small = change_spacing(image, FAST_MM, order=1, dtype=np.int32, nr_cpus=1)
        voxels = np.asarray(small.dataobj, np.float32).transpose(2, 1, 0)[None]
        with contextlib.redirect_stdout(io.StringIO()):
            found = predictor.predict_single_npy_array(voxels, {"spacing": list(three)})
        labels = nibabel.Nifti1Image(found.transpose(2, 1, 0).astype(np.uint8), small.affine)
        whole = change_spacing(
            labels,
            FAST_MM,
            image.shape,
            order=0,
            dtype=np.uint8,
            nr_cpus=1,
            force_affine=image.affine,
        )
        return np.asarray(undo_canonical(whole, source).dataobj, np.uint8).transpose(2, 1, 0)

    side = " x ".join(map(str, predictor.configuration_manager.patch_size))
    return Software(
        "TotalSegmentator at 3 mm, float32",
        f"3D, patches of {side} with {FAST_CLASSES} classes",
        predictor.network,
        predict,
    )


def geometry(path: Path) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the spacing (z, y, x) in mm and the shape (Z, Y, X) of a file."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetSpacing()[::-1], reader.GetSize()[::-1]


PEERS: Mapping[str, Callable[[Path], Software]] = {
    "smp": smp,
    "smp_quick": lambda path: smp(path, quick=True),
    "flexible_unet": flexible_unet,
    "nnunet": nnunet,
    "nnunet_once": lambda path: nnunet(path, mirrored=False),
    "totalsegmentator": totalsegmentator,
}
"""Kind -> what builds it for the CT in a file."""
