"""What an adaptation begins with: a file of weights beside its bundle, or a package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.prediction.network.packed_bundle import unpacked_bundle
from scripts.prediction.predict_options import check_file

WEIGHTS = Path("models", "model.pt")  # in a bundle


@contextmanager
def opened_start(model: str, bundle: str | Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield the folder of the bundle and the file of the weights.

    A zip is examined and unpacked for as long as it is used; no Python in it is run.

    Args:
        model: a file of weights; or a package (a zip, or its unpacked folder), or the folder of a
            bundle, with models/model.pt.
        bundle: of a file of weights, a folder or a zip; None for the folder in which it lies.

    Raises:
        FileNotFoundError: when something does not exist.
        ValueError: for a file without a bundle, a package with another bundle, or a zip that is
            refused, see :func:`scripts.prediction.network.packed_bundle.unpacked_bundle`.
    """
    start = Path(str(model))
    if not is_package(model):
        weights = Path(check_file("model", model))
        if weights == Path():
            raise ValueError("model: must be a file of trained weights or a package, got none")
        with unpacked_bundle(_bundle_of(bundle, weights)) as folder:
            yield folder, weights
        return
    if bundle:
        raise ValueError(
            f"bundle: {start} has configs of its own; leave --bundle out, or name a file of "
            "weights in --model"
        )
    if not start.exists():
        raise FileNotFoundError(f"model: no such file: {start}")
    with unpacked_bundle(start) as folder:
        if not (folder / "configs" / "inference.json").is_file():
            raise FileNotFoundError(f"model: {start} holds no configs/inference.json; is it one?")
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(
                f"model: {start} holds no {WEIGHTS.as_posix()} that could be tuned; name the file "
                "of the weights in --model and the bundle in --bundle"
            )
        yield folder, folder / WEIGHTS


def is_package(model: str) -> bool:
    """Whether a path is that of a package or a bundle, not of a file of weights."""
    path = Path(str(model))
    return bool(model) and (path.is_dir() or path.suffix.lower() == ".zip")


def _bundle_of(bundle: str | Path | None, model: Path) -> Path:
    """Return the bundle that is given, or the folder that holds the file of the weights.

    Raises:
        ValueError: when neither is known.
    """
    if bundle:
        return Path(str(bundle))
    folder = model.resolve().parent.parent
    if not (folder / "configs" / "inference.json").is_file():
        raise ValueError(
            f"bundle: must be given, as {model} does not lie in the models folder of one; for "
            "example --bundle bundles/liver_ct_segmentation"
        )
    return folder
