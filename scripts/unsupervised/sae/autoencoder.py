"""A stacked auto-encoder of patches: training without labels, its file, and what it is worth."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA

from custom_nets.survey.stacked_autoencoder import StackedAutoEncoder
from scripts.bundle.model_file import NETWORK, content_of, read_model, settings_of
from scripts.datasets.datalist import content_sha256, load_datalist
from scripts.datasets.training_data import training_data
from scripts.running.options import check_whole
from scripts.storage.files import plain, write_bytes
from scripts.training.weights.trained_weights import load_weights
from scripts.unsupervised.ct_stacks import Case
from scripts.unsupervised.layerwise import train_layers
from scripts.unsupervised.sae.patches import Patches, PatchReader, PatchShape, draw_patches

BATCH = 256
LAST_STEPS = 0.1
"""Learning rate at the end of the fine-tuning, as a share of that before."""
HELD_OUT = 2000
"""Patches of the validation patients, on which the reconstruction is measured."""
PCA_COMPONENTS = 16
"""Of the principal components that the reconstruction is compared with."""
TARGET = "custom_nets.survey.stacked_autoencoder.StackedAutoEncoder"
PATCHES, TRAINING = "patches", "training"
"""Entries of the file's settings."""


@dataclass(frozen=True)
class Training:
    """How an auto-encoder is trained.

    Attributes:
        shape: of the patches.
        widths: features of each layer.
        patches: number that is drawn.
        epochs: of each layer alone.
        fine_tuning: epochs of all layers together, the last third with a tenth of the rate.
        learning_rate: of Adam.
        sparsity: wanted mean activity of each feature, while its layer is trained alone.
        sparsity_weight: of the divergence from it.
        seed: of patches, starting weights and order.
    """

    shape: PatchShape = field(default_factory=PatchShape)
    widths: tuple[int, ...] = (256, 128)
    patches: int = 20000
    epochs: int = 8
    fine_tuning: int = 20
    learning_rate: float = 3e-3
    sparsity: float = 0.05
    sparsity_weight: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers that nothing else checks.

        Raises:
            ValueError: for a number out of range.
        """
        check_whole("patches", self.patches, BATCH)
        check_whole("fine_tuning", self.fine_tuning, 0)
        for width in self.widths:
            check_whole("widths", width, 1)

    def steps(self, share: float = 1.0) -> dict[str, Any]:
        """Return learning rate, times a share, and seed for the trainer of layers."""
        return {"learning_rate": share * self.learning_rate, "seed": self.seed}

    def network(self) -> StackedAutoEncoder:
        """Return the network with its starting weights."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return StackedAutoEncoder(
                *(self.shape.values, list(self.widths)),
                sparsity=self.sparsity,
                sparsity_weight=self.sparsity_weight,
            )


@dataclass(frozen=True)
class AutoEncoder:
    """A trained auto-encoder with the reader of its patches.

    Attributes:
        network: in evaluation mode.
        reader: standardises patches as those of the training.
        figures: counts and errors, see :func:`train_autoencoder`.
        settings: of the training, plain; ``{}`` if unknown.
    """

    network: StackedAutoEncoder
    reader: PatchReader
    figures: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def features(self, patches: Patches) -> Patches:
        """Map standardised patches (N, values) to features (N, width)."""
        with torch.inference_mode():
            found: Patches = self.network.encode(torch.from_numpy(patches)).numpy()
        return found

    def reconstruct(self, patches: Patches) -> Patches:
        """Map standardised patches (N, values) to what the network makes of them."""
        with torch.inference_mode():
            found: Patches = self.network(torch.from_numpy(patches)).numpy()
        return found


@dataclass(frozen=True)
class TrainingPatches:
    """Patches of the training patients, with the reader that was fitted to them.

    Attributes:
        reader: with their mean and deviation.
        standard: (N, values), standardised.
        figures: counts of patches, slices and patients.
    """

    reader: PatchReader
    standard: Patches
    figures: Mapping[str, int]


def training_patches(datalist: str | Path, training: Training) -> TrainingPatches:
    """Draw and standardise the patches of the training partition of a datalist.

    Raises:
        ValueError: for slices that were prepared with too few neighbours, or an empty partition.
    """
    cases = load_datalist(datalist, "training")
    if not cases:
        raise ValueError(f"datalist: {datalist} has no training slices; prepare more patients")
    drawn = draw_patches(cases, training.shape, training.patches, training.seed)
    reader = PatchReader.fitted(training.shape, drawn.patches)
    figures = {
        "patches": len(drawn.patches),
        "near_a_labelled_border": drawn.near,
        "slices": len(cases),
        "patients": len({str(case["patient_id"]) for case in cases}),
    }
    return TrainingPatches(reader, reader.standardise(drawn.patches), figures)


def train_autoencoder(datalist: str | Path, training: Training) -> AutoEncoder:
    """Train layer by layer, then all layers together on the reconstruction.

    Only patches of the training partition are learnt from. ``figures`` has their counts and, where
    the datalist has validation patients, the mean squared errors of the reconstruction of their
    patches, standardised, beside those of principal components.

    Args:
        datalist: ``datalist.json`` with slices.
        training: how to train.

    Raises:
        ValueError: see :func:`training_patches`; or when the training diverges.
    """
    drawn, network = training_patches(datalist, training), training.network()
    batches = Shuffled(torch.from_numpy(drawn.standard))
    train_layers(network.stack(), batches, epochs=training.epochs, **training.steps())
    last = training.fine_tuning // 3
    for epochs, share in ((training.fine_tuning - last, 1.0), (last, LAST_STEPS)):
        if epochs:
            train_layers([network], batches, epochs=epochs, **training.steps(share))
    network.eval()
    model = AutoEncoder(network, drawn.reader, settings=plain(asdict(training)))
    errors = _errors(model, drawn, load_datalist(datalist, "validation"), training)
    return replace(model, figures={**drawn.figures, **errors})


class Shuffled:
    """Batches of patches, in another order each time they are gone through.

    The order comes from torch's default generator. Patches that do not fill a batch wait for
    another time.
    """

    def __init__(self, patches: torch.Tensor) -> None:
        self.patches = patches

    def __iter__(self) -> Any:
        """Yield (BATCH, values)."""
        order = torch.randperm(len(self.patches))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            yield self.patches[order[start : start + BATCH]]


def _errors(
    model: AutoEncoder, drawn: TrainingPatches, cases: Sequence[Case], training: Training
) -> dict[str, float]:
    """Return the mean squared errors on patches of other patients; none without any."""
    if not cases:
        return {}
    held_out = draw_patches(cases, training.shape, HELD_OUT, training.seed).patches
    patches = model.reader.standardise(held_out)
    errors = {"held_out_error": _error(model.reconstruct(patches), patches)}
    for count in sorted({PCA_COMPONENTS, training.widths[-1]}):
        if count > min(drawn.standard.shape):
            continue
        components = fitted_pca(drawn.standard, count, training.seed)
        again = components.inverse_transform(components.transform(patches))
        errors[f"held_out_error_of_pca_{count}"] = _error(again, patches)
    return errors


def _error(found: Patches, wanted: Patches) -> float:
    return float(np.square(found - wanted).mean(dtype=np.float64))


def fitted_pca(patches: Patches, components: int, seed: int) -> PCA:
    """Fit principal components to standardised patches (N, values).

    Raises:
        ValueError: for more components than there are patches or values.
    """
    if components > min(patches.shape):
        raise ValueError(
            f"widths: {components} components need as many patches and values, got {patches.shape}"
        )
    return PCA(components, svd_solver="randomized", random_state=seed).fit(patches)


def write_autoencoder(path: Path, model: AutoEncoder, datalist: str | Path) -> None:
    """Write a file as other trained networks have, whole or not at all; an older one is replaced.

    It records the settings of patches and training, and hashes of the training cases.
    """
    settings = {PATCHES: model.reader.settings(), TRAINING: _identity(model.settings, datalist)}
    data = training_data(datalist, load_datalist(datalist, "training"))
    content = content_of(model.network.state_dict(), settings_of(model.network, settings), data)
    buffer = io.BytesIO()
    torch.save({**content, "figures": plain(model.figures)}, buffer)
    write_bytes(path, buffer.getvalue())


def _identity(settings: Mapping[str, Any], datalist: str | Path) -> dict[str, Any]:
    """Return what a training depends on: its settings and the content of the datalist."""
    return {**settings, "datalist_sha256": content_sha256(datalist)}


def read_autoencoder(path: str | Path) -> AutoEncoder:
    """Read a file that :func:`write_autoencoder` wrote.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: for another file, or one whose network does not fit its settings.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"autoencoder: no file {path}; `python -m scripts sae train` writes one"
        )
    wrong = f"autoencoder: {path} is no auto-encoder of patches, as `sae train` writes it"
    try:
        model = read_model(path)
    except ValueError as error:
        raise ValueError(wrong) from error
    settings = model.settings or {}
    definition = settings.get(NETWORK) or {}
    if definition.get("_target_") != TARGET or PATCHES not in settings:
        raise ValueError(wrong)
    arguments = {name: value for name, value in definition.items() if name != "_target_"}
    network, reader = StackedAutoEncoder(**arguments), PatchReader.of_settings(settings[PATCHES])
    if network.inputs != reader.shape.values:
        raise ValueError(
            f"autoencoder: the network of {path} is for patches of {network.inputs} values, its "
            f"settings are for {reader.shape.values}; train it again"
        )
    load_weights(network, model)
    trained = settings.get(TRAINING, {})
    return AutoEncoder(network.eval(), reader, model.record.get("figures", {}), trained)


def is_trained_with(path: Path, training: Training, datalist: str | Path) -> bool:
    """Whether a file is there and was trained with these settings on this datalist.

    Raises:
        ValueError: for a file that is no auto-encoder.
    """
    if not path.is_file():
        return False
    wanted = _identity(plain(asdict(training)), datalist)
    return dict(read_autoencoder(path).settings) == wanted
