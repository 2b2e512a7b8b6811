import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.utils import ImageMetaKey

from custom_nets.encoders import ENCODERS
from scripts.prediction.network.reducer import Reducer, RemoveCandidatesd, component_centres
from scripts.training.tensor_files import mark_outdated
from scripts.transforms.candidate_crops import cut_crops
from scripts.transforms.intensity import WindowHU
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import index_to_world, lps_to_ras
from scripts.volumes.volume import Volume
from tests.custom_nets.tiny import TinyEncoder
from tests.scripts.prediction.network.second_stages import write_reducer

AFFINE = np.array([[-0.7, 0, 0, 10.0], [0, 0.8, 0, -20.0], [0, 0, 2.5, -30.0], [0, 0, 0, 1]])
BRIGHT, DARK = (4, 40, 20), (9, 20, 60)  # (z, y, x)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)


@pytest.fixture
def ct():
    """Lung with a bright block and a small one; both are found by the first stage."""
    hu = np.full((14, 60, 80), -850, np.int16)
    hu[2:7, 30:52, 8:32] = 60
    hu[9, 19:22, 59:62] = 60
    return Volume(hu, AFFINE)


@pytest.fixture
def mask(ct):
    found = np.zeros(ct.hu.shape, np.uint8)
    for z, y, x in (BRIGHT, DARK):
        found[z, y - 1 : y + 2, x - 1 : x + 2] = 1
    return found


def centres():
    return index_to_world([(x, y, z) for z, y, x in (BRIGHT, DARK)], AFFINE)


def test_probabilities_then_those_of_the_network_on_windowed_crops(ct, tmp_path):
    network = write_reducer(tmp_path / "reducer.pt", 0.5)
    found = Reducer(tmp_path / "reducer.pt").probabilities(ct, centres())
    crops = cut_crops(ct.in_lps(), centres(), size=(32, 32))
    images = WindowHU((-1000, 400), outside="zero")(torch.from_numpy(crops))
    with torch.no_grad():
        expected = torch.sigmoid(network(images))[:, 0]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
    assert found[0] > found[1] + 0.2


def test_no_candidate_then_none(ct, tmp_path):
    write_reducer(tmp_path / "reducer.pt", 0.5)
    assert Reducer(tmp_path / "reducer.pt").probabilities(ct, np.zeros((0, 3))) == []


def test_component_centres_then_in_world_coordinates_in_the_order_of_the_labels(mask):
    np.testing.assert_allclose(component_centres(mask, AFFINE, connectivity=3), centres())


def test_transform_then_the_component_below_the_threshold_is_gone(ct, mask, tmp_path):
    nifti_of(ct.hu, AFFINE).to_filename(tmp_path / "ct.nii.gz")
    write_reducer(tmp_path / "reducer.pt", 0.5)
    high, low = Reducer(tmp_path / "reducer.pt").probabilities(ct, centres())
    write_reducer(tmp_path / "reducer.pt", (high + low) / 2)
    xyz = torch.from_numpy(np.ascontiguousarray(mask.transpose(2, 1, 0)))[None]
    affine = torch.from_numpy(lps_to_ras(AFFINE))
    image = MetaTensor(torch.zeros(1), meta={ImageMetaKey.FILENAME_OR_OBJ: tmp_path / "ct.nii.gz"})
    data = {"image": image, "pred": MetaTensor(xyz, affine=affine)}
    kept = RemoveCandidatesd("pred", reducer=tmp_path / "reducer.pt")(data)["pred"]
    expected = mask.copy()
    expected[DARK[0]] = 0
    np.testing.assert_array_equal(np.asarray(kept[0]).transpose(2, 1, 0), expected)
    assert torch.equal(kept.affine, affine)


def test_file_without_operating_point_then_refused(tmp_path):
    write_reducer(tmp_path / "reducer.pt", 0.5)
    content = torch.load(tmp_path / "reducer.pt", weights_only=True)
    del content["operating_point"]
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"reduce: .*model.pt has no operating point; give the re"):
        Reducer(tmp_path / "model.pt")


def test_file_of_an_earlier_run_then_refused(tmp_path):
    write_reducer(tmp_path / "reducer.pt", 0.5)
    mark_outdated(tmp_path)
    with pytest.raises(ValueError, match="reduce: .* is the result of an earlier run"):
        Reducer(tmp_path / "reducer.pt")


def test_segmentation_network_or_no_file_then_refused(tmp_path):
    write_reducer(tmp_path / "reducer.pt", 0.5, patch_size=None)
    with pytest.raises(ValueError, match="reduce: .* has no patch_size"):
        Reducer(tmp_path / "reducer.pt")
    with pytest.raises(FileNotFoundError, match="^reduce: "):
        Reducer(tmp_path / "absent.pt")
