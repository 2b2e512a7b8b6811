import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.annotated import annotated_samples

NAMES = ["background", "liver", "bone"]


def slices(tmp_path, *values):
    """Write a stack whose slices hold one value each, and list them."""
    stack = np.zeros((len(values), 4, 4), np.uint8)
    for number, value in enumerate(values):
        stack[number, 0, 0] = value
    np.save(tmp_path / "label.npy", stack)
    label = str(tmp_path / "label.npy")
    return [{"label": label, "rows": [number], "slice": number} for number in range(len(values))]


def checked(samples, section="validation", **options):
    return annotated_samples(samples, section, dataset_dir="prepared", **options)


def test_samples_with_foreground_then_unchanged(tmp_path, caplog):
    samples = slices(tmp_path, 0, 2, 1)
    assert checked(samples, class_names=NAMES) == samples
    assert checked([{"nodules": []}, {"nodules": [{"id": 1}]}])
    assert checked([{"image": "a.nii.gz"}])
    assert caplog.text == ""


@pytest.mark.parametrize("section", ["training", "validation"])
@pytest.mark.parametrize("labels_needed", [True, False])
def test_empty_list_then_refused_by_name(section, labels_needed):
    with pytest.raises(
        ValueError, match=f"{section}: the list of .* is empty; .* \\(--split, --shares\\)"
    ):
        checked([], section, labels_needed=labels_needed)


def test_list_without_foreground_then_refused_by_name(tmp_path):
    message = "validation: the list of .* has 2 samples without any foreground"
    with pytest.raises(ValueError, match=message):
        checked([{"nodules": []}, {"nodules": []}])
    with pytest.raises(ValueError, match=message):
        checked(slices(tmp_path, 0, 0), class_names=NAMES)
    assert checked(slices(tmp_path, 0, 0), labels_needed=False)


def test_class_that_occurs_nowhere_then_named_once(tmp_path, caplog):
    checked(slices(tmp_path, 0, 1, 1), class_names=NAMES)
    assert caplog.text.count("has no voxel of bone in any of 3 samples") == 1


def test_volumes_then_their_labels_are_read(tmp_path):
    samples = [{"image": "ct.nii.gz", "label": str(tmp_path / f"{n}.nii.gz")} for n in "ab"]
    for value, sample in enumerate(samples):
        array = np.full((2, 3, 4), value, np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(array), sample["label"])
    assert checked(samples) == samples
    with pytest.raises(ValueError, match="1 samples without any foreground"):
        checked(samples[:1])
