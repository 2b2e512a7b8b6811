"""``python -m scripts package``: write a bundle and its trained network as a self-contained zip."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from scripts.bundle.config_files import Config, files_below, read_config
from scripts.bundle.model_file import ModelFile, read_model, trained_settings
from scripts.bundle.training_scans import TrainingScans
from scripts.packaging.configs import ADDITION, as_json, packaged_configs, settled
from scripts.packaging.documents import GENERAL, Facts, overlay_names, readme, without_place
from scripts.packaging.exports.exports import PT2, check_exports, export_all
from scripts.packaging.metadata import packaged_metadata
from scripts.packaging.modules import PREDICTION, foreign_modules, needed_files
from scripts.packaging.network_format import channel_names, described
from scripts.packaging.placement import place_weights
from scripts.packaging.plain_bundle import (
    check_options,
    check_strict,
    plain_inference,
    plain_metadata,
)
from scripts.packaging.weights import (
    check_ports,
    check_trainable,
    trained_network,
    weights_file,
    with_earlier,
)
from scripts.packaging.zip_writer import write_zip
from scripts.running.options import read_truth, read_words
from scripts.storage.files import PART, clear_leftovers, write_bytes, write_json, write_text
from scripts.storage.locks import locked
from scripts.storage.output_folder import claim_output
from scripts.storage.shipped import shipped

SOURCES = Path(__file__).resolve().parents[2]  # holds scripts and custom_nets
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
        folded: whether inference folds the network's batch norms.
        left_out: what a plain package does without, in words; None for a full one.
    """

    bundle: Path
    configs: dict[str, Config]
    metadata: dict[str, Any]
    sources: list[Path]
    network: nn.Module
    model: ModelFile
    folded: bool = False
    left_out: Sequence[str] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it consists of components of MONAI and torch alone."""
        return self.left_out is not None


def package(
    bundle: str,
    output: str,
    *,
    config_file: str | Sequence[str] = (),
    ckpt_path: str | None = None,
    unchecked_model: bool = False,
    model_url: str | None = None,
    exports: str | Sequence[str] = (),
    plain: bool = False,
    leave_out: str | Sequence[str] = (),
) -> None:
    """Write a bundle as a zip that runs without this repository.

    It contains the Python that its configs and ``python -m scripts predict`` need; with ``plain``
    none, for platforms that take no code.

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
        exports: networks in other formats to add, of pt2 (models/model.pt2, for torch.export.load),
            onnx (models/model.onnx) and torchscript (models/model.ts, deprecated in PyTorch; it
            ends with Python 3.14), separated by commas; each for images of any size.
        plain: only inference, by components of MONAI and torch alone, with the network as pt2. The
            README lists what it does without.
        leave_out: parts that a plain package may leave out although its masks then differ, of
            lung_field and lung_masking; without the option such a bundle is refused.

    Raises:
        FileNotFoundError: when a part of the bundle, an overlay or the weights do not exist.
        ValueError: for weights of another network, or a config that would not run elsewhere.
    """
    folder, target = shipped(bundle), Path(output)
    files = list(read_words("config_file", config_file))
    formats, leave_out = check_exports(exports), read_words("leave_out", leave_out)
    check_options(plain=plain, exports=formats, leave_out=leave_out)
    check_bundle(folder)
    check_targets(target, model_url)
    weights = Path(ckpt_path) if ckpt_path else Path(bundle) / "models" / "model.pt"
    made = assemble(folder, files, ckpt_path=weights, unchecked_model=unchecked_model)
    if plain:
        made, formats = as_plain(made, leave_out), (PT2,)

    def document(unpacked: Path, location: str) -> None:
        facts = Facts(
            weights=location,
            record={**made.model.record, "settings": made.model.settings or {}},
            overlays=overlay_names(files),
            left_out=made.left_out,
        )
        write_text(unpacked / "docs" / "README.md", readme(unpacked.name, made.metadata, facts))
        write_text(unpacked / "docs" / "bundle.md", GENERAL + own_readme(folder))

    write_package(made, target, document, model_url=model_url, exports=formats)


def write_package(
    made: Package,
    target: Path,
    document: Callable[[Path, str], None],
    *,
    model_url: str | None,
    exports: Sequence[str],
) -> None:
    """Write a package as a zip, and print its size and the accuracy of its exports.

    Args:
        made: its content.
        target: the zip.
        document: writes the documents into the unpacked package, given the location of the
            weights in words.
        model_url: see :func:`package`.
        exports: formats, of :func:`scripts.packaging.exports.exports.check_exports`.
    """
    with _unfinished_folder(target) as work:
        unpacked = Path(work) / made.bundle.resolve().name
        write_parts(made, unpacked)
        channels = made.metadata["network_data_format"]["inputs"]["image"]["num_channels"]
        settings = made.model.settings or {}
        exported = export_all(
            *(unpacked, made.network, exports, settings), channels=channels, folded=made.folded
        )
        if exported:
            write_json(unpacked / "models" / "exports.json", exported)
        if made.is_plain:
            (unpacked / "models" / "model.pt").unlink()
        location = place_weights(unpacked, target, model_url)
        document(unpacked, location)
        if made.is_plain:
            check_strict(unpacked)
        write_zip(unpacked, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, weights: {location}")
    for name, figures in exported.items():
        print(f"{name}: within {figures['largest_difference']:.2g} of the network's logits")
    for text in made.left_out or ():
        print(f"left out: {text}")


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
    """Compute the content of a package, before anything is written.

    Raises:
        ValueError: for a control, or a model, overlays and configs that do not fit together.
    """
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
        for name, config in packaged_configs(folder, overlays, settings=settings).items()
    }
    model = with_earlier(model, configs["inference"])
    network = trained_network(configs["inference"], ckpt_path, unchecked_model=unchecked_model)
    check_trainable(network, configs["train"])
    sources = needed_files([*configs.values(), list(PREDICTION)], root=SOURCES)
    metadata = packaged_metadata(
        read_config(folder / "configs" / "metadata.json", files_below()),
        modules=foreign_modules(sources, root=SOURCES),
        class_names=channel_names(configs["inference"], network),
    )
    metadata = described(metadata, network, configs["inference"])
    check_ports(network, metadata)
    folded = read_truth("fold_norms", configs["inference"].get("fold_norms", False))
    return Package(folder, configs, metadata, sources, network, model, folded)


def as_plain(made: Package, leave_out: Sequence[str]) -> Package:
    """Return a package of MONAI's and torch's components alone.

    Args:
        made: the full package.
        leave_out: see :func:`package`.

    Raises:
        ValueError: see :func:`scripts.packaging.plain_bundle.plain_inference`.
    """
    inference, left_out = plain_inference(made.configs["inference"], leave_out=leave_out)
    return replace(
        made,
        configs={"inference": inference},
        metadata=plain_metadata(made.metadata),
        sources=[],
        left_out=left_out,
    )


def own_readme(folder: Path) -> str:
    """Return a bundle's own README, as it may be passed on."""
    root = read_config(folder / "configs" / "train.json", files_below()).get("bundle_root")
    text = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    return without_place(text, root, folder.resolve().name)


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
