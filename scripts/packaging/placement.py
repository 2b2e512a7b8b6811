"""Where the large files of a package lie: in it, or at an address, as the model zoo requires."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urljoin

from scripts.bundle.record import sha256_of
from scripts.packaging.documents import LargeFile, large_files
from scripts.storage.files import write_bytes, write_text

logger = logging.getLogger(__name__)

LARGE = 25 * 2**20
"""Bytes; the model zoo accepts larger files as addresses only."""
WEIGHTS = ("model.pt", "model.pt2")
"""The network of a full and of a plain package: always at the address, if there is one."""


def place_weights(unpacked: Path, target: Path, model_url: str | None) -> str:
    """Keep the models in the package, or write them next to it for upload; describe where.

    Without an address, files over the limit of the model zoo are kept with a warning, so that the
    package can be run. With one, the weights and every export over the limit are written next to
    the zip; the exports are expected in the folder of that address.

    Args:
        unpacked: the package.
        target: its zip.
        model_url: future address of the weights.

    Returns:
        The location of the weights, in words.
    """
    folder = unpacked / "models"
    weights = next(folder / name for name in WEIGHTS if (folder / name).is_file())
    digest = sha256_of(weights)
    large = [file for file in sorted(folder.iterdir()) if file.stat().st_size > LARGE]
    if model_url is None:
        for file in large:
            logger.warning(
                "models/%s has %.0f MB and is packaged nevertheless; MONAI's model zoo accepts no "
                "file over 25 MB: for it, pass --model_url with its future address",
                *(file.name, file.stat().st_size / 1e6),
            )
        return f"`models/{weights.name}`, sha256 {digest}"
    entries = []
    for file in dict.fromkeys((weights, *large)):
        url = model_url if file == weights else urljoin(model_url, file.name)
        entries.append(LargeFile(f"models/{file.name}", url, sha256_of(file)))
        write_bytes(target.with_name(f"{target.stem}_{file.name}"), file.read_bytes())
        file.unlink()
    write_text(unpacked / "large_files.yml", large_files(entries))
    return (
        f"to be downloaded with `python -m monai.bundle download_large_files --bundle_path .`, "
        f"sha256 {digest}"
    )
