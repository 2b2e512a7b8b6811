"""``python -m scripts predict``: masks, DICOM objects, tables, pictures and pages of CTs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from scripts.prediction.batch import Share, predict_all
from scripts.prediction.network.engines import AUTO, TORCH, check_engine
from scripts.prediction.network.packed_bundle import unpacked_bundle
from scripts.prediction.predict_options import (
    Options,
    check_dicom_lesions,
    check_file,
    check_files,
    check_flips,
    check_geometry,
    check_products,
    check_seg,
    check_suspicion,
    check_threshold,
)
from scripts.running.options import check_device, check_whole, read_truth
from scripts.training.distributed import local_device


def predict(
    bundle: str,
    source: str,
    output: str,
    *,
    config_file: str | None = None,
    ckpt_path: str | None = None,
    unchecked_model: bool = False,
    check_hu: bool = True,
    threshold: float | None = None,
    candidate_threshold: float | None = None,
    reduce: str | None = None,
    flips: str | None = None,
    agreement: str | None = None,
    products: str | None = None,
    rtstruct: bool = False,
    seg: str = "auto",
    dicom_lesions: int | None = None,
    suspicion: str | None = None,
    device: str | None = None,
    engine: str | None = None,
    geometry: str = "refuse",
    jobs: int = 1,
) -> None:
    """Segment every CT at a path with a trained bundle.

    Writes OUTPUT/<study>/ with mask.nii.gz, segmentation.dcm (of DICOM sources), statistics.json
    and .csv, candidates.csv (of bundles of lesions), overview.png, report.html and manifest.json,
    and OUTPUT/summary.json, candidates.csv of all studies and index.html of two or more. A study
    that cannot be predicted is reported on one line; the others are still predicted. The same
    command resumes an interrupted run. Under torchrun the processes share the studies. Research
    only.

    Args:
        bundle: the bundle's folder, with configs/inference.json; or a zip of `package`, of which
            the Python is not run.
        source: a folder of DICOM files, a zip of one, a .mhd, .mha, .nrrd, .nhdr, .nii or .nii.gz
            file, or a folder of any of these.
        output: folder to write: new, empty, or of an earlier run.
        config_file: overlays of inference.json, separated by commas; later ones take precedence.
        ckpt_path: files of trained weights, separated by commas; the probabilities of several are
            averaged. By default the bundle's models/model.pt. Network, window and other settings
            are read from the file; those of several files must be equal.
        unchecked_model: accept weights without a record of how they were trained, at your own risk.
        check_hu: refuse a CT whose values cannot be HU; false if they are known to be right.
        threshold: least probability of a segmented voxel; by default the one of the training.
        candidate_threshold: least probability of a voxel of a candidate lesion; at most that of the
            mask, as candidates.csv also lists lesions too faint for it; by default 0.1.
        reduce: reducer.pt, a second stage that removes false candidates (docs/detection.md); the
            removed ones are listed in statistics.json. By default the config's id `reducer`.
        flips: x, y or x,y: also predict the CT flipped along these axes, and average.
        agreement: the agreement.json of `evaluate members`: warns of a CT on which the networks of
            ckpt_path, and flips, agree less than usual.
        geometry: what becomes of a DICOM series of a tilted gantry, or with missing or unevenly
            spaced slices. refuse does not predict it; resample predicts it on a regular grid, and
            puts the mask back on its slices in the DICOM objects.
        products: files to write, of mask, seg, rtstruct, sr, statistics, candidates, overview,
            report, separated by commas; by default all but rtstruct and sr. sr is a DICOM report of
            the measurements; as it refers to the segments of seg, it brings seg with it.
        rtstruct: also write rtstruct.dcm, for DICOM sources.
        seg: form of segmentation.dcm: binary, which every reader knows; labelmap, which newer ones
            know; by default auto, which is labelmap where binary would have more than 400 frames.
        dicom_lesions: most lesions in DICOM objects, 1 to 1000: those of the highest confidence; by
            default 50. The mask and the tables always hold all.
        suspicion: the suspicion.json of a classifier: adds how suspicious radiologists would find
            each nodule (0 to 1) to the measurements and the page; not a diagnosis.
        device: cpu, cuda:0 ...; by default that of the config: a GPU if available.
        engine: software that runs the network: torch; openvino, which runs on the CPU; by default
            auto, which is openvino on a CPU if it is installed and agrees with torch, else torch.
            openvino-int8 is faster, in 8 bits, for each CT where these agree with float32.
        jobs: number of studies predicted in parallel.

    Raises:
        ValueError: for an invalid option, or one that does not suit the bundle.
        OSError: when the path does not exist, or the output cannot be written.
        SystemExit: 1 when a study could not be predicted, or a file could not be read.
    """
    check_whole("jobs", jobs, 1)
    share, chosen_engine = Share.of_torchrun(), check_engine(engine)
    chosen_products = check_products(products, rtstruct=rtstruct)
    options = Options(
        bundle=Path(str(bundle)),
        config_files=check_files("config_file", config_file),
        checkpoints=check_files("ckpt_path", ckpt_path),
        unchecked_model=unchecked_model,
        check_hu=read_truth("check_hu", check_hu),
        threshold=check_threshold(threshold),
        candidate_threshold=check_threshold(candidate_threshold, "candidate_threshold"),
        reduce=check_file("reduce", reduce),
        flips=check_flips(flips),
        agreement=Path(file) if (file := check_file("agreement", agreement)) else None,
        device=check_device(device) or _own_device(share, chosen_engine),
        engine=chosen_engine,
        geometry=check_geometry(geometry),
        products=chosen_products,
        seg=check_seg(seg),
        dicom_lesions=check_dicom_lesions(dicom_lesions),
        suspicion=check_suspicion(suspicion, chosen_products),
        progress=jobs == 1 and share.world == 1,
    )
    with unpacked_bundle(options.bundle) as folder:
        options = replace(options, bundle=folder)
        batch = predict_all(Path(str(source)), Path(str(output)), options, jobs=jobs)
    if share.is_first:
        print(batch.line())
        if batch.failures:
            raise SystemExit(1)


def _own_device(share: Share, engine: str) -> str:
    """Return the GPU of one of torchrun's processes; empty for the config's device.

    OpenVINO, if it is asked for, runs on the CPU even if there is a GPU.
    """
    if engine not in (AUTO, TORCH):
        return "cpu"
    return str(local_device()) if share.world > 1 and torch.cuda.is_available() else ""
