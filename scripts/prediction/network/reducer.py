"""Second stage: a classifier of crops that removes false candidates of the segmentation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from scripts.bundle.model_file import NETWORK, ModelFile, read_model, trained_network
from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import TrainingScans
from scripts.training.operating_point import RECORD
from scripts.training.precision import check_finite
from scripts.training.tensor_files import refuse_outdated
from scripts.training.weights.trained_weights import load_weights
from scripts.transforms.candidate_crops import cut_crops
from scripts.transforms.intensity import WindowHU
from scripts.volumes.geometry import Floats, index_to_world, lps_to_ras, reverse_axes
from scripts.volumes.readers import read_volume
from scripts.volumes.volume import Volume

CROPS_AT_ONCE = 64
NEEDED = ("window_hu", "outside_window", "in_channels", "class_names", "patch_size")


class Reducer:
    """A trained second stage, with the threshold that was chosen on its validation.

    Args:
        path: ``reducer.pt`` of a training with configs/classifiers/nodule_candidates.json.
        device: that the network runs on.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it is not such a file, or of an earlier run than that in its folder.

    Attributes:
        name: of the file.
        sha256: of the file.
        threshold: least probability of a candidate that is kept.
        class_name: what it keeps, such as nodule.
        scans: of its training.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu") -> None:
        model = _read(Path(path))
        settings, point = dict(model.settings or {}), model.record[RECORD]
        self.device, self.operating_point = torch.device(device), point
        self.name, self.threshold = model.path.name, float(point["threshold"])
        self.sha256 = sha256_of(model.path)
        self.class_name = str(settings["class_names"][0])
        self.scans = TrainingScans.of(model)
        self._window = WindowHU(settings["window_hu"], outside=settings["outside_window"])
        self._size = tuple(settings["patch_size"])
        self._each_side = (int(settings["in_channels"]) - 1) // 2
        self._network = trained_network(settings)
        load_weights(self._network, model)
        self._network.eval().to(self.device)

    def probabilities(self, volume: Volume, centres_lps_mm: ArrayLike) -> list[float]:
        """Return the probability of each candidate.

        Args:
            volume: the CT, in any index order.
            centres_lps_mm: (N, 3), the candidates' centres in LPS mm.
        """
        centres = np.asarray(centres_lps_mm, float).reshape(-1, 3)
        if not len(centres):
            return []
        found: list[float] = []
        in_lps = volume.in_lps()
        for part in np.array_split(centres, -(-len(centres) // CROPS_AT_ONCE)):
            crops = cut_crops(in_lps, part, size=self._size, each_side=self._each_side)
            images = self._window(torch.from_numpy(crops)).to(self.device)
            with torch.no_grad():
                logits = check_finite(self._network(images))
            found += torch.sigmoid(logits.float())[:, 0].cpu().tolist()
        return found

    def keeps(self, probability: float) -> bool:
        """Whether a candidate of this probability is kept."""
        return probability >= self.threshold

    def record(self) -> dict[str, Any]:
        """Return file and operating point, for the manifest."""
        return {"name": self.name, "sha256": self.sha256, **self.operating_point}


def _read(path: Path) -> ModelFile:
    try:
        model = read_model(path)
        refuse_outdated(path)
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(f"reduce: {str(error).removeprefix('ckpt_path: ')}") from error
    settings = model.settings or {}
    missing = [name for name in (NETWORK, *NEEDED) if not settings.get(name)]
    if RECORD not in model.record or missing:
        lacks = f"no {', '.join(missing)}" if missing else "no operating point"
        raise ValueError(
            f"reduce: {path} has {lacks}; give the reducer.pt that training with "
            "configs/classifiers/crops.json and nodule_candidates.json writes"
        )
    return model


def component_centres(mask: NDArray[Any], affine: Floats, *, connectivity: int) -> Floats:
    """Return the centres of a mask's components: (N, 3) in LPS mm, in the order of their labels.

    Args:
        mask: (Z, Y, X).
        affine: (4, 4), index (x, y, z) to LPS mm.
        connectivity: 1 joins voxels by faces, 2 by edges too, 3 by corners too.
    """
    components, count = _components(mask, connectivity)
    if not count:
        return np.zeros((0, 3))
    centres = []
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        offset = np.array([part.start for part in box])
        centres.append(np.argwhere(components[box] == number).mean(axis=0) + offset)
    return index_to_world(np.array(centres)[:, ::-1], affine)


def _components(mask: NDArray[Any], connectivity: int) -> tuple[NDArray[Any], int]:
    structure = ndimage.generate_binary_structure(3, connectivity)
    components, count = ndimage.label(mask, structure)
    return components, int(count)


class RemoveCandidatesd(MapTransform):
    """Remove the components of a predicted mask that the second stage does not keep.

    For ``run inferring``; ``predict`` does the same and lists what it removed. The CT is read again
    from its file, as its image was windowed.

    Args:
        keys: the mask, (1, X, Y, Z), 0 or 1, in the geometry of the source.
        reducer: ``reducer.pt``.
        image_key: image whose metadata has the CT's path.
        connectivity: of the components.
        device: that the network runs on.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        reducer: str | Path,
        image_key: str = "image",
        connectivity: int = 3,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(keys)
        self.reducer = Reducer(reducer, device)
        self.image_key = image_key
        self.connectivity = connectivity

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the mask of the components that are kept."""
        result = dict(data)
        volume = read_volume(Path(str(data[self.image_key].meta[ImageMetaKey.FILENAME_OR_OBJ])))
        for key in self.key_iterator(result):
            result[key] = self._reduced(result[key], volume)
        return result

    def _reduced(self, mask: MetaTensor, volume: Volume) -> MetaTensor:
        zyx = reverse_axes(np.asarray(mask.as_tensor()[0]), np.uint8)
        affine = lps_to_ras(np.asarray(mask.affine, np.float64))
        components, count = _components(zyx, self.connectivity)
        centres = component_centres(zyx, affine, connectivity=self.connectivity)
        probabilities = self.reducer.probabilities(volume, centres)
        kept = np.zeros(count + 1, bool)
        kept[1:] = [self.reducer.keeps(probability) for probability in probabilities]
        keeping = torch.from_numpy(reverse_axes(kept[components], np.uint8)).to(mask.dtype)
        return MetaTensor(mask.as_tensor() * keeping[None], meta=mask.meta)
