"""``make interop``: both packages in MONAI Label and MONAI Deploy, compared with ``predict``; and
the DICOM objects of ``predict`` in dcmqi and plastimatch.

Each program has an environment of its own in ``.venv-interop``, made at the first run. The networks
have random weights, so that many voxels lie near the decision.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
import torch
from torch import nn

from custom_nets.fcn import TransferFCN
from custom_nets.unet import TransferUNet
from scripts.datasets.datalist import load_datalist
from scripts.packaging.package_command import package
from scripts.phantom.abdomen.ircadb import make_cohort as make_abdomens
from scripts.phantom.chest.luna16 import make_cohort as make_chests
from scripts.phantom.dicom_images import SliceGeometry, slice_files
from scripts.preparation.prepare_command import command_of
from tests.bundles.model_files import write_model
from tests.interop.readers import read_objects

ENVIRONMENTS, WORK = Path(".venv-interop"), Path("interop_output")
BUNDLES = {
    "lung_nodule_ct_segmentation": ["nodule"],
    "liver_ct_segmentation": ["liver", "bone", "kidney"],
}
STUB = "def make_grid(*a, **k): raise NotImplementedError\nsave_image = make_grid\n"
FORMS = ("binary", "labelmap")
MINUTES = 10


def python_of(program: str) -> Path:
    """Return the Python of a program's environment, which is made if it is not there."""
    folder, wanted = ENVIRONMENTS / program, Path(__file__).with_name(f"{program}.txt")
    python, made = folder / "bin" / "python", folder / "installed.txt"
    if not made.is_file() or made.read_bytes() != wanted.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [python, "-m", "pip", "install", "-q", "--no-deps", "-r", wanted]
        subprocess.run(list(map(str, install)), check=True)
        if program == "label":  # it imports two functions of torchvision that it does not call
            package_ = next(folder.glob("lib/python*/site-packages")) / "torchvision"
            package_.mkdir(exist_ok=True)
            (package_ / "__init__.py").touch()
            (package_ / "utils.py").write_text(STUB)
        shutil.copyfile(wanted, made)
    return python.absolute()


def run(program: str, log: Path, *words: object) -> bool:
    """Run this folder's script for a program in its environment; return whether it succeeded."""
    home = WORK / "home"
    home.mkdir(exist_ok=True)
    script = Path(__file__).with_name(f"in_{program}.py")
    command = ["-W", "ignore", str(script), *map(str, words)]
    command = [str(python_of(program)), *command]
    with log.open("w") as sink:
        try:
            done = subprocess.run(
                ["sh", "-c", 'ulimit -s 32768; exec "$@"', "sh", *command],
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=60 * MINUTES,
                env={**os.environ, "HOME": str(home.absolute()), "PYTHONPATH": ""},
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def make_studies() -> None:
    """Write labelled volumes of both kinds, and the first of each as DICOM."""
    chests, abdomens = WORK / "chests", WORK / "abdomens"
    make_chests(str(chests), patients=5, size=96, slices=28, nodule_min_mm=14, nodule_max_mm=30)
    make_abdomens(str(abdomens), patients=5, size=96, slices=24)
    masks = {"label": "masks", "masks": str(chests / "masks")}
    patients = {"patients": str(chests / "patients.csv")}
    prepare = {"jobs": 1, "volumes": True}
    command_of("luna16")(str(chests), str(WORK / "chests_prepared"), **masks, **patients, **prepare)
    command_of("ircadb")(str(abdomens), str(WORK / "abdomens_prepared"), **prepare)
    for name, source in zip(BUNDLES, ("chests", "abdomens"), strict=True):
        listed = [
            entry
            for section in ("training", "validation", "test")
            for entry in load_datalist(
                WORK / f"{source}_prepared" / "datalist.json", f"volumes/{section}"
            )
        ]
        folder = WORK / f"studies_{name}"
        (folder / "labels" / "final").mkdir(parents=True)
        for case, entry in enumerate(listed):
            image = sitk.ReadImage(entry["image"])
            if case == 0:
                image = sitk.Maximum(image, -1024)  # the intercept below; padding is lower
                write_dicom(image, WORK / f"dicom_{name}")
            sitk.WriteImage(image, str(folder / f"case{case}.nii.gz"))
            label = sitk.ReadImage(entry["label"])
            sitk.WriteImage(label, str(folder / "labels" / "final" / f"case{case}.nii.gz"))


def write_dicom(image: sitk.Image, folder: Path) -> None:
    """Write an image as a DICOM series."""
    spacing = tuple(round(step, 6) for step in image.GetSpacing())
    geometry = SliceGeometry(image.GetOrigin(), spacing, descending=False)
    hu = sitk.GetArrayFromImage(image).astype(np.int16)
    folder.mkdir()
    for file, content in slice_files(hu, folder.name, "ct", geometry, intercept=-1024):
        (folder / f"{file}.dcm").write_bytes(content)


def make_package(name: str) -> Path:
    """Package a bundle with random weights; return the unpacked folder."""
    torch.manual_seed(1)
    network: nn.Module = TransferUNet("resnet34", decoder_channels=[64, 32, 16, 16, 8])
    if name.startswith("liver"):
        network = TransferFCN("resnet34", out_channels=4, normalise=0.2)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.Conv2d) and not part.weight.any():
                nn.init.normal_(part.weight, std=0.05)
        for _ in range(4):
            network.train()(torch.rand(4, 3, 96, 96))
    bundle, weights = Path("bundles", name), WORK / f"{name}.pt"
    write_model(weights, network.eval(), bundle / "configs")
    target = WORK / f"{name}.zip"
    package(str(bundle), str(target), ckpt_path=str(weights), exports="torchscript")
    with zipfile.ZipFile(target) as archive:
        archive.extractall(WORK)
    return WORK / name


def predicted(name: str, source: Path) -> np.ndarray:
    """Return the mask of ``predict``, (X, Y, Z), with one value per class."""
    output = WORK / f"predict_{name}_{source.name}"
    words = ["predict", "--bundle", WORK / name, "--source", source, "--output", output]
    words += ["--engine", "torch"]  # as both programs
    _scripts(*words)
    mask = np.asarray(nibabel.load(next(output.rglob("mask.nii.gz"))).dataobj)
    return (mask > 0).astype(np.uint8) if len(BUNDLES[name]) == 1 else mask


def _scripts(*words: object) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "scripts", *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def segmented(file: Path, series: Path) -> np.ndarray:
    """Return the segment of each voxel of a DICOM SEG, (X, Y, Z), by the position of its frames."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in series.iterdir()]
    levels = sorted(float(header.ImagePositionPatient[2]) for header in headers)
    seg = pydicom.dcmread(file)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    mask = np.zeros((len(levels), seg.Rows, seg.Columns), np.uint8)
    shared = seg.SharedFunctionalGroupsSequence[0]
    for frame, own in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        group = own if "SegmentIdentificationSequence" in own else shared
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        z = float(own.PlanePositionSequence[0].ImagePositionPatient[2])
        mask[int(np.abs(np.array(levels) - z).argmin())][frame > 0] = number
    return mask.T


def in_label(name: str) -> str:
    """Infer and train in MONAI Label; say how its mask differs."""
    studies, result = WORK / f"studies_{name}", WORK / f"label_{name}.nii.gz"
    ours = predicted(name, studies / "case0.nii.gz")
    app = WORK / f"app_{name}"
    words = [path.absolute() for path in (app, studies)], result.absolute()
    if not run("label", WORK / f"label_{name}.log", *words[0], name, words[1]):
        return f"FAILED, see {WORK / f'label_{name}.log'}"
    return compared(np.asarray(nibabel.load(result).dataobj), ours) + ", trained one epoch"


def in_deploy(name: str, model: str) -> str:
    """Segment in MONAI Deploy; say how its SEG differs."""
    series, output = WORK / f"dicom_{name}", WORK / f"deploy_{name}_{model.replace('/', '_')}"
    bundle = WORK / name
    if not model:  # Deploy prefers models/model.ts of a folder
        bundle = WORK / "without_ts" / name
        shutil.copytree(WORK / name, bundle, ignore=shutil.ignore_patterns("*.ts"))
    output.mkdir()
    log = output.with_suffix(".log")
    words = [path.absolute() for path in (bundle, series, output)]
    if not run("deploy", log, *words, *BUNDLES[name]):
        return f"FAILED, see {log}"
    return compared(segmented(next(output.glob("*.dcm")), series), predicted(name, series))


def in_readers(name: str) -> dict[str, str]:
    """Read all DICOM objects of a study with other programs; say how they differ."""
    series, outcomes = WORK / f"dicom_{name}", {}
    for form in FORMS:
        output = WORK / f"objects_{name}_{form}"
        words = ["predict", "--bundle", WORK / name, "--source", series, "--output", output]
        words += ["--engine", "torch", "--products", "mask,seg,sr,rtstruct,statistics"]
        words += ["--seg", form, "--dicom_lesions", 1000]
        _scripts(*words)
        study = next(output.glob("ct-*"))
        found = read_objects(
            study, series, python_of("readers").parent, WORK / f"read_{output.name}"
        )
        outcomes |= {f"{program}, {form}": outcome for program, outcome in found.items()}
    return outcomes


def compared(theirs: np.ndarray, ours: np.ndarray) -> str:
    """Describe the difference of two masks."""
    if theirs.shape != ours.shape:
        return f"FAILED: shape {theirs.shape} instead of {ours.shape}"
    differing, marked = int((theirs != ours).sum()), int((ours > 0).sum())
    if differing or not marked:
        return f"FAILED: {differing} of {ours.size} voxels differ, {marked} are marked"
    return f"0 of {ours.size} voxels differ, {marked} are marked"


def main() -> int:
    """Run everything; print a table; return the exit code."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    make_studies()
    table = []
    for name in BUNDLES:
        make_package(name)
        table += [(name, program, outcome) for program, outcome in in_readers(name).items()]
        table.append((name, "MONAI Label", in_label(name)))
        table.append((name, "MONAI Deploy, model.pt", in_deploy(name, "")))
        shutil.rmtree(WORK / f"predict_{name}_dicom_{name}")
        table.append((name, "MONAI Deploy, model.ts", in_deploy(name, "ts")))
    for name, program, outcome in table:
        print(f"{name:<29}{program:<33}{outcome}")
    return int(any("FAILED" in outcome for _, _, outcome in table))


if __name__ == "__main__":
    sys.exit(main())
