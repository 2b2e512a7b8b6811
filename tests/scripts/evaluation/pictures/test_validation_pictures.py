import io

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from matplotlib.colors import to_rgb
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scripts.evaluation.pictures.colours import MANUAL_COLOUR, OURS_COLOUR
from scripts.evaluation.pictures.validation_pictures import (
    TAG,
    ValidationPictures,
    drawn,
    outline,
    side_by_side,
    slice_of,
)

SIZE = 16


def sample(number, *, marked):
    image, label = torch.full((3, SIZE, SIZE), number / 10), torch.zeros(1, SIZE, SIZE)
    label[:, 4:9, 4:9] = float(marked)
    return {"image": image, "label": label, "pred": torch.roll(label, 2, 1)}


def validate(handler, samples, epochs):
    engine = Engine(lambda engine, batch: [samples[batch]])
    handler.attach(engine)
    engine.state.dataloader = None
    loader = torch.utils.data.DataLoader(range(len(samples)), batch_size=None)
    for epoch in epochs:
        engine.load_state_dict(
            {"epoch_length": len(samples), "max_epochs": epoch, "epoch": epoch - 1}
        )
        engine.run(loader, max_epochs=epoch)


def pictures(folder):
    events = EventAccumulator(str(folder / "pictures")).Reload().Images(TAG)
    return {
        one.step: np.asarray(Image.open(io.BytesIO(one.encoded_image_string))) for one in events
    }


def test_validations_then_the_first_annotated_slice_of_each_part_at_the_interval(tmp_path):
    samples = [sample(n, marked=n in (1, 2, 7)) for n in range(8)]
    validate(ValidationPictures(tmp_path, count=2, interval=5), samples, (1, 2, 5, 6))
    found = pictures(tmp_path)
    assert set(found) == {1, 6}
    assert found[6].shape == (SIZE, 2 * (SIZE + 2), 3)
    assert found[6][0, 0, 0] == pytest.approx(255 * 0.1, abs=1)
    assert found[6][0, SIZE + 2, 0] == pytest.approx(255 * 0.7, abs=1)


def test_no_annotation_then_no_picture(tmp_path):
    validate(ValidationPictures(tmp_path), [sample(1, marked=False)], (1,))
    assert not list(tmp_path.iterdir())


def test_labels_without_pixels_then_no_picture(tmp_path):
    scored = {**sample(1, marked=True), "label": torch.ones(1)}
    validate(ValidationPictures(tmp_path), [scored], (1,))
    assert not list(tmp_path.iterdir())


def test_slice_then_both_outlines_in_their_colours():
    one = sample(5, marked=True)
    picture = drawn(*slice_of(one)) / 255
    assert picture[3, 5] == pytest.approx(to_rgb(MANUAL_COLOUR), abs=0.01)
    assert picture[10, 5] == pytest.approx(to_rgb(OURS_COLOUR), abs=0.01)
    assert picture[0, 0] == pytest.approx([0.5] * 3, abs=0.01)


def test_volume_then_its_slice_with_most_of_the_annotation():
    label = torch.zeros(1, 4, 4, 3)
    label[0, 1, 1, 0] = label[0, 1:3, 1:3, 2] = 1
    image = torch.arange(3.0).expand(1, 4, 4, 3)
    scores = torch.stack([1 - label[0], label[0]])  # two channels: the class is the larger one
    shown, annotated, network = slice_of({"image": image, "label": label, "pred": scores})
    assert shown[0, 0] == 2
    assert annotated.sum() == 4
    assert (network == annotated).all()


def test_large_slice_then_at_most_256_pixels_a_side():
    empty = np.zeros((600, 300))
    assert drawn(empty, empty, empty).shape == (200, 100, 3)
    assert side_by_side([np.zeros((3, 2, 3), np.uint8), np.zeros((5, 4, 3), np.uint8)]).shape == (
        *(5, 10, 3),
    )


def test_outline_of_two_classes_that_touch_then_between_them_too():
    labels = np.array([[1, 2], [1, 2]])
    assert outline(labels).tolist() == [[True, False], [True, False]]
