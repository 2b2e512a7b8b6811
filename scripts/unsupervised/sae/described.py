"""Features of voxels: of an auto-encoder, principal components, or the patch itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.unsupervised.sae.autoencoder import (
    Training,
    fitted_pca,
    read_autoencoder,
    training_patches,
)
from scripts.unsupervised.sae.patches import Patches, PatchReader

SAE, PCA, RAW = "sae", "pca", "raw"
FEATURES = (SAE, PCA, RAW)


@dataclass(frozen=True)
class Description:
    """How the patch around a voxel becomes its features.

    Attributes:
        reader: of the patches.
        encode: maps standardised patches (N, values) to features (N, F).
    """

    reader: PatchReader
    encode: Callable[[Patches], Patches]

    def features(self, patches: Patches) -> NDArray[np.float64]:
        """Return the features of standardised patches (N, values), (N, F)."""
        return np.asarray(self.encode(patches), np.float64)


def describe(features: str, training: Training, datalist: str, file: Path) -> Description:
    """Return how voxels are described.

    Args:
        features: ``sae``, the file's; ``pca``, as many principal components as the last layer has
            features; ``raw``, the standardised patch.
        training: patches and widths, for all but ``sae``.
        datalist: whose training patches ``pca`` and the standardisation are fitted to.
        file: of the auto-encoder.

    Raises:
        ValueError: for a file that is no auto-encoder, or a datalist without training slices.
    """
    if features == SAE:
        model = read_autoencoder(file)
        return Description(model.reader, model.features)
    drawn = training_patches(datalist, training)
    if features == RAW:
        return Description(drawn.reader, lambda patches: patches)
    components = fitted_pca(drawn.standard, training.widths[-1], training.seed)
    return Description(drawn.reader, components.transform)
