import json

import nibabel
import numpy as np
import pytest

from scripts.bundle.recipe import Recipe
from scripts.datasets.datalist import absolute, load_datalist, read_datalist
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.retraining.context.probability_maps import MapWriter
from scripts.volumes.grids import difference_of_grids, stored_grid
from tests.scripts.retraining.patients import (
    AFFINE,
    SIZE,
    constant_network,
    recipe_for,
    write_model,
    write_patients,
)

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")


@pytest.fixture
def datalist(tmp_path):
    return write_patients(tmp_path / "prepared")


def writer_of(datalist, *, volumes=False, logit=1.0):
    file = datalist.parent / "model" / "model.pt"
    write_model(file, constant_network(logit, volumes=volumes), datalist, volumes=volumes)
    return MapWriter(recipe_for(datalist.parent, volumes=volumes), file)


def entries_of(datalist, section):
    content = absolute(read_datalist(datalist), datalist.parent)
    lists = content["volumes"] if section.startswith("volumes/") else content
    return lists[section.removeprefix("volumes/")]


def test_slices_then_a_stack_with_the_rows_of_the_image(datalist, tmp_path):
    entries = entries_of(datalist, "test")
    written = writer_of(datalist).write(entries, tmp_path / "maps")
    (file,) = written[0]["context"]
    stack = np.load(file)
    assert stack.shape == SIZE
    expected = round(255 / (1 + np.exp(-1.0)))
    assert [set(row.flat) for row in stack] == [{0}, {expected}, {0}, {expected}, {0}]
    item = LoadSlicesd(["image", "context"])(written[1])
    assert tuple(item["context"].shape) == (1, *SIZE[1:])
    assert float(item["context"].max()) == pytest.approx(expected / 255)
    assert item["context"].affine.tolist() == item["image"].affine.tolist()


def test_volumes_then_a_map_for_each_class_on_the_grid_of_the_image(datalist, tmp_path):
    entries = entries_of(datalist, "volumes/test")
    (written,) = writer_of(datalist, volumes=True).write(entries, tmp_path / "maps")
    scores = np.exp([0, 0, 0, 1.0]) / (3 + np.e)
    assert len(written["context"]) == 4
    for file, expected in zip(written["context"], scores, strict=True):
        image = nibabel.load(file)
        assert image.get_data_dtype() == np.uint8
        assert np.allclose(image.get_fdata(), expected, atol=0.5 / 255 + 1e-6)
        assert not difference_of_grids(stored_grid(entries[0]["image"]), stored_grid(file))


def test_map_on_another_grid_then_its_datalist_is_refused(datalist, tmp_path):
    (written,) = writer_of(datalist, volumes=True).write(
        entries_of(datalist, "volumes/test"), tmp_path / "maps"
    )
    content = read_datalist(datalist)
    content["volumes"]["test"] = [written]
    datalist.write_text(json.dumps(content))
    assert load_datalist(datalist, "volumes/test")[0]["context"] == written["context"]
    moved = nibabel.load(written["context"][1])
    shifted = np.array(moved.affine)
    shifted[0, 3] += 3
    nibabel.save(
        nibabel.Nifti1Image(np.zeros(SIZE[::-1], np.uint8), shifted), written["context"][1]
    )
    with pytest.raises(ValueError, match="context map .* is not on the grid of its image"):
        load_datalist(datalist, "volumes/test")
    (tmp_path / "maps" / "context2.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match="1 of the 6 files"):
        load_datalist(datalist, "volumes/test")


@pytest.mark.parametrize("volumes", [False, True], ids=["slices", "volumes"])
def test_labels_then_never_read(datalist, tmp_path, volumes):
    for file in datalist.parent.glob("*/**/*label*"):
        if "t" in (file.parent.name, file.name[0]):
            file.unlink()
    entries = entries_of(datalist, "volumes/test" if volumes else "test")
    assert writer_of(datalist, volumes=volumes).write(entries, tmp_path / "maps")


def test_maps_when_there_then_kept_and_of_another_network_written_anew(datalist, tmp_path):
    entries, folder = entries_of(datalist, "test"), tmp_path / "maps"
    first = writer_of(datalist)
    first.write(entries, folder)
    file = folder / "context0.npy"
    before = file.stat().st_mtime_ns
    first.write(entries, folder)
    assert file.stat().st_mtime_ns == before
    writer_of(datalist, logit=-1.0).write(entries, folder)
    assert np.load(file).max() == round(255 / (1 + np.e))


def test_maps_when_their_image_has_changed_then_written_anew(datalist, tmp_path):
    entries, folder = entries_of(datalist, "test"), tmp_path / "maps"
    writer = writer_of(datalist)
    writer.write(entries, folder)
    (folder / "context0.npy").unlink()
    np.save(folder / "context0.npy", np.zeros(SIZE, np.uint8))
    writer.write(entries, folder)
    assert np.load(folder / "context0.npy").max() == 0
    image = entries[0]["image"]
    np.save(image, np.load(image)[:, ::-1])  # prepared again, as it had been flipped
    writer.write(entries, folder)
    assert np.load(folder / "context0.npy").max() > 0


def test_cases_of_the_training_then_refused(datalist):
    writer = writer_of(datalist)
    writer.check_unseen(entries_of(datalist, "test"))
    with pytest.raises(ValueError, match="the network was trained on a, whose map it should make"):
        writer.check_unseen(entries_of(datalist, "training"))


def test_network_that_is_given_where_lesions_are_then_refused(datalist):
    files = ("configs/networks/cf_cnn.json", "configs/data/luna16_nodule_patches.json")
    with pytest.raises(ValueError, match="given the positions of the lesions have no maps"):
        MapWriter(Recipe("bundles/lung_nodule_ct_segmentation", files), datalist)


def test_affine_of_the_patients_then_that_of_their_images(datalist):
    grid = stored_grid(datalist.parent / "volumes" / "t_image.nii.gz")
    np.testing.assert_allclose(grid.affine, AFFINE, atol=1e-5)
