from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.phantom.build import TISSUE_HU
from scripts.phantom.chest.chest import ChestPainter, lung_labels
from scripts.phantom.outlines import LEFT, RIGHT
from scripts.phantom.patient import Patient, draw_patient
from scripts.phantom.solids import Grid


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(np.random.default_rng(3))


@pytest.fixture(scope="module")
def grid() -> Grid:
    across = (np.arange(128, dtype=np.float32) - 63.5) * np.float32(2.8)
    return Grid(across, across, np.arange(-170, 130, 5, dtype=np.float32), (2.8, 2.8, 5.0))


@pytest.fixture(scope="module")
def painted(patient: Patient, grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return ChestPainter(patient, grid).paint()


def at(volume: NDArray[np.float32], grid: Grid, patient: Patient, point: list[float]) -> float:
    """The value at a point (x, y, z) of the standard chest."""
    x, y, z = np.array(point) * patient.build.scale
    index = (abs(grid.z - z).argmin(), abs(grid.y - y).argmin(), abs(grid.x - x).argmin())
    return float(volume[index])


def test_both_lungs_hold_litres_of_air(
    painted: tuple[NDArray[np.float32], NDArray[np.float32]], grid: Grid
) -> None:
    _, lungs = painted
    voxel = np.prod(grid.spacing_mm) / 1e6
    assert 1.0 < np.clip(lungs, 0, None).sum() * voxel < 3.5
    assert 1.0 < -np.clip(lungs, None, 0).sum() * voxel < 3.5


def test_lung_is_about_minus_850_hu_and_denser_towards_the_back(
    painted: tuple[NDArray[np.float32], NDArray[np.float32]], grid: Grid
) -> None:
    volume, lungs = painted
    inside = np.abs(lungs) > 0.99
    assert -900 < np.median(volume[inside]) < -800
    front, back = grid.y[:, None] < -30, grid.y[:, None] > 40
    assert np.median(volume[inside & back]) > np.median(volume[inside & front]) + 10


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        ([0, 13, 80], -1001, -950),  # windpipe
        ([22, 33, -10], 30, 175),  # descending aorta
        ([12, -30, -66], 30, 175),  # heart
        ([-60, -10, -105], 40, 110),  # liver
        ([0, 52, 0], 60, 330),  # vertebra
        ([0, 75, 0], 10, 60), # spinal cord
        ([0, -160, 0], -1001, -990),  # air in front of the patient
    ],
    ids=["windpipe", "aorta", "heart", "liver", "vertebra", "cord", "air"],
)  # fmt: skip
def test_tissue_has_its_radiodensity(
    painted: tuple[NDArray[np.float32], NDArray[np.float32]],
    grid: Grid,
    patient: Patient,
    place: list[float],
    low: float,
    high: float,
) -> None:
    assert low <= at(painted[0], grid, patient, place) <= high


def test_fat_lies_under_the_skin_and_bone_in_the_wall(
    painted: tuple[NDArray[np.float32], NDArray[np.float32]], grid: Grid, patient: Patient
) -> None:
    volume, _ = painted
    radius = np.hypot(grid.x[None, :], grid.y[:, None])
    painter = ChestPainter(patient, grid)
    row = len(grid.z) // 2
    skin, muscle = painter.lookup("skin", row), painter.lookup("muscle", row)
    fat = (radius < skin - 4.5) & (radius > muscle + 3.0)
    assert np.median(volume[row][fat]) == pytest.approx(TISSUE_HU["fat"], abs=5)
    wall = radius - painter.lookup("cage", row)
    shell = (wall > 2) & (wall < 9)
    assert 0.08 < (volume[row][shell] > 150).mean() < 0.7


def test_points_and_voxels_agree_on_what_is_lung(
    painted: tuple[NDArray[np.float32], NDArray[np.float32]], grid: Grid, patient: Patient
) -> None:
    rng = np.random.default_rng(0)
    for side in (LEFT, RIGHT):
        points = rng.uniform([4, -90, -150], [130, 90, 118], (4000, 3)) * [side, 1, 1]
        distance = patient.outlines.lung_distance(points, side)
        index = [
            np.searchsorted(axis, points[:, k] - 0.5 * step).clip(0, len(axis) - 1)
            for k, (axis, step) in enumerate(
                zip((grid.x, grid.y, grid.z), grid.spacing_mm, strict=True)
            )
        ]
        share = painted[1][index[2], index[1], index[0]] * side
        clear = np.abs(distance) > 5.0
        assert ((share > 0.5) == (distance < 0))[clear].mean() > 0.995


def test_lung_labels_are_those_of_luna16() -> None:
    lungs = np.array([[[0.9, -0.9, 0.4, -0.9]]], dtype=np.float32)
    airway = np.array([[[0.0, 0.0, 0.0, 0.8]]], dtype=np.float32)
    assert lung_labels(lungs, airway).tolist() == [[[3, 4, 0, 5]]]
