"""Random damage of a file: bits, bytes, lines, numbers."""

from __future__ import annotations

import random
import re
from pathlib import Path

NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
ODD = (b"nan", b"inf", b"-1", b"0", b"1e99", b"999999999999", b"0.5", b"", b"=1+1", b"\xff\xfe")


def damage(path: Path, chance: random.Random) -> str:
    """Damage a file at random; return a description."""
    content = bytearray(path.read_bytes())
    is_text = path.suffix in (".mhd", ".csv", ".xml", ".json")
    ways = [_flip, _cut, _delete, _insert, _zero, _repeat]
    if is_text or path.suffix == ".nrrd":
        ways += [_number, _number, _number, _line, _line]
    way = chance.choice(ways)
    size = len(content)
    # headers are small and matter most
    place = chance.randrange(min(size, 600) if chance.random() < 0.6 else size) if size else 0
    what = way(content, place, chance)
    path.write_bytes(content)
    return f"{path.name}: {way.__name__[1:]} at {place} {what}"


def _flip(content: bytearray, place: int, chance: random.Random) -> str:
    content[place] ^= 1 << chance.randrange(8)
    return ""


def _cut(content: bytearray, place: int, chance: random.Random) -> str:
    del content[place:]
    return ""


def _delete(content: bytearray, place: int, chance: random.Random) -> str:
    count = chance.choice((1, 4, 100, 2000))
    del content[place : place + count]
    return str(count)


def _insert(content: bytearray, place: int, chance: random.Random) -> str:
    count = chance.choice((1, 4, 512, 3000))
    content[place:place] = chance.randbytes(count)
    return str(count)


def _zero(content: bytearray, place: int, chance: random.Random) -> str:
    count = min(chance.choice((4, 64, 1000)), len(content) - place)
    content[place : place + count] = bytes(count)
    return str(count)


def _repeat(content: bytearray, place: int, chance: random.Random) -> str:
    count = chance.choice((8, 200))
    content[place:place] = content[place : place + count]
    return str(count)


def _number(content: bytearray, place: int, chance: random.Random) -> str:
    numbers = [match for match in NUMBER.finditer(content) if match.start() < 20000]
    if not numbers:
        return "none"
    chosen, odd = chance.choice(numbers), chance.choice(ODD)
    was = chosen[0]
    content[chosen.start() : chosen.end()] = odd
    return f"{was!r} -> {odd!r}"


def _line(content: bytearray, place: int, chance: random.Random) -> str:
    lines = content.split(b"\n")
    chosen = chance.randrange(min(len(lines), 60))
    line = lines.pop(chosen)
    if chance.random() < 0.5:
        lines.insert(chance.randrange(min(len(lines), 60) + 1), line)
    content[:] = b"\n".join(lines)
    return repr(bytes(line[:40]))
