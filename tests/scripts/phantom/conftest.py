"""A small synthetic cohort that the tests of this folder share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.phantom.chest.luna16 import make_cohort

OPTIONS = {"seed": 5, "size": 96, "slices": 60}


@dataclass(frozen=True)
class Cohort:
    """A cohort's folder and its tables."""

    folder: Path

    def rows(self, name: str) -> list[dict[str, str]]:
        header, *lines = (self.folder / name).read_text().splitlines()
        return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]

    @property
    def uids(self) -> list[str]:
        return (self.folder / "seriesuids.csv").read_text().split()

    def image(self, uid: str) -> sitk.Image:
        (path,) = self.folder.glob(f"subset?/{uid}.mhd")
        return sitk.ReadImage(str(path))

    def lungs(self, uid: str) -> sitk.Image:
        return sitk.ReadImage(str(self.folder / "seg-lungs-LUNA16" / f"{uid}.mhd"))

    def masks(self, uid: str) -> sitk.Image:
        return sitk.ReadImage(str(self.folder / "masks" / f"{uid}.nii.gz"))


def array(image: sitk.Image) -> NDArray[np.generic]:
    return sitk.GetArrayFromImage(image)


@pytest.fixture(scope="package")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    make_cohort(str(folder), patients=4, **OPTIONS)
    return Cohort(folder)
