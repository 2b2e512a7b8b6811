"""The origin of a DICOM object: the model, by the prediction's facts, and this software."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

SOFTWARE = "transfer-ct-bundles"
UNKNOWN = "unknown"  # for required names and versions, which must not be empty
LONG_STRING = 64  # characters that DICOM's value representation LO holds
_SHORT_NAME = 40  # characters of a model's name in lists of series


@dataclass(frozen=True)
class Algorithm:
    """Content of DICOM's algorithm identification and equipment modules.

    Attributes:
        name: of the bundle.
        version: of the bundle.
        weights: first digits of the hash of the weights, of an ensemble those of each; they
            identify the trained model.
        software_version: of this software.
        assisted: whether a reader took part, as by a hand-drawn slice.
    """

    name: str
    version: str
    weights: str
    software_version: str
    assisted: bool = False

    @property
    def type(self) -> str:
        """The type of algorithm, in DICOM's words (PS3.3, C.8.20.2 and C.8.8.5)."""
        return "SEMIAUTOMATIC" if self.assisted else "AUTOMATIC"

    @property
    def short_name(self) -> str:
        """The name without the method: "Lung nodule CT segmentation" of "... by fine-tuning"."""
        subject = re.split(r" (?:by|with|from|using) |[(:;]", self.name)[0].strip()
        return _shortened(subject or self.name, _SHORT_NAME)

    @property
    def equipment(self) -> dict[str, str]:
        """The equipment module of every object (PS3.3, C.7.5.1), as arguments of highdicom."""
        return {
            "manufacturer": SOFTWARE,
            "manufacturer_model_name": self.name,
            "software_versions": self.software_version,
            "device_serial_number": self.weights,
        }

    def series_description(self, product: str) -> str:
        """Return what lists of series show, at most 64 characters: product, model and version.

        Example:
            >>> facts = {"bundle": "Lung nodule CT segmentation by fine-tuning", "version": "0.3.1"}
            >>> Algorithm.of(facts).series_description("SEG")
            'SEG: Lung nodule CT segmentation 0.3.1'
        """
        return long_string(f"{product}: {self.short_name} {self.version}")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Algorithm:
        """Read a prediction's facts.

        These are ``bundle`` (a name) or ``metadata`` (the bundle's metadata.json), ``version``,
        ``weights_sha256`` (one or several hashes), and ``assisted``. Missing facts are ``unknown``.

        Example:
            >>> Algorithm.of({"bundle": "lung nodules"}).version
            'unknown'
        """
        metadata = facts.get("metadata") or {}
        return cls(
            name=long_string(facts.get("bundle") or metadata.get("name")),
            version=long_string(facts.get("version") or metadata.get("version")),
            weights=long_string(_starts_of(facts.get("weights_sha256"))),
            software_version=_software_version(),
            assisted=bool(facts.get("assisted")),
        )


def _starts_of(hashes: str | Sequence[str] | None) -> str:
    """Return the first digits of each hash, as many as fit together, 16 at most."""
    several = [hashes] if isinstance(hashes, str) else list(hashes or ())
    digits = min(16, LONG_STRING // max(1, len(several)) - 1)
    return " ".join(each[:digits] for each in several)


def long_string(value: Any) -> str:
    r"""Return a value as DICOM's LO: at most 64 characters, no control characters, no backslash.

    Example:
        >>> long_string("a\\b"), long_string(None), len(long_string("x" * 100))
        ('a/b', 'unknown', 64)
        >>> long_string("Liver, bone and kidney CT segmentation by fully convolutional networks")
        'Liver, bone and kidney CT segmentation by fully convolutional...'
    """
    text = str(value if value is not None else "").replace("\\", "/")
    plain = "".join(c if c.isprintable() else "?" for c in text).strip()
    return _shortened(plain, LONG_STRING) or UNKNOWN


def _shortened(text: str, most: int) -> str:
    """Cut a text after a word."""
    if len(text) <= most:
        return text
    room = most - len("...")
    whole_words = text[: room + 1].rpartition(" ")[0]
    return (whole_words or text[:room]) + "..."


def _software_version() -> str:
    try:
        return version(SOFTWARE)
    except PackageNotFoundError:  # run from a packaged bundle
        return UNKNOWN
