"""``python -m scripts package``: write a bundle and its trained network as a self-contained zip."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from scripts.bundle.config_files import Config, files_below, read_config
from scripts.bundle.model_file import ModelFile, read_model, trained_settings
from scripts.bundle.training_scans import TrainingScans
from scripts.packaging.configs import ADDITION, as_json, packaged_configs, settled
from scripts.packaging.documents import large_files, overlay_names, readme
from scripts.packaging.exports import export_all
from scripts.packaging.metadata import packaged_metadata
from scripts.packaging.modules import foreign_modules, needed_files
from scripts.packaging.network_format import channel_names, described
from scripts.packaging.weights import (
    check_ports,
    check_trainable,
    trained_network,
    weights_file,
    with_earlier,
)
from scripts.packaging.zip_writer import write_zip
from scripts.storage.files import PART, clear_leftovers, write_bytes, write_json, write_text
from scripts.storage.locks import locked
from scripts.storage.options import read_words
from scripts.storage.output_folder import claim_output
from scripts.storage.shipped import shipped

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).resolve().parents[2]  # holds scripts and custom_nets
LARGE = 25 * 2**20  # bytes; the model zoo accepts larger files as addresses only
NEEDED = ("LICENSE", "configs/metadata.json", "docs/README.md", "docs/data_license.txt")
TASK = "segmentation"


@dataclass(frozen=True)
class Package:
    """Content of a package, apart from files that are copied unchanged.

    Args:
        bundle: folder of the bundle.
        configs: name without suffix -> flattened config.
        metadata: metadata, with the versions of the installed packages.
        sources: modules that the configs need.
        network: network with the trained weights.
        model: file of the trained weights.
    """

    bundle: Path
    configs: dict[str, Config]
    metadata: dict[str, Any]
    sources: list[Path]
    network: nn.Module
    model: ModelFile


def package(
    bundle: str,
    output: str,
    *,
    config_file: str | Sequence[str] = (),
    ckpt_path: str | None = None,
    unchecked_model: bool = False,
    model_url: str | None = None,
    with_torchscript: bool = False,
    with_onnx: bool = False,
) -> None:
    """Write a bundle as a zip that runs without this repository.

    Args:
        bundle: folder of the bundle, e.g. bundles/lung_nodule_ct_segmentation.
        output: zip to write.
        config_file: files that override the bundle's configs, later ones win, e.g.
            "['configs/strategies/full.json','configs/runtime/small.json']". Not needed for network,
            window and similar settings, which are in the file of the trained network.
        ckpt_path: file of the trained network; models/model.pt of the bundle by default.
        unchecked_model: accept weights that do not say how they were trained, at your own risk.
        model_url: future address of the weights. They are then written next to the zip, for upload,
            and the zip contains large_files.yml instead.
        with_torchscript: add models/model.ts, with the configs that MONAI Deploy reads.
        with_onnx: add models/model.onnx, for images of any size.

    Raises:
        FileNotFoundError: when a part of the bundle, an overlay or the weights do not exist.
        ValueError: for weights of another network, or a config that would not run elsewhere.
    """
    folder, target = shipped(bundle), Path(output)
    files = list(read_words("config_file", config_file))
    wanted = {"torchscript": with_torchscript, "with_onnx": with_onnx}
    check_bundle(folder)
    check_targets(target, model_url)
    weights = Path(ckpt_path) if ckpt_path else Path(bundle) / "models" / "model.pt"
    made = assemble(folder, files, ckpt_path=weights, unchecked_model=unchecked_model)

    def document(unpacked: Path, location: str) -> None:
        head = readme(
            unpacked.name,
            made.metadata,
            weights=location,
            overlays=overlay_names(files, root=Path.cwd()),
        )
        text = (folder / "docs" / "README.md").read_text(encoding="utf-8")
        write_text(unpacked / "docs" / "README.md", head + text)

    write_package(made, target, document, model_url=model_url, exports=wanted)


def write_package(
    made: Package,
    target: Path,
    document: Callable[[Path, str], None],
    *,
    model_url: str | None,
    exports: Mapping[str, bool],
) -> None:
    """Write a package as a zip, and print its size and the accuracy of its exports.

    Args:
        made: its content.
        target: the zip.
        document: writes the documents into the unpacked package, given the location of the
            weights in words.
        model_url: see :func:`package`.
        exports: see :func:`scripts.packaging.exports.export_all`.
    """
    with _unfinished_folder(target) as work:
        unpacked = Path(work) / made.bundle.resolve().name
        write_parts(made, unpacked)
        channels = made.metadata["network_data_format"]["inputs"]["image"]["num_channels"]
        exported = export_all(unpacked, made.network, channels=channels, **exports)
        if exported:
            write_json(unpacked / "models" / "exports.json", exported)
        location = place_weights(unpacked, target, model_url)
        document(unpacked, location)
        write_zip(unpacked, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, weights: {location}")
    for name, figures in exported.items():
        print(f"{name}: within {figures['largest_difference']:.2g} of the network's logits")


@contextmanager
def _unfinished_folder(target: Path) -> Iterator[str]:
    """Yield a folder next to a zip, and lock the zip; remove what killed processes left of it."""
    claim_output(target.parent)
    with locked(target.with_name(f".{target.name}.lock")):
        clear_leftovers(target)
        with tempfile.TemporaryDirectory(
            prefix=PART, suffix=f"-{target.name}", dir=target.parent
        ) as work:
            yield work


def check_bundle(folder: Path) -> None:
    """Check that a folder is a bundle whose name tells MONAI Label its task.

    Raises:
        FileNotFoundError: when it is not a folder, or a part is missing.
        ValueError: when its name does not contain the task.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"bundle: no such folder: {folder}")
    name = folder.resolve().name
    if TASK not in name:
        raise ValueError(
            f"bundle: the folder's name must contain {TASK!r}, by which MONAI Label knows its "
            f"task; got {name!r}"
        )
    missing = [part for part in NEEDED if not (folder / part).is_file()]
    if missing:
        raise FileNotFoundError(f"bundle: {folder} lacks {', '.join(missing)}")


def check_targets(target: Path, model_url: str | None) -> None:
    """Check that the output is a zip and the address one for downloads.

    Raises:
        ValueError: when one of them is not.
    """
    if target.suffix != ".zip" or target.is_dir():
        raise ValueError(f"output: must be a file ending in .zip, got {target}")
    if model_url is not None and not model_url.startswith("https://"):
        raise ValueError(f"model_url: must start with https://, got {model_url!r}")


def assemble(
    folder: Path, overlays: Sequence[str], *, ckpt_path: Path, unchecked_model: bool = False
) -> Package:
    """Compute the content of a package, before anything is written."""
    model = read_model(ckpt_path)
    if TrainingScans.of(model).is_control:
        raise ValueError(
            f"ckpt_path: {ckpt_path} is a control, trained on shuffled labels, and must not be "
            "used; give a network that was trained on its own labels"
        )
    settings = trained_settings(ckpt_path, folder / "configs" / "train.json")
    configs = {
        name: config
        if name == ADDITION
        else settled(config, settings, stored=model.settings is not None)
        for name, config in packaged_configs(
            folder, overlays, root=Path.cwd(), settings=settings
        ).items()
    }
    model = with_earlier(model, configs["inference"])
    network = trained_network(configs["inference"], ckpt_path, unchecked_model=unchecked_model)
    check_trainable(network, configs["train"])
    sources = needed_files(configs.values(), root=SOURCES)
    metadata = packaged_metadata(
        read_config(folder / "configs" / "metadata.json", files_below()),
        modules=foreign_modules(sources, root=SOURCES),
        class_names=channel_names(configs["inference"], network),
    )
    metadata = described(metadata, network, configs["inference"])
    check_ports(network, metadata)
    return Package(folder, configs, metadata, sources, network, model)


def write_parts(made: Package, unpacked: Path) -> None:
    """Write the files of a package except its exports and its README."""
    configs = unpacked / "configs"
    for name, config in {**made.configs, "metadata": made.metadata}.items():
        write_text(configs / f"{name}.json", as_json(config))
    for file in made.sources:
        _copy(file, unpacked / file.relative_to(SOURCES))
    copied = ["LICENSE", "configs/logging.conf"]
    copied += [str(Path("docs", file.name)) for file in (made.bundle / "docs").iterdir()]
    for part in copied:
        if (made.bundle / part).is_file():
            _copy(made.bundle / part, unpacked / part)
    write_bytes(unpacked / "models" / "model.pt", weights_file(made.network, made.model))


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def place_weights(unpacked: Path, target: Path, model_url: str | None) -> str:
    """Keep the weights in the package, or write them next to it for upload; describe where.

    Without an address, weights over the limit of the model zoo are kept with a warning, so that the
    package can be run.
    """
    path = unpacked / "models" / "model.pt"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if model_url is None:
        size = path.stat().st_size
        if size > LARGE:
            logger.warning(
                "models/model.pt has %.0f MB and is packaged nevertheless; MONAI's model zoo "
                "accepts no file over 25 MB: for it, pass --model_url with its future address",
                size / 1e6,
            )
        return f"`models/model.pt`, sha256 {digest}"
    write_bytes(target.with_name(f"{target.stem}_model.pt"), path.read_bytes())
    path.unlink()
    write_text(
        unpacked / "large_files.yml", large_files("models/model.pt", url=model_url, sha256=digest)
    )
    return (
        f"to be downloaded with `python -m monai.bundle download_large_files --bundle_path .`, "
        f"sha256 {digest}"
    )
