"""Who made a DICOM object: the model, as far as the prediction's facts tell, and this software."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

SOFTWARE = "transfer-ct-bundles"
UNKNOWN = "unknown"  # DICOM has no empty value for a name or a version that must be there
_LONG_STRING = 64  # characters that DICOM's value representation LO holds


@dataclass(frozen=True)
class Algorithm:
    """What DICOM's algorithm identification and equipment modules ask for.

    Attributes:
        name: the bundle's.
        version: the bundle's.
        weights: start of the hash of the weights, which tells one trained model from another.
        software_version: of this software.
    """

    name: str
    version: str
    weights: str
    software_version: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Algorithm:
        """Read a prediction's facts: ``bundle``, ``version``, ``weights_sha256``.

        What they lack is ``unknown``: nothing is taken from anywhere else.

        Example:
            >>> Algorithm.of({"bundle": "lung nodules"}).version
            'unknown'
        """
        return cls(
            name=long_string(facts.get("bundle")),
            version=long_string(facts.get("version")),
            weights=long_string(str(facts.get("weights_sha256") or "")[:16]),
            software_version=_software_version(),
        )


def long_string(value: Any) -> str:
    r"""Return a value as DICOM's LO: at most 64 characters, no backslash, ASCII.

    ASCII because the object is written in the source's character set, whichever that is.

    Example:
        >>> long_string("a\\b"), long_string(None), len(long_string("x" * 100))
        ('a/b', 'unknown', 64)
    """
    text = str(value if value is not None else "").replace("\\", "/")
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text).strip()
    return plain[:_LONG_STRING] or UNKNOWN


def _software_version() -> str:
    try:
        return metadata.version(SOFTWARE)
    except metadata.PackageNotFoundError:  # run from a packaged bundle
        return UNKNOWN
