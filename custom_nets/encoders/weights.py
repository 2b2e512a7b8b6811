"""Encoder weights from the published files, a path or a URL: complete, or an error."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urlparse

import torch
from torch import Tensor

from custom_nets.encoders.layouts import PLAIN, Layout, layouts_of, looks_like
from custom_nets.encoders.published import NAMED, published_url
from custom_nets.state_dicts import (
    UnreadableError,
    flattened,
    in_short,
    naming,
    read_content,
    refuse_non_finite,
    unwrap,
)

if TYPE_CHECKING:
    from custom_nets.encoders.encoder import Encoder

logger = logging.getLogger(__name__)

COUNTER = "num_batches_tracked"
"""End of the names that old weight files lack; it has no effect on the features."""

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


@dataclass(frozen=True)
class WeightReport:
    """Result of loading: tensors copied, names in the file not used, its source and sha256."""

    taken: int
    skipped: tuple[str, ...]
    source: str
    sha256: str


def load_encoder_weights(encoder: Encoder, weights: str) -> WeightReport:
    """Fill an encoder in place.

    ``weights`` is "none" (no change), a word of `NAMED` such as "imagenet" (a published file,
    downloaded once into the cache of torch.hub), the path of a weights file (a ``state_dict``, or a
    dictionary with "encoder" and "state_dict" as our pretraining writes), or an http(s) or file URL
    with a sha256 in the name (``...-<hex>.pth``) or after it (``#sha256=<hex>``). An encoder of one
    input channel gets the sum of the three colour kernels.

    Raises:
        FileNotFoundError: no such file.
        ConnectionError: the download failed; missing weights are never replaced by random ones.
        ValueError: the file is not a weights file, does not have its stated hash, is for another
            encoder, or lacks a tensor of the encoder or has it in another shape.
    """
    if weights == "none":
        return WeightReport(0, (), "none", "")
    source = published_url(encoder.name, weights) if weights in NAMED else weights
    path = weights_file(encoder.name, weights)
    tensors = read_tensors(path, encoder.name)
    found = _copy(encoder, tensors, path)
    report = WeightReport(len(found.tensors), found.unused, source, file_sha256(path))
    unused = f"{len(found.unused)} unused: {in_short(found.unused)}" if found.unused else "all used"
    logger.info(
        "%s: %d tensors from %s (sha256 %s%s%s), %s",
        *(encoder.name, report.taken, source, report.sha256[:8]),
        f", without the prefix {found.prefix}" if found.prefix else "",
        f", {found.layout.title}" if found.layout.title else "",
        unused,
    )
    return report


def weights_file(encoder_name: str, weights: str) -> Path:
    """Return the local file for a word of `NAMED`, a path or a URL, downloaded if necessary.

    Raises:
        FileNotFoundError: no such file.
        ConnectionError, ValueError: as `fetch`.
    """
    source = published_url(encoder_name, weights) if weights in NAMED else weights
    path = fetch(source) if "://" in source else Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"weights must be 'none', {', '.join(map(repr, NAMED))}, a URL or an existing file; "
            f"got {weights!r}, "
            f"and there is no file {path}; correct the path"
        )
    return path


def fetch(url: str) -> Path:
    """Return the local file of a URL with a hash, downloading it if the cache lacks it.

    The cache is ``checkpoints`` in torch hub's folder (TORCH_HOME). A download gets a temporary
    name and is renamed when it is complete and its hash is right; progress is shown on stderr.

    Raises:
        ConnectionError: the download failed; the message says where to put the file by hand.
        ValueError: the URL has no hash, or the file does not have it.
    """
    address, digest = split_hash(url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(address).path).name
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(path), hash_prefix=digest, progress=True)
        except (OSError, HTTPException) as error:
            raise ConnectionError(_offline(address, path, error)) from error
        except RuntimeError as error:  # what torch.hub raises for a wrong hash
            raise ValueError(
                f"{address} must have a sha256 that starts with {digest}; {error}; "
                "nothing was kept; check the address and try again"
            ) from error
    actual = file_sha256(path)
    if not actual.startswith(digest):
        raise ValueError(
            f"{path} must have a sha256 that starts with {digest}; got {actual}; "
            "it is damaged or another file: delete it, and it will be downloaded again"
        )
    return path


def split_hash(url: str) -> tuple[str, str]:
    """Split a URL into its address and its stated sha256, or the first digits of it.

    >>> split_hash("https://example.org/net-0123abcd.pth")
    ('https://example.org/net-0123abcd.pth', '0123abcd')
    >>> split_hash("file:///net.pth#sha256=0123abcd")
    ('file:///net.pth', '0123abcd')

    Raises:
        ValueError: no hash, or a scheme other than http, https and file.
    """
    address, fragment = urldefrag(url)
    scheme = urlparse(address).scheme
    if scheme not in ("http", "https", "file"):
        raise ValueError(f"a weights URL must be http, https or file; got {url!r}; change it")
    in_fragment = re.fullmatch(r"sha256=([0-9a-f]{8,64})", fragment)
    stated = in_fragment or HASH_IN_NAME.search(address)
    if stated is None:
        raise ValueError(
            f"a weights URL must state its sha256, as ...-<hex>.pth or ...#sha256=<hex> with at "
            f"least 8 lower-case digits; got {url!r}; add it"
        )
    return address, stated.group(1)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_tensors(path: Path, encoder_name: str) -> dict[str, Tensor]:
    """Read all tensors of a weights file without running any code in it.

    Returns:
        Name -> tensor; keys of nested dictionaries are joined by dots.

    Raises:
        ValueError: not a weights file, or one written for another encoder.
    """
    try:
        content = read_content(path)
    except UnreadableError as error:
        raise ValueError(
            f"{path} must be a weights file readable with weights_only=True, but {error}; "
            "save a state_dict with torch.save"
        ) from error
    written_for = content.get("encoder") if isinstance(content, Mapping) else None
    if isinstance(written_for, str) and written_for != encoder_name:
        raise ValueError(
            f"{path} must hold weights of {encoder_name}; got weights of {written_for}; "
            "change the encoder or the file"
        )
    tensors = flattened(content)
    if not tensors:
        raise ValueError(
            f"{path} must hold a state_dict (names to tensors); got {type(content).__name__} with "
            "other content; save network.state_dict()"
        )
    return tensors


@dataclass(frozen=True)
class _Found:
    """An encoder's tensors in a file.

    Attributes:
        tensors: key of the encoder -> tensor.
        prefix: as in `Unwrapped`.
        unused: names of all other tensors.
        surplus: those of them that lie in the encoder's own stages, as in a deeper network.
        layout: of the file.
    """

    tensors: dict[str, Tensor]
    prefix: str
    unused: tuple[str, ...]
    surplus: tuple[str, ...]
    layout: Layout


def _copy(encoder: Encoder, tensors: dict[str, Tensor], path: Path) -> _Found:
    """Copy tensors into the encoder, all or none."""
    wanted = encoder.state_dict()
    found = _found(encoder, {encoder.current_key(k): t for k, t in tensors.items()}, path)
    offered = encoder.for_normalised_input(dict(found.tensors), path)
    kernel = offered.get(encoder.first_kernel)
    if encoder.in_channels == 1 and kernel is not None and kernel.ndim == 4:
        offered[encoder.first_kernel] = kernel.sum(dim=1, keepdim=True)
    wrong = [
        f"{key} (missing)"
        if key not in offered
        else f"{key} {list(offered[key].shape)}, must be {list(tensor.shape)}"
        for key, tensor in wanted.items()
        if (key in offered and offered[key].shape != tensor.shape)
        or (key not in offered and not key.endswith(COUNTER))
    ]
    wrong += [f"{name} (of no layer)" for name in found.surplus]
    if wrong:
        raise ValueError(
            f"{path} must hold every tensor of {encoder.name} in its shape; it looks like "
            f"{looks_like(tensors)}, got {len(wrong)} wrong of {len(wanted)}: {in_short(wrong)}; "
            f"use a file made for {encoder.name} with in_channels {encoder.in_channels}"
        )
    refuse_non_finite(offered, path)
    encoder.load_state_dict({**wanted, **offered})
    return found


def _found(encoder: Encoder, tensors: dict[str, Tensor], path: Path) -> _Found:
    """Find the encoder's tensors under the wrapping and in the layout that give most of them."""
    keys = list(encoder.state_dict())
    best = _Found({}, "", tuple(tensors), (), PLAIN)
    for layout in layouts_of(encoder.name):
        names = {layout.name_in_file(key): key for key in keys}
        with naming(path):
            inside = unwrap(tensors, [name for name in names if not name.endswith(COUNTER)])
        own = {names[name]: tensor for name, tensor in inside.tensors.items() if name in names}
        if len(own) > len(best.tensors):
            unused = tuple(name for name in inside.tensors if name not in names)
            stages = {name.split(".")[0] for name in names}
            surplus = tuple(name for name in unused if name.split(".")[0] in stages)
            best = _Found(own, inside.prefix, (*unused, *inside.others), surplus, layout)
    return best


def _offline(address: str, path: Path, error: Exception) -> str:
    return (
        f"the weights at {address} could not be downloaded ({error}). Either fetch that file "
        f"elsewhere and put it at {path}; or set weights to the path of a weights file, such as "
        "one that the project's own pretraining writes (run pretraining), or to 'none' for random "
        "weights"
    )
