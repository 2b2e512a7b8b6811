"""What the pixels of a CT series measure, by its headers: HU of slices, or something else."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.volumes.dicom.slice import SliceFile

# RescaleType of maps that are computed from several energies, and of other quantities (PS3.3,
# C.11.1.1.2). A CT without it, or with HU or US (unspecified), is in HU.
NO_HU = {
    "OD": "optical density",
    "PCT": "percent",
    "Z_EFF": "effective atomic number",
    "ED": "electron density",
    "EDW": "electron density relative to water",
    "MGML": "mg/ml of a contrast agent",
}
PROJECTIONS = {"MIP", "MAX_IP", "MINIP", "MIN_IP"}  # ImageType of slabs drawn as one slice


def check_quantity(each: SliceFile) -> None:
    """Refuse a slice whose values are no HU by its header.

    Raises:
        ValueError: naming the file and the quantity.
    """
    if quantity := NO_HU.get(str(each.header.get("RescaleType"))):
        raise ValueError(
            f"{each.place}: values must be HU, by its RescaleType they are {quantity}; use a "
            "series in HU"
        )


def notes_on(slices: Sequence[SliceFile]) -> tuple[str, ...]:
    """Return what the reader of a result should know about a series that is read."""
    headers = [each.header for each in slices]
    notes = [
        f"{keyword} differs between slices; each is converted by its own"
        for keyword in ("RescaleSlope", "RescaleIntercept")
        if len({each.numbers(keyword) for each in slices}) > 1
    ]
    types = {str(word) for header in headers for word in header.get("ImageType") or ()}
    if slabs := sorted(types & PROJECTIONS):
        notes.append(
            f"by their ImageType ({', '.join(slabs)}) the slices are projections of slabs, unlike "
            "those that networks are trained on"
        )
    if any(header.get("LossyImageCompression") == "01" for header in headers):
        notes.append("the pixels were compressed with loss (LossyImageCompression)")
    if any(header.get("RescaleType") == "HU_MOD" for header in headers):
        notes.append("the values are modified HU (RescaleType HU_MOD)")
    return tuple(notes)
