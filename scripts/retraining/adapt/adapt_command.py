"""``python -m scripts adapt``: a network adapted to one patient by one hand-drawn slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.prediction.batch import SUMMARY, clear_unfinished, refuse_foreign
from scripts.prediction.predict_options import (
    Options,
    check_files,
    check_geometry,
    check_products,
    check_threshold,
)
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.inventory import Source
from scripts.retraining.adapt.adapted_model import AdaptedModel
from scripts.retraining.adapt.patient_job import FIGURES, MADE_BY, PatientJob
from scripts.retraining.adapt.start import opened_start
from scripts.retraining.adapt.tuning_steps import Tuning, tuning_step
from scripts.running.options import check_device, check_whole, read_words
from scripts.storage.locks import claimed


def adapt(
    model: str,
    image: str,
    annotated: str,
    output: str,
    *,
    slice: int | None = None,
    bundle: str | None = None,
    reference: str | None = None,
    follow_ups: str | None = None,
    config_file: str | None = None,
    unchecked_model: bool = False,
    check_hu: bool = True,
    threshold: float | None = None,
    deep_iterations: int = 50,
    deep_rate: float = 3e-5,
    shallow_iterations: int = 5,
    shallow_rate: float = 1e-6,
    shallow_parts: str = "decoder",
    images: int = 1,
    seed: int = 0,
    geometry: str = "refuse",
    products: str | None = None,
    device: str | None = None,
) -> None:
    """Adapt a trained network to one patient by one hand-drawn slice, and segment the CT.

    The whole network is tuned on the drawn slice; then it follows the slices in both directions,
    and its last layers are tuned a little on each result (Yu et al., IEEE TBME 64(8), 2017). The
    file of the weights is not changed. Writes OUTPUT/<study>/ as predict does, with adaptation.csv
    (what was done at each slice), and OUTPUT/summary.json. Research only.

    Args:
        model: file of trained weights, of a 2D network; or a package, a zip or unpacked.
        image: one CT: a folder of DICOM files, a zip of one, a .mhd, .mha, .nrrd, .nii or .nii.gz
            file.
        annotated: mask file with the drawn slice: of the whole CT or of this slice only, with the
            values of the bundle's classes; of a lesion, any value above 0. In background, a class
            that was not drawn counts as unknown.
        output: folder to write: new, empty, or of an earlier run.
        slice: number of the drawn slice in the image, from 0; may be left out if the mask is drawn
            on one slice only.
        bundle: the bundle's folder, or a zip of one, with configs/inference.json; by default the
            folder in whose models folder the file lies, or the package.
        reference: mask of all slices: prints how far each step helps, on the other slices.
        follow_ups: further CTs of the patient in order, separated by commas: each begins with the
            network tuned on the drawn slice.
        config_file: overlays of inference.json, separated by commas.
        unchecked_model: accept weights without a record of how they were trained, at your own risk.
        check_hu: refuse a CT whose values cannot be HU.
        threshold: least probability of a segmented voxel; by default the one of the training.
        deep_iterations: of the tuning on the drawn slice.
        deep_rate: learning rate of it.
        shallow_iterations: on each following slice.
        shallow_rate: learning rate of them.
        shallow_parts: parts of the network that are tuned on following slices, separated by commas.
        images: augmented copies of the drawn slice in each iteration.
        seed: of the augmentation.
        geometry: what becomes of a DICOM series without a regular grid: refuse, or resample.
        products: files to write, see predict.
        device: cpu, cuda:0 ...; by default that of the config.

    Raises:
        ValueError: for an invalid option, a mask that does not fit, or a bundle that cannot be
            adapted.
        OSError: when a file does not exist, or the output cannot be written.
        SystemExit: 1 when a follow-up scan could not be segmented.
    """
    check_whole("images", images, 1)
    check_whole("seed", seed, 0)
    deep = tuning_step("deep", ("all",), deep_iterations, deep_rate)
    parts = read_words("shallow_parts", shallow_parts)
    shallow = tuning_step("shallow", parts, shallow_iterations, shallow_rate)
    with opened_start(model, bundle) as (folder, weights):
        options = Options(
            bundle=folder,
            config_files=check_files("config_file", config_file),
            checkpoints=(str(weights),),
            unchecked_model=unchecked_model,
            check_hu=check_hu,
            threshold=check_threshold(threshold),
            device=check_device(device),
            geometry=check_geometry(geometry),
            products=check_products(products),
        )
        adapted = AdaptedModel(options, Tuning(deep, shallow, images=images, seed=seed))
        paths = [Path(str(image)), *map(Path, read_words("follow_ups", follow_ups))]
        sources = tuple(distinct([_only_source(path) for path in paths]))
        job = PatientJob(adapted, sources, Path(str(output)))
        job.prepare(annotated, slice, reference)
        with claimed(job.output):
            refuse_foreign(job.output, MADE_BY, (SUMMARY, FIGURES))
            clear_unfinished(job.output)
            failures = job.run()
    if failures:
        raise SystemExit(1)


def _only_source(path: Path) -> Source:
    """Return the only CT at a path.

    Raises:
        FileNotFoundError: when the path does not exist.
        ValueError: for no CT, or several.
    """
    inventory = find_sources(path)
    if len(inventory.sources) != 1:
        remarks = [str(remark) for remark in inventory.refused[:1]]
        found = ", ".join(source.name for source in inventory.sources) or "; ".join(remarks)
        raise ValueError(
            f"image: must be one CT, {path} holds {len(inventory.sources)}: {found or 'nothing'}"
        )
    return inventory.sources[0]


def distinct(sources: Sequence[Source]) -> list[Source]:
    """Number the CTs whose names coincide, in their order.

    Follow-up scans often are files of one name in a folder for each date. No number makes a name
    that another scan has, whose results would be replaced.
    """
    names = [source.name.casefold() for source in sources]
    taken, numbered = set(names), []
    for position, source in enumerate(sources, start=1):
        name = source.name
        if names.count(name.casefold()) > 1:
            name = f"{name}-{position}"
            while name.casefold() in taken:
                name = f"{name}-{position}"
            taken.add(name.casefold())
        numbered.append(replace(source, name=name))
    return numbered
