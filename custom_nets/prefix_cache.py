"""Cache of the maps of frozen blocks, so that a repeated image skips these blocks."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from custom_nets.framing import pad_to_stride
from custom_nets.freezing import DECODER
from custom_nets.unet import TransferUNet

logger = logging.getLogger(__name__)

Versions = tuple[tuple[int, int], ...]


class PrefixCache:
    """Calls a network, with the maps of its first, frozen blocks from memory if they are known.

    Logits and gradients equal the network's own except for rounding: there are no gradients before
    the first block that trains. Images are identified by their values, so that only unchanged
    images are faster: useful for training without augmentation. Maps are discarded when the weights
    of the frozen blocks change, or when their block is released.

    Args:
        megabytes: limit for the maps (10**6 bytes); further images are computed every time.

    Raises:
        ValueError: when the limit is not above 0.
    """

    def __init__(self, megabytes: float) -> None:
        if not megabytes > 0:
            raise ValueError(f"megabytes must be above 0; got {megabytes}; give the cache memory")
        self.megabytes = megabytes
        self.hits = self.misses = 0
        self._maps: dict[bytes, list[Tensor]] = {}
        self._held = 0
        self._blocks = 0
        self._versions: Versions = ()
        self._weights = b""
        self._warned = False

    @property
    def held_megabytes(self) -> float:
        """Current size of the maps."""
        return self._held / 1e6

    def __call__(self, network: TransferUNet, images: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W)."""
        blocks = frozen_blocks(network)
        self._discard_outdated(network, blocks)
        if not blocks:
            logits: Tensor = network(images)
            return logits
        padded, back = pad_to_stride(images, network.in_channels)
        normalised: Tensor = network.normalise(padded)
        known = self._look_up(network, images, normalised, blocks)
        return network.decode(network.encoder.continue_from([normalised, *known]), back)

    def _look_up(
        self, network: TransferUNet, images: Tensor, normalised: Tensor, blocks: int
    ) -> list[Tensor]:
        """Return the maps of the frozen blocks for a batch; compute those that are missing."""
        precision = _precision(images.device.type)
        keys = [precision + _digest([image]) for image in images]
        missing = [number for number, key in enumerate(keys) if key not in self._maps]
        self.misses += len(missing)
        self.hits += len(keys) - len(missing)
        fresh: dict[int, list[Tensor]] = {}
        if missing:
            with torch.no_grad():
                maps = network.encoder.continue_from([normalised[missing]], until=blocks)
            for row, number in enumerate(missing):
                fresh[number] = [one[row : row + 1] for one in maps]
                self._keep(keys[number], fresh[number])
        rows = [fresh.get(number) or self._maps[key] for number, key in enumerate(keys)]
        return [torch.cat(one) for one in zip(*rows, strict=True)]

    def _keep(self, key: bytes, maps: list[Tensor]) -> None:
        if key in self._maps:  # the image is in the batch twice
            return
        size = _bytes_of(maps)
        if self._held + size <= self.megabytes * 1e6:
            self._maps[key] = [
                one.clone() for one in maps
            ]  # a view would keep the whole batch alive
            self._held += size
        elif not self._warned:
            self._warned = True
            logger.warning(
                "cache of frozen blocks: %.0f MB are full with %d images, %d were repeated; %s",
                *(self.megabytes, len(self._maps), self.hits),
                "others are computed every time"
                if self.hits
                else "turn augmentation off, or leave the cache out",
            )

    def _discard_outdated(self, network: TransferUNet, blocks: int) -> None:
        """Discard maps of other weights, and of blocks that are no longer frozen."""
        tensors = _tensors_of(network, blocks)
        versions = tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        if versions == self._versions and blocks == self._blocks:
            return
        if blocks > self._blocks or self._weights != _digest(_tensors_of(network, self._blocks)):
            self._maps.clear()
        self._maps = {key: maps[:blocks] for key, maps in self._maps.items() if blocks}
        self._held = sum(map(_bytes_of, self._maps.values()))
        self._blocks, self._versions, self._weights = blocks, versions, _digest(tensors)
        self._warned = False


def frozen_blocks(network: TransferUNet) -> int:
    """Count the encoder's first blocks in which nothing trains.

    >>> network = TransferUNet("resnet34", in_channels=1, decoder_channels=(8, 8, 8, 8, 8))
    >>> network.set_trainable(["block4", "block5", "decoder"])
    >>> frozen_blocks(network)
    3
    """
    count = 0
    for block in network.block_names:
        if block == DECODER or any(p.requires_grad for p in _parameters_of(network, block)):
            return count
        count += 1
    return count


def _precision(device: str) -> bytes:
    """Name the precision of autocast: maps of another precision are not reused."""
    enabled = torch.is_autocast_enabled(device)
    return str(torch.get_autocast_dtype(device) if enabled else None).encode()


def _parameters_of(network: TransferUNet, block: str) -> Iterable[nn.Parameter]:
    for paths in network.parts[block].values():
        for path in paths:
            yield from network.get_submodule(path).parameters()


def _tensors_of(network: TransferUNet, blocks: int) -> list[Tensor]:
    """Weights and statistics of the first blocks, and of the normalisation before them."""
    modules: list[nn.Module] = [network.normalise]
    for block in network.block_names[:blocks]:
        for paths in network.parts[block].values():
            modules += [network.get_submodule(path) for path in paths]
    return [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]


def _digest(tensors: Iterable[Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _bytes_of(maps: list[Tensor]) -> int:
    return sum(one.numel() * one.element_size() for one in maps)
