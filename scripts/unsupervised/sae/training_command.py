"""``python -m scripts sae train``: a stacked auto-encoder of patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.preparation.prepare_options import check_window
from scripts.running.options import read_truth, read_words
from scripts.storage.locks import locked
from scripts.storage.output_folder import claim_output
from scripts.unsupervised.sae.autoencoder import (
    Training,
    is_trained_with,
    train_autoencoder,
    write_autoencoder,
)
from scripts.unsupervised.sae.patches import WINDOWS_HU, PatchShape

DEFAULTS = Training()


def train(
    datalist: str,
    output: str,
    *,
    widths: Sequence[int] | None = None,
    patch_size: int = 9,
    patch_slices: int = 3,
    windows_hu: Sequence[Sequence[float]] | None = None,
    patches: int = 20000,
    epochs: int = 8,
    fine_tuning: int = 20,
    learning_rate: float = 3e-3,
    sparsity: float = 0.05,
    sparsity_weight: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Train a stacked sparse auto-encoder on patches of the training patients, without labels.

    Layer by layer, then all together. Labels only decide where patches are drawn: half of them
    within 5 mm of a labelled border, the others in the lungs or the body. Prints the error of the
    reconstruction on patches of the validation patients, beside principal components.

    Args:
        datalist: datalist.json with prepared slices.
        output: file to write, for example sae.pt; one with the same settings is kept.
        widths: features of each layer, for example 256,128 (the default).
        patch_size: pixels along a patch's side, odd.
        patch_slices: slices of a patch, odd; the data must be prepared with as many neighbours.
        windows_hu: HU windows that are put side by side, for example [[-1000,400],[-150,250]] (the
            default).
        patches: number of patches.
        epochs: of each layer alone.
        fine_tuning: epochs of all layers together, the last third with a tenth of the rate.
        learning_rate: of Adam.
        sparsity: wanted mean activity of a feature, while its layer is trained alone.
        sparsity_weight: of the divergence from it.
        seed: of patches, starting weights and order.
        overwrite: replace a file that was trained with other settings.

    Raises:
        ValueError: for an invalid option or data that do not fit.
        OSError: when a file cannot be read or written.
    """
    training = Training(
        PatchShape(patch_size, patch_slices, read_windows(windows_hu)),
        read_widths(widths),
        *(patches, epochs, fine_tuning, learning_rate, sparsity, sparsity_weight, seed),
    )
    path = Path(str(output))
    claim_output(path.parent)
    with locked(path.with_name(f".{path.name}.lock")):
        if not read_truth("overwrite", overwrite) and path.exists():
            if not is_trained_with(path, training, datalist):
                raise ValueError(
                    f"output: {path} was trained with other settings or data; give another file, "
                    "or --overwrite true"
                )
            print(f"already trained: {path}")
            return
        model = train_autoencoder(datalist, training)
        write_autoencoder(path, model, datalist)
    print(shown(model.figures))
    print(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")


def read_widths(value: object) -> tuple[int, ...]:
    """Read the widths of the layers from the command line; None for the default.

    Raises:
        ValueError: for anything but whole numbers.

    Example:
        >>> read_widths("64,32"), read_widths(16), read_widths((64, 32))
        ((64, 32), (16,), (64, 32))
    """
    if value is None:
        return DEFAULTS.widths
    listed = value if isinstance(value, (list, tuple)) else read_words("widths", str(value))
    try:
        return tuple(int(str(width)) for width in listed)
    except ValueError:
        raise ValueError(f"widths: must be numbers such as 256,128, got {value!r}") from None


def read_windows(value: object) -> tuple[tuple[float, float], ...]:
    """Read windows of HU from the command line; None for the default.

    Raises:
        ValueError: for anything but pairs of numbers, the lower one first.

    Example:
        >>> read_windows([[-1000, 400]]), read_windows((-1000, 400))
        (((-1000.0, 400.0),), ((-1000.0, 400.0),))
    """
    if value is None:
        return WINDOWS_HU
    listed = value if isinstance(value, (list, tuple)) and value else [value]
    pairs = listed if isinstance(listed[0], (list, tuple)) else [value]
    return tuple(check_window(pair) for pair in pairs)


def shown(figures: Mapping[str, Any]) -> str:
    """Describe a training for the screen."""
    lines = [
        "{patches} patches of {slices} slices of {patients} patients, "
        "{near_a_labelled_border} of them near a labelled border".format(**figures)
    ]
    errors = {name: value for name, value in figures.items() if name.startswith("held_out_error")}
    if not errors:
        return "\n".join([*lines, "no validation patients to measure the reconstruction on"])
    words = [
        f"{value:.4f} {name.removeprefix('held_out_error').removeprefix('_of_pca_') or 'sae'}"
        for name, value in errors.items()
    ]
    return "\n".join([*lines, f"squared error of the reconstruction: {', '.join(words)}"])
