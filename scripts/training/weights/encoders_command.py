"""List of the encoders: their size, their cost, and the weights that are published for them."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from custom_nets.encoders import ENCODERS, check_encoder
from custom_nets.encoders.costs import USUAL_SIZE, cost_of
from custom_nets.encoders.published import LICENCE, NAMED, OTHER_LICENCES
from custom_nets.framing import STRIDE

TITLES = (
    "encoder",
    "parameters",
    "GFLOP",
    "layers",
    "channels of the blocks",
    "strides",
    "weights",
)


@dataclass(frozen=True)
class Entry:
    """One encoder.

    Attributes:
        name: for ``--encoder``.
        parameters: learned numbers, for three input channels.
        gflop: multiplications and additions of one image, both counted, in 10**9.
        size: height and width of that image, in pixels.
        layers: number of layers that can be released one by one.
        block_channels: maps of block1 to block5.
        block_strides: by which block1 to block5 are smaller than the image.
        weights: word for ``--encoder_weights`` -> address of torchvision's file.
        licence: of these files, but for those with another.
        other_licences: word -> licence of a file with another.
    """

    name: str
    parameters: int
    gflop: float
    size: int
    layers: int
    block_channels: tuple[int, ...]
    block_strides: tuple[int, ...]
    weights: dict[str, str]
    licence: str
    other_licences: dict[str, str]


def encoders(encoder: str | None = None, *, size: int = 512, json: bool = False) -> None:
    """List the encoders with their size, cost and published weights.

    Args:
        encoder: only this one.
        size: height and width of the image that the cost is counted for, in pixels; the costs at
            512 are stored, others take some seconds to count.
        json: print JSON, for programs.

    Raises:
        ValueError: the encoder is unknown, or the size is no positive multiple of 32.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1 or size % STRIDE:
        raise ValueError(f"size: must be a positive multiple of {STRIDE}, got {size}; correct it")
    if encoder is not None:
        check_encoder(encoder)
    entries = [described(name, size) for name in (ENCODERS if encoder is None else [encoder])]
    if json:
        print(json_module.dumps([asdict(entry) for entry in entries], indent=2))
    else:
        print(table(entries))


def described(name: str, size: int = USUAL_SIZE) -> Entry:
    """Describe an encoder.

    >>> described("resnet18").block_channels
    (64, 64, 128, 256, 512)
    """
    cost = cost_of(name, size)
    weights = {word: files[name] for word, files in NAMED.items() if name in files}
    return Entry(
        name=name,
        parameters=cost.parameters,
        gflop=round(cost.flop / 1e9, 2),
        size=size,
        layers=cost.layers,
        block_channels=ENCODERS[name].block_channels,
        block_strides=ENCODERS[name].block_strides,
        weights=weights,
        licence=LICENCE,
        other_licences={word: OTHER_LICENCES[word] for word in weights if word in OTHER_LICENCES},
    )


def table(entries: Sequence[Entry]) -> str:
    """Return a table in Markdown, and below it the addresses of the weights."""
    rows = [TITLES, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(TITLES))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    size = entries[0].size
    files = [
        (e.name, word, address, e.other_licences.get(word))
        for e in entries
        for word, address in e.weights.items()
    ]
    notes = [
        f"GFLOP: multiplications and additions for one image of {size} x {size}, in 10^9.",
        f"weights: words for --encoder_weights. Torchvision's files, {LICENCE} if not stated:",
    ]
    addresses = [
        f"  {name} {word}: {address}" + (f" ({other})" if other else "")
        for name, word, address, other in files
    ]
    return "\n".join([*lines, "", *notes[: 1 + bool(files)], *addresses])


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        *(entry.name, f"{entry.parameters / 1e6:.1f} M", f"{entry.gflop:.1f}", str(entry.layers)),
        " ".join(map(str, entry.block_channels)),
        " ".join(map(str, entry.block_strides)),
        ", ".join(entry.weights) or "none",
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "| " + " | ".join(cells) + " |"
