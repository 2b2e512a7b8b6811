"""The scanner: protocol, couch, blur, noise and padding of a synthetic CT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from scripts.phantom.build import TISSUE_HU
from scripts.phantom.patient import Patient
from scripts.phantom.solids import Array, Grid, blend, coverage

PADDING_HU = -2048
LOWEST_HU, HIGHEST_HU = -1024, 3071
SPACINGS_Z_MM = (0.7, 1.0, 1.25, 1.5, 1.8, 2.0, 2.5)
SPACING_SHARES = (0.05, 0.1, 0.25, 0.1, 0.15, 0.15, 0.2)
CHEST_MARGIN_MM = 12.0


@dataclass(frozen=True)
class Protocol:
    """The protocol of one scan.

    Args:
        field_mm: side of the square field of view.
        spacing_z_mm: distance between slices.
        slices: number of slices.
        start_mm: patient z of the lowest slice.
        centre_mm: patient (x, y) of the field's middle.
        origin_mm: world LPS position of the patient frame's origin.
        flipped: stored with x and y running backwards (prone-like TransformMatrix).
        noise_hu: standard deviation in the middle of the body.
        sharpness: cutoff frequency of image and noise in cycles per mm.
        padded: whether the corners outside the round field are -2048.
    """

    field_mm: float
    spacing_z_mm: float
    slices: int
    start_mm: float
    centre_mm: tuple[float, float]
    origin_mm: tuple[float, float, float]
    flipped: bool
    noise_hu: float
    sharpness: float
    padded: bool

    def grid(self, size: int) -> Grid:
        """Voxel centres in the patient frame for slices of size x size."""
        pixel = self.field_mm / size
        steps = (np.arange(size) - 0.5 * (size - 1)) * pixel
        z = self.start_mm + np.arange(self.slices) * self.spacing_z_mm
        x, y = ((steps + centre).astype(np.float32) for centre in self.centre_mm)
        return Grid(x, y, z.astype(np.float32), (pixel, pixel, self.spacing_z_mm))


def draw_protocol(
    patient: Patient, rng: np.random.Generator, *, slices: int | None, flipped: bool
) -> Protocol:
    """Draw the protocol of a patient's scan.

    With ``slices`` given, their distance is chosen to cover the chest, within 0.7 to 2.5 mm; too
    few slices for that show an excerpt around the middle of the lungs.
    """
    low, high = patient.outlines.extent_mm
    low, high = low - CHEST_MARGIN_MM, high + CHEST_MARGIN_MM
    spacing = float(rng.choice(SPACINGS_Z_MM, p=SPACING_SHARES))
    if slices is not None:
        spacing = round(float(np.clip((high - low) / slices, 0.7, 2.5)), 2)
    count = slices if slices is not None else int((high - low) / spacing) + 1
    width = float(2 * np.median(patient.outlines.skin[:, 0]))
    middle = 0.5 * (low + high) + (8.0 if slices is not None else 0.0)
    return Protocol(
        field_mm=round(float(np.clip(width * rng.uniform(1.01, 1.1), 330.0, 380.0)), 1),
        spacing_z_mm=spacing,
        slices=count,
        start_mm=float(middle - 0.5 * (count - 1) * spacing),
        centre_mm=(float(rng.normal(0, 3)), float(rng.normal(4, 3))),
        origin_mm=tuple(np.round(rng.uniform((-25, -60, -350), (25, 190, -50)), 1).tolist()),
        flipped=flipped,
        noise_hu=float(np.clip(rng.lognormal(np.log(20.0), 0.3), 9.0, 40.0)),
        sharpness=float(rng.uniform(0.3, 0.5)),
        padded=bool(rng.random() < 0.6),
    )


def scan(
    clean: Array, grid: Grid, protocol: Protocol, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Simulate the scan (Z, Y, X) of a volume without noise."""
    blur = 0.19 / protocol.sharpness / grid.spacing_mm[0]
    outside = ~round_field(clean.shape[1]) if protocol.padded else None
    strength, reach = noise_levels(clean), noise_reach(grid)
    frequencies = noise_spectrum(clean.shape[1], grid.spacing_mm[0], protocol.sharpness)
    result = np.empty(clean.shape, dtype=np.int16)
    for row, image in enumerate(clean):
        image = ndimage.gaussian_filter(image, blur) if blur > 0.25 else image
        image = image + noise(frequencies, rng) * (
            reach * np.float32(strength[row] * protocol.noise_hu)
        )
        np.clip(np.rint(image, out=image), LOWEST_HU, HIGHEST_HU, out=image)
        if outside is not None:
            image[outside] = PADDING_HU
        result[row] = image
    return result


def round_field(size: int) -> NDArray[np.bool_]:
    """Return the round field of view in a square image (Y, X)."""
    step = (np.arange(size) - 0.5 * (size - 1)) / (0.5 * size)
    return np.asarray(np.hypot(step[None, :], step[:, None]) <= 1.0)


def noise_reach(grid: Grid) -> Array:
    """Return the relative noise (Y, X) in a slice: highest in the middle of the body."""
    reach = np.hypot(grid.x[None, :] / 150.0, grid.y[:, None] / 120.0)
    return np.asarray(0.55 + 0.55 * np.exp(-(reach**2)), dtype=np.float32)


def noise_levels(clean: Array) -> NDArray[np.float64]:
    """Return the relative noise (Z,) of the slices, which rises with the amount of tissue."""
    tissue = (clean[:, ::4, ::4] > -300).mean(axis=(1, 2), dtype=np.float64)
    return np.asarray(np.sqrt(tissue / max(float(tissue.mean()), 1e-3)).clip(0.7, 1.5))


def noise_spectrum(size: int, pixel_mm: float, sharpness: float) -> Array:
    """Return the amplitude (Y, X // 2 + 1) of CT noise: a ramp with the kernel's cutoff."""
    along_y, along_x = fft.fftfreq(size, pixel_mm), fft.rfftfreq(size, pixel_mm)
    frequency = np.hypot(along_y[:, None], along_x[None, :])
    amplitude = np.sqrt(frequency + 0.01) * np.exp(-((frequency / sharpness) ** 2))
    weights = np.full(amplitude.shape, 2.0)
    weights[:, 0] = weights[:, -1] = 1.0
    return np.asarray(amplitude / np.sqrt((weights * amplitude**2).sum()), dtype=np.float32)


def noise(spectrum: Array, rng: np.random.Generator) -> Array:
    """Draw one image (Y, X) of noise with a spectrum and unit standard deviation."""
    size = spectrum.shape[0]
    scaled = spectrum * np.float32(size * size / np.sqrt(2.0))
    waves = np.empty(spectrum.shape, dtype=np.complex64)
    parts = rng.standard_normal((2, *spectrum.shape), dtype=np.float32)
    np.multiply(parts[0], scaled, out=waves.real)
    np.multiply(parts[1], scaled, out=waves.imag)
    return np.asarray(fft.irfft2(waves, s=(size, size)), dtype=np.float32)


def draw_couch(grid: Grid, top_mm: float) -> Array:
    """Draw air and the couch (Y, X) in HU, with the couch's top at a depth y in mm."""
    x, y = grid.x[None, :], grid.y[:, None]
    top = np.float32(top_mm) - x * x / np.float32(900.0)
    width = np.float32(grid.spacing_mm[0])
    edge = np.abs(x) - np.float32(205.0)
    image = np.full((len(grid.y), len(grid.x)), TISSUE_HU["air"], dtype=np.float32)
    body = np.maximum(np.maximum(top - y, y - top - np.float32(26.0)), edge)
    blend(image, TISSUE_HU["couch_shell"], coverage(body, width))
    blend(image, TISSUE_HU["couch_foam"], coverage(body + np.float32(1.6), width))
    return image
